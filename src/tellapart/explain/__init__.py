"""The page that explains the loss: a game, and the theory's curves, measured when the page is written."""

from tellapart.explain.page import write_explanation

__all__ = ["write_explanation"]
