"""docs/datasets.md lists every dataset, and the files that it names exist."""

import re
from pathlib import Path

from reid_ext.data.readers.registry import MODULES
from reid_ext.synthetic import LAYOUTS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "datasets.md").read_text()


def test_every_dataset_is_in_the_table_of_layouts():
    rows = re.findall(r"^\| `([^`]+)` \| .* \|(.*)\|$", TEXT.split("## Eval")[0], re.MULTILINE)
    assert [name for name, _ in rows] == list(MODULES)
    assert {name for name, synthetic in rows if synthetic.strip()} == set(LAYOUTS)


def test_files_named_on_the_page_exist():
    for target in re.findall(r"`((?:reid_ext|examples)/[\w/.]+\.py)`", TEXT):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
