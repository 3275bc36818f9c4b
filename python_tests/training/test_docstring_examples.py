"""The examples in the docstrings of reid_ext.training run and print what they show."""

import doctest
import inspect

import pytest

from reid_ext import training

PUBLIC = [
    name
    for name in training.__all__
    if inspect.isclass(getattr(training, name)) or inspect.isfunction(getattr(training, name))
]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_example_runs(name, capsys):
    text = inspect.getdoc(getattr(training, name))
    assert text.count("Examples:") == 1
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(example)
    assert runner.tries > 0 and runner.failures == 0, capsys.readouterr().out
