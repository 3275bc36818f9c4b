"""System failures and values of invalid types raise errors that a script shows in one line."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from reid_ext import ArgumentError, data, evaluate, losses, ops, viz
from reid_ext._runtime.terminal import in_words, is_out_of_memory
from reid_ext.compat import fastreid
from reid_ext.training.command_line import one_line_errors

SMALL = {"identities": (3, 0, 3), "images": (2, 1)}


class Murder(data.EvaluationTransform):
    """Kills the process that calls it."""

    def into(self, image, rng, out):
        os.kill(os.getpid(), signal.SIGKILL)


def test_loader_raises_when_worker_dies(tmp_path):
    root = data.synthesize("market1501", tmp_path / "set", **SMALL)
    images = data.Images(data.load("market1501", root).train, Murder((32, 16)))
    with pytest.raises(
        ChildProcessError, match=r"workers must run to the end.* use fewer workers, or "
    ):
        list(data.loader(images, data.SequentialBatches(len(images), 2), 1))


ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
from reid_ext.training.checkpoint import write_atomically

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
try:
    write_atomically({"w": torch.zeros(100_000)}, Path(sys.argv[1]) / "c.pt")
except OSError as error:
    print(error)
"""


@pytest.mark.slow
def test_checkpoint_leaves_no_file_when_disk_is_full(tmp_path):
    run = [sys.executable, "-c", ON_A_FULL_DISK, tmp_path]
    done = subprocess.run(run, cwd=tmp_path.parent, text=True, capture_output=True)
    assert "must be on a disk with enough space" in done.stdout, done.stderr
    assert not list(tmp_path.iterdir())


def no_memory():
    return RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")


@pytest.mark.parametrize("error", [MemoryError(), no_memory()])
def test_script_reports_out_of_memory(error, capsys):
    with pytest.raises(SystemExit), one_line_errors():
        raise error
    assert capsys.readouterr().err.startswith("error: out of memory; ")


def test_script_shows_traceback_of_internal_error():
    with pytest.raises(RuntimeError, match="a bug"), one_line_errors():
        raise RuntimeError("a bug")
    assert not is_out_of_memory(RuntimeError("a bug")) and in_words(ValueError("x")) == "x"


def test_synthesize_raises_oserror_for_link_loop(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError):
        data.synthesize("market1501", tmp_path / "loop" / "set", preset="tiny")


X = torch.ones(2, 4)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: ops.cosine_matrix(x),
        lambda x: ops.mine_hardest(x, [0, 1]),
        lambda x: ops.expat_loss(x, [0, 1]),
        lambda x: ops.expat_triplet_loss(x, X, X),
        lambda x: ops.fidi_loss(x, [0, 1]),
        lambda x: ops.adaptive_label_smoothing_loss(x, [0, 1]),
        lambda x: ops.viewpoint_loss(x, [0, 1], [0, 1]),
        lambda x: ops.k_reciprocal(x, X),
        lambda x: ops.k_reciprocal_nearest(x, X, 1),
        lambda x: ops.jaccard(x, k1=1, k2=1),
        lambda x: ops.nearest(x, 1),
    ],
)
@pytest.mark.parametrize("value", [None, "word", 3, np.ones((2, 4))])
def test_op_raises_for_values_that_are_not_tensors(call, value):
    with pytest.raises(ArgumentError, match=r"^\w+: \w+ must be a tensor, got "):
        call(value)


def test_op_raises_for_sparse_tensors():
    with pytest.raises(ArgumentError, match="fidi_loss: x must be a dense tensor"):
        ops.fidi_loss(torch.eye(2).to_sparse(), [0, 1])
    with pytest.raises(ArgumentError, match="viewpoint_loss: present must be a dense tensor"):
        ops.viewpoint_loss(X, [0, 1], [0, 0], num_views=2, present=torch.eye(2).bool().to_sparse())


ODD = [torch.eye(3).to_sparse(), torch.ones(2, dtype=torch.complex64), "word", None]


@pytest.mark.parametrize(
    "call",
    [
        lambda value: losses.CircleLoss(gamma=value),
        lambda value: losses.ContrastiveLoss(margin=value),
        lambda value: losses.MultiSimilarityLoss(beta=value),
        lambda value: losses.CenterLoss(value, 4),
        lambda value: losses.CenterLoss(4, 2**70 if value is None else value),
        lambda value: losses.ViewpointAwareLoss(3, value),
        lambda value: losses.ViewpointAwareLoss(3, 4, alpha=value),
        lambda value: losses.ViewpointAwareLoss(3, 4, present=0 if value is None else value),
        lambda value: viz.draw_cmc(value),
        lambda value: viz.draw_cmc({"a": np.ones(3)}, title=[value]),
        lambda value: fastreid.evaluate_rank(
            np.eye(2), [0, 1], [0, 1], [0, 0], [1, 1], use_metric_cuhk03=value
        ),
        lambda value: evaluate(X, X, query_ids=[0, 1], gallery_ids=[0, 1], rerank=value),
    ],
)
@pytest.mark.parametrize("value", ODD)
def test_constructor_raises_for_values_that_are_not_numbers(call, value):
    with pytest.raises(ValueError, match="must"):
        call(value)


@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda y: ops.mine_hardest(X, y), "mine_hardest: labels"),
        (lambda y: ops.expat_loss(X, y), "expat_loss: labels"),
        (lambda y: ops.fidi_loss(X, [0, 1], keys=X, key_labels=y), "fidi_loss: key_labels"),
        (lambda y: ops.viewpoint_loss(X, [0, 1], y), "viewpoint_loss: views"),
    ],
)
@pytest.mark.parametrize("value", ["word", ["a", "b"], [[0], [1, 2]], [2**70, 1], {}])
def test_op_raises_for_labels_that_are_not_integers(call, argument, value):
    pattern = f"^{argument} must (be integers|be convertible to a NumPy array|have shape)"
    with pytest.raises(ArgumentError, match=pattern):
        call(value)


def test_op_accepts_labels_as_list():
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    as_list, as_tensor = (ops.fidi_loss(x, y) for y in ([0, 0, 7, 7], torch.tensor([0, 0, 7, 7])))
    assert as_list == as_tensor > 0


def test_script_shows_traceback_on_request(monkeypatch):
    monkeypatch.setenv("REID_EXT_TRACEBACK", "1")
    with pytest.raises(ValueError, match="a user's"), one_line_errors():
        raise ValueError("a user's")
