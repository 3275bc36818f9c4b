"""Checks that all public names have a docstring, types, tests of their errors, and an example."""

import importlib
import inspect
import subprocess
import sys
import warnings
from dataclasses import is_dataclass
from pathlib import Path

import pytest

import reid_ext

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("ops", "losses", "evaluation", "data", "viz", "models", "training", "distributed")
TESTS = "".join(p.read_text() for p in sorted((ROOT / "python_tests").rglob("test_*.py")))
SHOWN = "".join(
    p.read_text()
    for pattern in (
        "README.md",
        "docs/*.md",
        "examples/*.py",
        "benchmarks/*.py",
        "reid_ext/**/*.py",
    )
    for p in sorted(ROOT.glob(pattern))
)
RAISE = ("raises", "refuse", "reject", "error")


def public():
    """Every function and class in the `__all__` of a public module."""
    for module_name in MODULES:
        module = importlib.import_module(f"reid_ext.{module_name}")
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield pytest.param(thing, id=f"{module_name}.{name}")


@pytest.mark.parametrize("name", [*MODULES, "compat", "export", "features", "report", "synthetic"])
def test_dir_shows_public_names_only(name):
    module = importlib.import_module(f"reid_ext.{name}")
    optional = {"metric_learning", "torchmetrics"} if name == "compat" else set()
    assert set(module.__all__) <= set(dir(module)) <= set(module.__all__) | optional


def test_dir_of_the_package_shows_its_subpackages():
    shown = set(dir(reid_ext))
    assert shown >= {*MODULES, "compat", "evaluate", "__version__"}
    assert not shown & {"Any", "TYPE_CHECKING", "import_module", "version"}


def test_compat_is_available_after_importing_the_package():
    code = "import reid_ext; print(reid_ext.compat.torchreid.evaluate_rank.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "evaluate_rank\n", done.stderr


@pytest.mark.parametrize("thing", list(public()))
def test_public_name_has_docstring(thing):
    assert (thing.__doc__ or "").strip()


@pytest.mark.parametrize("thing", list(public()))
def test_public_name_has_type_annotations(thing):
    function = thing.__init__ if inspect.isclass(thing) else thing
    if not inspect.isfunction(function):
        return
    arguments = [a for a in inspect.signature(function).parameters if a not in ("self", "_")]
    missing = [a for a in arguments if a not in function.__annotations__]
    generated = function.__qualname__.startswith("_") or not arguments
    assert generated or not missing, f"no type annotation for {', '.join(missing)}"


def is_result(thing):
    """Whether a class only holds arguments or results of functions."""
    return inspect.isclass(thing) and (hasattr(thing, "_fields") or is_dataclass(thing))


@pytest.mark.parametrize("thing", list(public()))
def test_public_name_is_tested_and_used_elsewhere(thing):
    in_processes = thing.__module__.startswith("reid_ext.distributed")  # tested by test_torchrun
    within = is_result(thing) or in_processes or thing.__name__ == "Objective"
    assert within or thing.__name__ in TESTS
    assert SHOWN.count(thing.__name__) > 1  # its definition is one occurrence


@pytest.mark.parametrize("thing", list(public()))
def test_documented_error_has_a_test(thing):
    """A callable with documented errors appears in a test file that expects errors."""
    if "Raises:" not in (thing.__doc__ or ""):
        return
    files = [p.read_text() for p in (ROOT / "python_tests").rglob("test_*.py")]
    assert any(thing.__name__ in text and any(word in text for word in RAISE) for text in files)


@pytest.mark.parametrize("kind", [DeprecationWarning, UserWarning, RuntimeWarning])
@pytest.mark.parametrize("module", ["reid_ext.data.images", __name__])
def test_warning_is_an_error_in_package_and_tests(kind, module):
    with pytest.raises(kind):
        warnings.warn_explicit("a deprecated name", kind, "file.py", 1, module=module)
