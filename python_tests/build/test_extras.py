"""The optional dependencies of the package leave the installed torch as it is."""

import re
from importlib import metadata
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib")
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ONE_TORCH = {"torchvision", "torchaudio", "timm"}  # require one release of torch


def name_of(requirement):
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def closure(names):
    """All packages that these need, as far as they are installed here."""
    found, left = set(), [name_of(name) for name in names]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        left += [name_of(need) for need in needs if "extra ==" not in need]
    return found


def test_closure_follows_the_requirements_of_requirements():
    assert {"pytest", "pluggy"} <= closure(["pytest>=8"])


@pytest.mark.parametrize("extra", EXTRAS)
def test_no_extra_needs_a_certain_torch(extra):
    assert not closure(r for r in EXTRAS[extra] if name_of(r) != "reid-ext") & ONE_TORCH
