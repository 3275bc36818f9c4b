"""Runs the examples in the docstrings of public functions and classes."""

import doctest
import importlib
import inspect

import pytest

PACKAGES = ("reid_ext", "reid_ext.ops", "reid_ext.losses", "reid_ext.models", "reid_ext.features")


def public_objects():
    """Every function and class in the ``__all__`` of a package, once, by its qualified name."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found.setdefault(f"{value.__module__}.{name}", value)
    return found


PUBLIC = public_objects()
OF_THIS_TEST = {
    name: value
    for name, value in PUBLIC.items()
    if name.startswith(tuple(f"{package}." for package in (*PACKAGES[1:], "reid_ext._runtime")))
}


@pytest.mark.parametrize("name", OF_THIS_TEST)
def test_docstring_has_examples(name):
    doc = inspect.getdoc(OF_THIS_TEST[name]) or ""
    _, heading, examples = doc.partition("Examples:\n")
    assert heading, f"{name} has no section Examples:"
    assert ">>> " in examples


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value = PUBLIC[name]
    # Without a module the finder also accepts functions behind a decorator.
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)
    for test in finder.find(value, name, module=False, globs={}):
        report = []
        outcome = runner.run(test, out=report.append)
        assert outcome.failed == 0, "".join(report)
    assert not list(tmp_path.iterdir()), f"the examples of {name} leave files behind"
