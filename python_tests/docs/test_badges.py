"""The badges of the README agree with pyproject.toml."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "docs" / "figures"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lower_bound(requirement):
    """The version of a requirement that has a lower bound and nothing else."""
    return re.fullmatch(r"[a-z]*>=([\d.]+)", requirement)[1]


def torch_requirement():
    return next(text for text in PROJECT["dependencies"] if text.startswith("torch>"))


EXPECTED = {
    "license": PROJECT["license"],
    "python": f"{lower_bound(PROJECT['requires-python'])}+",
    "torch": f"{lower_bound(torch_requirement())}+",
}
README_TEXT = {
    "license": f"license: {PROJECT['license']}",
    "python": f"Python {lower_bound(PROJECT['requires-python'])} or newer",
    "torch": f"torch {lower_bound(torch_requirement())} or newer",
}


def test_every_badge_has_a_test():
    assert {path.stem.removeprefix("badge-") for path in FIGURES.glob("badge-*.svg")} == {*EXPECTED}


@pytest.mark.parametrize("name", EXPECTED)
def test_badge_shows_the_value_of_pyproject(name):
    badge = ElementTree.parse(FIGURES / f"badge-{name}.svg").getroot()
    texts = [element.text for element in badge.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [name, EXPECTED[name]]
    assert badge.get("aria-label") == f"{name}: {EXPECTED[name]}"


@pytest.mark.parametrize("name", EXPECTED)
def test_readme_describes_the_badge(name):
    readme = (ROOT / "README.md").read_text()
    assert f"![{README_TEXT[name]}](docs/figures/badge-{name}.svg)" in readme
