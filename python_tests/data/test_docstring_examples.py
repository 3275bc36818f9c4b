"""Every public name of data, synthetic and export has docstring examples, and they run."""

import doctest
import importlib
import inspect

import pytest

PACKAGES = ("data", "synthetic", "export")


def public():
    """Every public function and class of the packages, once."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(f"reid_ext.{package}")
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                found.setdefault(thing, f"{package}.{name}")
    return [pytest.param(thing, id=name) for thing, name in found.items()]


@pytest.mark.parametrize("thing", public())
def test_docstring_examples_run(thing, tmp_path, monkeypatch):
    if "safetensors" in thing.__doc__:
        pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    assert "Examples:" in thing.__doc__
    test = doctest.DocTestParser().get_doctest(thing.__doc__, {}, thing.__qualname__, None, None)
    assert test.examples
    failures = []
    doctest.DocTestRunner(verbose=False).run(test, out=failures.append)
    assert not failures, "".join(failures)
    assert not any(tmp_path.iterdir()), "an example left files behind"
