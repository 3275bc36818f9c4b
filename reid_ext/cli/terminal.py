"""Prints a result: plain lines in a pipe, rich tables on a terminal if rich is installed."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from reid_ext._runtime.terminal import harmless
from reid_ext.cli.command import Table


def show(lines: Iterable[str | Table]) -> None:
    """Print on stdout; the environment variable NO_COLOR is respected."""
    console = _console()
    for line in lines:
        if console is not None and isinstance(line, Table):
            console.print(_rich_table(line))
            rest = (line.plain or "").split("\n")[2:]  # the text of a ranking below its table
            print(harmless("\n".join(rest)), end="\n" * bool(rest))
        else:
            print(harmless(str(line)), flush=console is not None)


def _console() -> Any:
    """A console of rich on a terminal; None in a pipe, on a dumb terminal or without rich."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=sys.stdout, highlight=False)


def _rich_table(table: Table) -> Any:
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(header_style="bold")
    for index, name in enumerate(table.columns):
        drawn.add_column(Text(name), justify="right" if index else "left")
    for row in table.rows:
        # Text, because rich would read brackets in a name as markup
        drawn.add_row(*(Text(harmless(cell)) for cell in row))
    return drawn
