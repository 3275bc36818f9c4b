"""Every training script with every loss, for a few iterations in this process."""

import json
import math
import runpy
import sys
from pathlib import Path

import pytest
import torch

from reid_ext import training
from reid_ext.training import job

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = ("sysu", "regdb", "market1501", "dukemtmc", "cuhk03", "msmt17", "veri776")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("loss", training.OBJECTIVES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_script_trains_and_evaluates_with_every_loss(script, loss, tmp_path, cache, monkeypatch):
    monkeypatch.setenv("REID_EXT_CACHE", str(cache))
    monkeypatch.setattr(job, "QUICK_ITERATIONS", 2)
    file = EXAMPLES / f"train_{script}.py"
    flags = ["--quick", "--workers", "0", "--batch", "4x2", "--loss", loss, "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [str(file), *flags])
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(file), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["loss"] == loss and 0 <= metrics["rank1"] <= metrics["rank20"] <= 1
    recipe = training.method(loss).network(training.EMBEDDED)
    assert metrics["settings"]["stripes"] == recipe.stripes
    assert metrics["training"]["iterations"] == 2
    assert all(map(math.isfinite, metrics["training"]["losses"].values()))
