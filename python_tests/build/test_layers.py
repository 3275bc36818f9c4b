"""Reads the sources: which modules import or include which, and whether files are missing."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

import reid_ext
from reid_ext import FeatureSet, evaluate

ROOT = Path(__file__).parents[2]
MIDDLE = {"losses", "models", "data", "evaluation", "viz"}
ALL_LAYERS = {"_runtime"}
MAY_IMPORT = {  # layer of reid_ext -> the other layers that it may import
    "cli": {"distributed", "report", "export", "synthetic", "training", "compat", "features", "ops"}
    | MIDDLE,
    "report": {"data", "evaluation", "features", "ops"},
    "export": {"training", "models"},
    "training": {"distributed", "features", "ops"} | MIDDLE,
    "distributed": {"evaluation", "features", "ops"},
    "compat": {"losses", "evaluation", "ops"},
    "losses": {"ops"},
    "evaluation": {"features", "ops"},
    "features": set(),
    "models": set(),
    "data": {"synthetic"},  # only for data.synthesize, which is imported on first use
    "synthetic": {"data"},
    "viz": set(),
    "ops": {"_runtime"},
    "_runtime": {"_C"},
    "_C": set(),
}
FAMILIES = sorted({p.name for p in (ROOT / "csrc").iterdir() if p.is_dir()} - {"common"})
OF_A_FAMILY = [
    "csrc/{0}/{0}.h",
    "csrc/{0}/{0}_cpu.cpp",
    "csrc/{0}/{0}_cuda.cu",
    "reid_ext/ops/{0}.py",
    "python_tests/ops/test_{0}.py",
]


def layer(path):
    return path.relative_to(ROOT / "reid_ext").with_suffix("").parts[0]


def imported_layers(path):
    """The layers of reid_ext that one file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "reid_ext":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reid_ext."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            names = [a.name.split(".") for a in node.names]
            yield from (n[1] for n in names if n[0] == "reid_ext" and len(n) > 1)


def named(paths):
    return [pytest.param(p, id=str(p.relative_to(ROOT))) for p in sorted(paths)]


@pytest.mark.parametrize("path", named((ROOT / "reid_ext").rglob("*.py")))
def test_module_imports_only_allowed_layers(path):
    here = layer(path)
    if here != "__init__":
        assert set(imported_layers(path)) <= MAY_IMPORT[here] | ALL_LAYERS | {here}


def imports_of_other_packages(path):
    """The modules and names that one file imports from other packages of reid_ext."""
    here = layer(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reid_ext."):
            if node.module.split(".")[1] not in (here, "_runtime", "_C"):
                yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "reid_ext" and len(parts) > 2 and parts[1] not in (here, "_runtime"):
                    yield alias.name, []


@pytest.mark.parametrize("path", named((ROOT / "reid_ext").rglob("*.py")))
def test_packages_are_imported_by_package_name(path):
    for module, names in imports_of_other_packages(path):
        assert module.count(".") == 1, f"{module} is a module inside a package"
        face = importlib.import_module(module)
        assert set(names) <= set(face.__all__), f"{module} does not export all of {names}"


@pytest.mark.parametrize("folder", [p.parent for p in (ROOT / "reid_ext").rglob("__init__.py")])
def test_module_names_differ_from_exported_functions(folder):
    package = ".".join(folder.relative_to(ROOT).parts)
    exported = set(getattr(importlib.import_module(package), "__all__", ()))
    functions = {n for n in exported if callable(getattr(importlib.import_module(package), n))}
    assert not functions & {path.stem for path in folder.glob("*.py")}


@pytest.mark.parametrize("path", named((ROOT / "reid_ext" / "ops").rglob("*.py")))
def test_ops_do_not_choose_or_wait_for_the_device(path):
    found = re.findall(r"\.(?:item|tolist|cpu|cuda|numpy|is_cuda)\b", path.read_text())
    assert not found


SOURCES = [p for p in (ROOT / "csrc").rglob("*") if p.suffix in {".h", ".cuh", ".cpp", ".cu"}]


@pytest.mark.parametrize("path", named(SOURCES))
def test_csrc_includes_only_own_family_and_stable_abi(path):
    text = path.read_text()
    for name in re.findall(r'#include "([^"]+)"', text):
        assert name.split("/")[0] in {"common", path.parent.name}, (
            f"includes {name} of another family"
        )
    for name in re.findall(r"#include <((?:ATen|c10|torch)/[^>]+)>", text):
        assert name.startswith(
            ("torch/csrc/stable/", "torch/headeronly/", "torch/csrc/inductor/aoti_torch/c/")
        ), f"{name} is not in torch's stable ABI"


@pytest.mark.parametrize("family", FAMILIES)
def test_family_has_all_its_files(family):
    for pattern in OF_A_FAMILY:
        assert (ROOT / pattern.format(family)).exists(), f"{pattern.format(family)} is missing"


@pytest.mark.parametrize(
    "name",
    ["compat", "data", "distributed", "export", "models", "report", "synthetic", "training", "viz"],
)
def test_import_of_the_package_gives_every_module(name):
    assert getattr(reid_ext, name).__name__ == f"reid_ext.{name}"
    with pytest.raises(AttributeError, match="'reid_ext' has no attribute 'dat'"):
        reid_ext.dat  # noqa: B018


def files_passed(call):
    """The files of reid_ext, without those of _runtime, whose functions a call runs."""
    package, seen = str(Path(reid_ext.__file__).parent), set()

    def note(frame, event, argument):
        name = frame.f_code.co_filename
        if name.startswith(package) and "/_runtime/" not in name:
            seen.add(Path(name).relative_to(package).as_posix())

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return seen


def test_evaluate_runs_in_at_most_six_files():
    query, gallery = (
        FeatureSet(torch.eye(3), identities=[1, 2, 3], cameras=[camera] * 3) for camera in (1, 2)
    )
    evaluate(query, gallery)  # what is set up once is set up now
    passed = files_passed(lambda: evaluate(query, gallery))
    numbers = passed - {"evaluation/findings.py"}  # which looks at a ranking and changes no number
    assert len(numbers) <= 6
