"""Writes the tables of benchmarks/results/*.json into the README and the pages of docs.

    python tools/benchmark_tables.py            # write them
    python tools/benchmark_tables.py --check    # exit status 1 if a page is not up to date

A page marks the place of a table by two comments. The text between them is replaced:

    <!-- table of cpu-ops.json: op, size, ours ms as ours -->
    <!-- end of table -->

Without a list of columns, the table has all columns. ``as`` sets the heading of a column.
``a.json + b.json`` joins the rows of two files in one table.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
ASKED = re.compile(
    r"(<!-- table of ([\w.+ -]+\.json)(?:: (.+?))? -->\n).*?(<!-- end of table -->)", re.DOTALL
)


def text_of(value: Any) -> str:
    """Three significant digits of a measurement or all digits of a count, without an exponent."""
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 1000 else f"{rounded:g}"


def columns_of(wanted: str | None, rows: list[dict[str, Any]]) -> dict[str, str]:
    """The names of the columns with their headings."""
    known = {name: name for row in rows for name in row}
    if wanted is None:
        return known
    pairs = (column.partition(" as ") for column in wanted.split(", "))
    columns = {name: heading or name for name, _, heading in pairs}
    unknown = columns.keys() - known.keys()
    if unknown:
        sys.exit(
            f"benchmark_tables: columns must be among {', '.join(known)}, "
            f"got {', '.join(sorted(unknown))}"
        )
    return columns


def measured(name: str, machine: dict[str, Any]) -> str:
    """The date, machine, torch version and commit of a result."""
    where = machine.get("gpu", f"processor {machine['processor']}, threads {machine['threads']}")
    run = f"torch {machine['torch']}, commit {machine['commit']}"
    return f"`{name}`: {machine['date']}, {where}, {run}"


def table(names: str, wanted: str | None) -> str:
    """The Markdown of one table, with a line on the machine of each file."""
    results = {name: json.loads((RESULTS / name).read_text()) for name in names.split(" + ")}
    rows = [row for result in results.values() for row in result["rows"]]
    columns = columns_of(wanted, rows)
    figures = {c for c in columns if isinstance(rows[0].get(c), (int, float))}
    lines = [
        "| " + " | ".join(columns.values()) + " |",
        "|" + "|".join("---:" if c in figures else "---" for c in columns) + "|",
    ]
    lines += ["| " + " | ".join(text_of(row.get(c, "")) for c in columns) + " |" for row in rows]
    notes = [measured(name, result["machine"]) for name, result in results.items()]
    return "\n" + "\n".join(lines) + "\n\n" + "  \n".join(notes) + "\n\n"


def filled(page: str) -> str:
    """The page with its tables replaced by the current results."""
    return ASKED.sub(lambda found: found[1] + table(found[2], found[3]) + found[4], page)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    stale = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text()
        new = filled(text)
        if new != text:
            stale.append(str(page.relative_to(ROOT)))
            if not args.check:
                page.write_text(new)
    if stale and args.check:
        sys.exit(f"{', '.join(stale)} not up to date; run python tools/benchmark_tables.py")
    print(f"written: {', '.join(stale)}" if stale else "all tables are up to date")


if __name__ == "__main__":
    main()
