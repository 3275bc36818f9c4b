"""Runs the examples in the docstrings of public functions and classes."""

import doctest
import importlib
import inspect

import pytest

import reid_ext

PACKAGES = ("ops", "losses", "models", "features")


def public_objects():
    """Return every function and class in the ``__all__`` of a package by its qualified name."""
    found = {"reid_ext.ArgumentError": reid_ext.ArgumentError}
    found["reid_ext.build_info"] = reid_ext.build_info
    for package in PACKAGES:
        module = importlib.import_module(f"reid_ext.{package}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{module.__name__}.{name}"] = value
    return found


PUBLIC = public_objects()


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_has_examples(name):
    _, heading, examples = (inspect.getdoc(PUBLIC[name]) or "").partition("Examples:\n")
    assert heading and ">>> " in examples, f"{name} has no section Examples:"


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # With module=False the finder also accepts decorated functions.
    tests = doctest.DocTestFinder().find(PUBLIC[name], name, module=False, globs={})
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)
    report = []
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).attempted > 0
    assert not report, "".join(report)
    assert not list(tmp_path.iterdir()), f"the examples of {name} leave files behind"
