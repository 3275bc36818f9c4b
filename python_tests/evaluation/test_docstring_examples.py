"""The examples in the docstrings of evaluation, compat, distributed, viz and report run."""

import doctest
import inspect

import pytest

MODULES = {  # module: optional library that it needs
    "evaluation": "numpy",
    "evaluation.protocols": "numpy",
    "compat": "numpy",
    "compat.fastreid": "numpy",
    "compat.torchreid": "numpy",
    "compat.metric_learning": "pytorch_metric_learning",
    "compat.torchmetrics": "torchmetrics",
    "distributed": "numpy",
    "viz": "matplotlib",
    "report": "numpy",
}


def public_objects(module):
    """The public functions and classes of a module by name."""
    own = [name for name, value in vars(module).items() if is_own(module, name, value)]
    objects = {name: getattr(module, name) for name in getattr(module, "__all__", own)}
    return {n: o for n, o in objects.items() if inspect.isclass(o) or inspect.isfunction(o)}


def is_own(module, name, value):
    return not name.startswith("_") and getattr(value, "__module__", None) == module.__name__


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name):
    pytest.importorskip(MODULES[name])
    module = pytest.importorskip(f"reid_ext.{name}")
    objects = public_objects(module)
    assert objects
    for name, value in objects.items():
        found = doctest.DocTestFinder(recurse=False).find(value, name, module=False, globs={})
        assert [test for test in found if test.examples], f"{name} has no example"
        for test in found:
            assert doctest.DocTestRunner().run(test).failed == 0
