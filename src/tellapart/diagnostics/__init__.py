"""Instruments that read what the loss is doing."""

from tellapart.diagnostics.information import mi_bound

__all__ = ["mi_bound"]
