"""A page about an evaluation: one HTML file that works offline and runs nothing from the data."""

from reid_ext.report.page import write_report
from reid_ext.report.run import Run

__all__ = ["Run", "write_report"]
