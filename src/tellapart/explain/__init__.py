"""The page that explains the loss: a line-up to play with, and the theory's curves, measured as it is written."""

from tellapart.explain.page import write_explanation

__all__ = ["write_explanation"]
