"""The report: a run folder becomes one self-contained HTML page that opens offline."""

from tellapart.report.page import write_report

__all__ = ["write_report"]
