"""Runs every reid-ext command of README and docs, and parses the arguments of their scripts."""

import argparse
import importlib.util
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from trained import write_checkpoint

from reid_ext import cli, data
from reid_ext._runtime.flags import Parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TINY = {"identities": (12, 0, 6), "images": (2, 1), "workers": 1}
DATASETS = {  # folder name on the pages -> dataset
    "ROOT": "market1501",
    "/data/MSMT17_V1": "msmt17",
    "/data/cuhk03-np": "cuhk03-np",
    "/data/RegDB": "regdb",
}
NEEDS = {"onnx": "onnxscript", "safetensors": "safetensors", "completion": "shtab"}
SLOW = ("datasets", "cli")  # these pages render datasets and train
WITH_FILES = ("quickstart", "cases")  # the Python blocks of these pages write what they read
NEEDS |= {"timm:resnet50": "timm", "convert": None}  # needs a large .mat: see test_cuhk03_mat
FASTER = {"timm:resnet50": ["--weights", "none"], "synthesize": ["--preset", "tiny"]}


def commands(page):
    """The arguments of each reid-ext line: continued lines are joined, comments removed."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"^ {4}reid-ext (.*)$", text, re.M)
    return [shlex.split(line.split(" > ")[0], comments=True) for line in lines]


def scripts(page):
    """The scripts of this repository with their arguments, on separate lines or in a sentence."""
    script = r"((?:examples|benchmarks|tools)/[\w/]+\.py)([^\n`#]*)"
    text = page.read_text()
    found = re.findall(rf"^ {{4}}(?:python|torchrun)\b[^\n#]*?{script}", text, re.M)
    return found + re.findall(rf"`python {script}`", text)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "checkpoint.pt"
    write_checkpoint(path, "shared")
    return path


@pytest.fixture
def stage(checkpoint, tmp_path, monkeypatch):
    """A folder with the feature files and networks that the commands read."""
    monkeypatch.chdir(tmp_path)
    for folder in ("features", "softmax"):
        (tmp_path / folder).symlink_to(".")
    (tmp_path / "runs/market1501-expat-0").mkdir(parents=True)
    for path in ("checkpoint.pt", "runs/market1501-expat-0/checkpoint.pt"):
        shutil.copy(checkpoint, tmp_path / path)
    return tmp_path


def run_blocks(page):
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(block, names)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(p, id=p.stem, marks=pytest.mark.slow if p.stem in SLOW else ())
        for p in PAGES
        if commands(p)
    ],
)
def test_commands_run(page, stage, capsys):
    run_blocks(ROOT / "docs" / "cli.md")  # they write the feature files of the other pages
    if page.stem in WITH_FILES:
        run_blocks(page)
    for words in commands(page):
        odd = [word for word in words if word in NEEDS]
        if any(NEEDS[w] is None or not importlib.util.find_spec(NEEDS[w]) for w in odd):
            continue
        for i, word in enumerate(words):
            if name := DATASETS.get(word):
                words[i] = str(stage / name)
                if not (stage / name).exists():
                    data.synthesize(name, stage / name, **TINY)
        words += [extra for word in words for extra in FASTER.get(word, [])]
        assert cli.main(words) == 0, f"{words}: {capsys.readouterr()}"


class Parsed(Exception):
    """Raised after a script has parsed its arguments, to stop it."""


@pytest.mark.parametrize("page", [p for p in PAGES if scripts(p)], ids=lambda p: p.stem)
def test_arguments_of_scripts_are_known(page, monkeypatch, stage):
    def stopping(parse):
        def stop(parser, *arguments, **named):
            parse(parser, *arguments, **named)
            raise Parsed

        return stop

    for parser in (argparse.ArgumentParser, Parser):
        monkeypatch.setattr(parser, "parse_args", stopping(parser.parse_args))
    values = {"LOSS": "softmax", "SEED": "0", "ROOT": ".", "train_NAME": "train_market1501"}
    for script, arguments in scripts(page):
        words = shlex.split(f"{script} {arguments}")
        for placeholder, value in values.items():
            words = [re.sub(rf"\b{placeholder}\b", value, word) for word in words]
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.setattr(sys, "path", [str((ROOT / words[0]).parent), *sys.path])
        try:
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
        except Parsed:
            continue
        except ModuleNotFoundError:  # a benchmark compares with a package that is not installed
            assert words[0].startswith("benchmarks/")
            continue
        pytest.fail(f"{words} does not parse any arguments")
