"""Instruments that read what the loss is doing."""

from tellapart.diagnostics.information import mi_bound
from tellapart.diagnostics.leakage import Leakage, batch_leakage

__all__ = ["Leakage", "batch_leakage", "mi_bound"]
