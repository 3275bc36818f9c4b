"""The number of files between a training script and the kernel of its loss."""

import inspect
from pathlib import Path

import pytest

import reid_ext
from reid_ext import ops
from reid_ext.training import RunOptions, run

PACKAGE = Path(reid_ext.__file__).parent
BESIDES = {"examples/train_sysu.py", "training/command_line.py", "csrc/expat/expat_cpu.cpp"}


@pytest.mark.slow
def test_training_step_passes_at_most_eight_files(tmp_path, monkeypatch):
    monkeypatch.setenv("REID_EXT_CACHE", str(tmp_path / "cache"))
    op, passed = ops.expat_loss, set()

    def traced(*arguments, **keywords):
        for frame in inspect.stack():
            file = Path(frame.filename)
            if PACKAGE in file.parents and file.parent.name != "_runtime":
                passed.add(str(file.relative_to(PACKAGE)))
        passed.add("ops/expat.py")
        return op(*arguments, **keywords)

    monkeypatch.setattr(ops, "expat_loss", traced)
    options = RunOptions(
        dataset="sysu-mm01", loss="expat", quick=True, workers=0, device="cpu",
        settings={"iterations": 1}, out=tmp_path / "out",
    )  # fmt: skip
    metrics = run(options)
    assert metrics["mAP"] > 0 and "losses/expat.py" in passed
    assert len(passed | BESIDES) <= 8, sorted(passed | BESIDES)
