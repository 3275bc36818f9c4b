"""Every public function and class has examples in its docstring, and they run."""

import doctest
import importlib
import inspect

import pytest

PACKAGES = {  # module: optional library that its examples need
    "reid_ext": "",
    "reid_ext.compat": "",
    "reid_ext.compat.fastreid": "",
    "reid_ext.compat.metric_learning": "pytorch_metric_learning",
    "reid_ext.compat.torchmetrics": "torchmetrics",
    "reid_ext.compat.torchreid": "",
    "reid_ext.data": "",
    "reid_ext.distributed": "",
    "reid_ext.evaluation": "",
    "reid_ext.export": "safetensors",
    "reid_ext.features": "",
    "reid_ext.losses": "",
    "reid_ext.models": "",
    "reid_ext.ops": "",
    "reid_ext.report": "",
    "reid_ext.synthetic": "",
    "reid_ext.training": "",
    "reid_ext.viz": "matplotlib",
}


def is_documented(value):
    return inspect.isclass(value) or inspect.isfunction(value)


def public_names(module):
    """The names in ``__all__``; of a module without it, what is defined there."""
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", [name for name in own if not name.startswith("_")])
    return [name for name in names if is_documented(getattr(module, name))]


@pytest.mark.parametrize("package", PACKAGES)
def test_docstring_examples_run(package, tmp_path, monkeypatch):
    if PACKAGES[package]:
        pytest.importorskip(PACKAGES[package])
    module = importlib.import_module(package)
    names = public_names(module)
    assert names
    monkeypatch.chdir(tmp_path)
    failures = []
    for name in names:
        text = inspect.getdoc(getattr(module, name)) or ""
        assert text.count("Examples:\n") == 1, f"{package}.{name} has no section Examples:"
        example = doctest.DocTestParser().get_doctest(text, {}, f"{package}.{name}", None, None)
        assert example.examples, f"{package}.{name} has no example"
        doctest.DocTestRunner(verbose=False).run(example, out=failures.append)
        assert not any(tmp_path.iterdir()), f"the examples of {package}.{name} leave files behind"
    assert not failures, "".join(failures)
