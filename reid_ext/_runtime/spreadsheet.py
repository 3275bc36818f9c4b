"""Text tables as spreadsheets, pandas and MATLAB write them: CSV with a header.

Comma, semicolon, tab or bar separates columns; the text is UTF-8, or UTF-16 with a byte order mark.
Names of columns are compared without case and surrounding spaces.
"""

import codecs
import csv
from collections.abc import Sequence
from pathlib import Path

from reid_ext._runtime.arguments import ArgumentError

SEPARATORS = (",", ";", "\t", "|")
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SHOWN = 80


def read_text(function: str, path: Path) -> str:
    """The text of a file in UTF-8 or UTF-16; ArgumentError for any other encoding."""
    content = path.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    advice = "save it in UTF-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        value = f"byte 0x{content[error.start]:02x} at position {error.start}"
        raise ArgumentError(function, str(path), "be UTF-8 text", value, advice) from None
    if "\0" in text:
        raise ArgumentError(function, str(path), "be UTF-8 text", "a file with zero bytes", advice)
    return text


def read_table(function: str, path: Path, required: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the columns, by name, of a table whose first line names them.

    Args:
        function: The public function that the user called, for the errors.
        path: The file.
        required: Columns that the table must have.

    Raises:
        ArgumentError: another encoding, no header with the required columns, a column that is
            there twice, a row with more or fewer fields than the header, or no row.
    """
    lines = read_text(function, path).splitlines(keepends=True)
    no_names = ("", "sep=,", "sep=;", "sep=")  # Excel may begin with its separator
    header_line = next((i for i, line in enumerate(lines) if line.strip() not in no_names), None)
    if header_line is None:
        raise ArgumentError(function, str(path), "have a header and rows", "an empty file")
    first = lines[header_line]
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(lines[header_line:], delimiter=separator, strict=True)
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        header = [name.strip().lower() for name in next(reader)]
        for row in reader:
            if any(field.strip() for field in row):
                rows.append([field.strip() for field in row])
                numbers.append(header_line + reader.line_num)
    except csv.Error as error:
        value = f"{error} in line {header_line + reader.line_num}"
        raise ArgumentError(function, str(path), "be CSV", value) from None
    _check_header(function, path, header, first, required)
    for row, number in zip(rows, numbers, strict=True):
        if len(row) > len(header) and not any(row[len(header) :]):
            del row[len(header) :]  # a spreadsheet ends every line with its empty columns
        if len(row) != len(header):
            requirement = f"have {len(header)} fields in every row, like the header"
            raise ArgumentError(function, str(path), requirement, f"{len(row)} in line {number}")
    if not rows:
        raise ArgumentError(function, str(path), "have rows", "a header alone")
    return {name: [row[i] for row in rows] for i, name in enumerate(header) if name}


def _check_header(
    function: str, path: Path, header: list[str], line: str, required: Sequence[str]
) -> None:
    got = f"the header {line.strip()[:SHOWN]!r}"
    if missing := [name for name in required if name not in header]:
        requirement = f"have the columns {', '.join(required)}"
        advice = f"add {', '.join(missing)} to its first line"
        raise ArgumentError(function, str(path), requirement, got, advice)
    named = [name for name in header if name]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        requirement = "name each column once"
        raise ArgumentError(function, str(path), requirement, f"{', '.join(twice)} twice in {got}")
