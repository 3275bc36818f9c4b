"""A report of evaluations: one HTML file that works offline and runs no code from the data."""

from reid_ext.report.page import write_report
from reid_ext.report.run import Run

__all__ = ["Run", "write_report"]


def __dir__() -> list[str]:
    return __all__
