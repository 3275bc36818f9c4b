"""``reid-ext doctor``: shows the build and the devices, and tests every op in seconds."""

import argparse
import platform
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops
from reid_ext._runtime.library import build_info
from reid_ext.cli.command import Result, add_command, add_json, warn


def add_commands(groups: Any) -> None:
    """Add ``doctor`` to the subparsers of the command line."""
    what = "show the build and test every op on this machine"
    add_json(add_command(groups, "doctor", what, _doctor))


def _doctor(args: argparse.Namespace) -> Result:
    build = build_info()
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        **build,
        "torch": torch.__version__,  # in use; the wheel may be built with another version
    }
    lines = [f"{name}: {value}" for name, value in facts.items()]
    if build["torch"] != torch.__version__:
        warn(
            f"reid_ext was built with torch {build['torch']}, but torch {torch.__version__} is in "
            "use; if an op fails, rebuild it: pip install --force-reinstall --no-deps ."
        )
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    has_kernels = build["cuda_ops"] == "loaded"
    results: dict[str, dict[str, str]] = {}
    for device in devices:
        name = (
            platform.processor() or "cpu" if device == "cpu" else torch.cuda.get_device_name(device)
        )
        lines.append(f"{device}: {name}")
        if device != "cpu" and not has_kernels:
            lines.append(f"  no kernels: {build['cuda_ops']}; {_hint(build['cuda_ops'])}")
            continue
        results[device] = {op: _outcome(test, device) for op, test in TESTS.items()}
        lines += [f"  {op}: {outcome}" for op, outcome in results[device].items()]
    ok = all(outcome == "ok" for tests in results.values() for outcome in tests.values())
    lines.append("all ops agree with plain PyTorch" if ok else "an op does not work, see above")
    return Result(lines, {"ok": ok, **facts, "devices": devices, "tests": results}, ok)


def _hint(reason: str) -> str:
    if "CPU build" in reason:
        return "reinstall reid_ext beside a CUDA build of torch"
    return "install the CUDA toolkit (nvcc) and reinstall reid_ext with REID_EXT_CUDA=ON"


def _outcome(test: Callable[[str], bool], device: str) -> str:
    try:
        return "ok" if test(device) else "differs from plain PyTorch"
    except (RuntimeError, ValueError) as error:
        first_line, *_ = str(error).split("\n")
        return f"fails: {first_line}"


def _data(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Features whose squares are exact, identities, and squared distances."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-4, 5, (32, 16), generator=generator).double().to(device)
    return x, torch.arange(32, device=device) % 8, torch.cdist(x, x).square().round()


def _cosine(device: str) -> bool:
    x, _, _ = _data(device)
    return torch.allclose(ops.cosine_matrix(x), F.normalize(x) @ F.normalize(x).T)


def _mining(device: str) -> bool:
    x, labels, d = _data(device)
    same = labels[:, None] == labels
    found = ops.mine_hardest(x, labels, metric="squared_euclidean")
    negative = d.masked_fill(same, torch.inf).amin(1)
    return torch.allclose(found.positive_distance, d.masked_fill(~same, -1).amax(1)) and (
        torch.allclose(found.negative_distance, negative)
    )


def _expat(device: str) -> bool:
    x, labels, _ = _data(device)
    unit = F.normalize(x)
    cosine, same = unit @ unit.T, labels[:, None] == labels
    positive = cosine.masked_fill(~same, torch.inf).amin(1)
    negative = cosine.masked_fill(same, -torch.inf).amax(1)
    wanted = torch.exp(F.relu(negative) - positive + 1).mean()
    return torch.allclose(ops.expat_loss(x, labels), wanted)


def _fidi(device: str) -> bool:
    x, labels, _ = _data(device)
    x = x[:8].requires_grad_()
    return torch.autograd.gradcheck(lambda t: ops.fidi_loss(t / 8, labels[:8]), (x,))


def _viewpoint(device: str) -> bool:
    x, labels, _ = _data(device)
    got = ops.adaptive_label_smoothing_loss(x, labels, alpha=0.0)
    return torch.allclose(got, F.cross_entropy(x, labels))


def _ranking(device: str) -> bool:
    x, labels, d = _data(device)
    order = d.argsort(dim=1, stable=True)
    matches = labels[order] == labels[:, None]
    ranks = matches.nonzero()[:, 1] + 1
    offsets = F.pad((labels[:, None] == labels).sum(1).cumsum(0), (1, 0))
    positives = ops.Lists(offsets, (labels[:, None] == labels).nonzero()[:, 1].contiguous())
    none = ops.Lists(torch.zeros_like(offsets), offsets[:0])
    got = ops.rank_positives(x, x, positives, none, metric="squared_euclidean")
    return torch.equal(got, ranks)


def _nearest(device: str) -> bool:
    x, _, d = _data(device)
    found = ops.nearest(x, 5, metric="squared_euclidean")
    return torch.equal(found.indices, d.argsort(dim=1, stable=True)[:, :5])


TESTS: dict[str, Callable[[str], bool]] = {
    "cosine_matrix": _cosine,
    "mine_hardest": _mining,
    "expat_loss": _expat,
    "fidi_loss": _fidi,
    "adaptive_label_smoothing_loss": _viewpoint,
    "rank_positives": _ranking,
    "nearest": _nearest,
}
