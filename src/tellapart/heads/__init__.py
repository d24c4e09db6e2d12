"""The page of a language model's heads of attention: what each looks for in a text, and with how many keys."""

from tellapart.heads.page import write_heads

__all__ = ["write_heads"]
