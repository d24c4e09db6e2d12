"""The report: one self-contained HTML page about a run, which opens offline."""

from tellapart.report.page import write_report

__all__ = ["write_report"]
