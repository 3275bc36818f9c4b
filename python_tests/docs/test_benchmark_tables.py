"""The tables in the docs agree with the files of benchmarks/results."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "benchmark_tables.py"


def test_pages_are_up_to_date():
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = (ROOT / "docs").rglob("*.md")
    assert sum(page.read_text().count("<!-- table of ") for page in pages) >= 4


@pytest.fixture
def tool(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(TOOL.parent)
    import benchmark_tables

    result = {
        "machine": {"processor": "x", "threads": 1, "torch": "2", "commit": "c", "date": "d"},
        "rows": [{"op": "a", "ours ms": 1234.5}, {"op": "b", "ours ms": 0.012345}],
    }
    for name in ("cpu-a.json", "cpu-b.json"):
        (tmp_path / name).write_text(json.dumps(result))
    monkeypatch.setattr(benchmark_tables, "RESULTS", tmp_path)
    return benchmark_tables


def test_table_shows_three_digits_without_exponent(tool):
    page = "<!-- table of cpu-a.json -->\nold\n<!-- end of table -->"
    text = tool.filled(page)
    assert "| op | ours ms |\n|---|---:|\n| a | 1,230 |\n| b | 0.0123 |" in text
    assert "old" not in text and tool.filled(text) == text


def test_table_shows_all_digits_of_counts(tool):
    assert tool.text_of(1_000_202) == "1,000,202" and tool.text_of(1024) == "1024"


def test_table_selects_and_renames_columns(tool):
    text = tool.filled("<!-- table of cpu-a.json: ours ms as time -->\n<!-- end of table -->")
    assert "| time |" in text and "op" not in text.split("-->")[1]


def test_table_of_two_files_names_both_machines(tool):
    text = tool.filled("<!-- table of cpu-a.json + cpu-b.json -->\n<!-- end of table -->")
    assert text.count("| a | 1,230 |") == 2 and text.count("| op |") == 1
    for name in ("cpu-a.json", "cpu-b.json"):
        assert f"`{name}`: d, processor x, threads 1, torch 2, commit c" in text


def test_table_raises_for_unknown_column(tool):
    with pytest.raises(SystemExit, match="must be among op, ours ms, got theirs"):
        tool.filled("<!-- table of cpu-a.json: theirs -->\n<!-- end of table -->")
