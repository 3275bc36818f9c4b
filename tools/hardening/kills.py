"""Kills writers with kill -9 at random times; every file must be complete or absent.

Each victim is a forked process. It is killed after a random part of the time that it needs when
undisturbed. Then its files are checked, and the same work is started and killed again. A last run
goes to the end, and its result must equal the result of an undisturbed run exactly.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch._dynamo  # an optimizer imports it in seconds; the forked processes inherit it
from part import Budget, Row

from reid_ext import cli, data, models, training, viz
from reid_ext.data.loading import Batch
from reid_ext.training import checkpoint
from reid_ext.training.checkpoint import read_checkpoint
from reid_ext.training.results import write_json

SEED = 3
IN_A_ROW = 3  # kills before the run to the end


class Victim(NamedTuple):
    """``act`` writes, ``intact`` raises for incomplete files, and ``result`` reads the result."""

    act: Callable[[Path], None]
    intact: Callable[[Path], None]
    result: Callable[[Path], Any]


def attack(budget: Budget) -> Iterator[Row]:
    """Kill every victim in turn."""
    torch.set_num_threads(1)
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # a report contains the time at which it was written
    cv2.setNumThreads(1)  # a forked child would wait for threads that it does not have
    each = budget.amount(6, 200 // len(VICTIMS))
    for name, victim in VICTIMS.items():
        home = budget.folder / name
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        whole = home / "whole"
        whole.mkdir()
        start = time.monotonic()
        _to_the_end(victim, whole)
        seconds = time.monotonic() - start
        wanted, found, done = victim.result(whole), [], 0
        rng = random.Random(budget.seed)
        for number, _ in budget.share(1 / len(VICTIMS)).numbers(1 << 20):
            delays = [rng.random() * seconds for _ in range(IN_A_ROW)]
            killed, wrong = _kill(victim, home / str(number), delays, wanted)
            if wrong:
                found.append(f"after {delays} of {seconds:.3f} s: {wrong}")
            done += killed
            if done >= each:
                break
        yield Row(f"kill -9 of {name}", done, found)


def _kill(victim: Victim, folder: Path, delays: list[float], wanted: Any) -> tuple[int, str]:
    """Return the number of processes that were killed while they ran, and the fault, or ""."""
    folder.mkdir()
    killed = 0
    try:
        for delay in delays:
            child = _started(victim, folder)
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
            killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
            victim.intact(folder)
        _to_the_end(victim, folder)
        victim.intact(folder)
        got = victim.result(folder)
    except Exception as error:
        return killed, repr(error)[:300]
    shutil.rmtree(folder)
    return killed, "" if got == wanted else f"the result is {got!r:.200}, expected {wanted!r:.200}"


def _started(victim: Victim, folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1), os.dup2(null, 2)
    status = 1
    try:
        victim.act(folder)
        status = 0
    finally:
        os._exit(status)


def _to_the_end(victim: Victim, folder: Path) -> None:
    _, status = os.waitpid(_started(victim, folder), 0)
    if status:
        raise RuntimeError(f"the run after the kills fails: status {status}")


def _digest(folder: Path, pattern: str = "**/*") -> dict[str, str]:
    files = sorted(p for p in folder.glob(pattern) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# --- rendering ------------------------------------------------------------------------------------


def render(folder: Path) -> None:
    data.synthesize("market1501", folder / "set", identities=(3, 0, 3), images=(2, 1), seed=SEED)


def rendered_is_whole(folder: Path) -> None:
    """Check that the folder, if it exists, is complete."""
    if (folder / "set").exists():
        assert (folder / "set" / "synthetic.json").exists()


def rendered(folder: Path) -> Any:
    left = [p.name for p in folder.iterdir() if p.name != "set"]
    return _digest(folder / "set"), left


# --- training -------------------------------------------------------------------------------------


class _Batches:
    """Synthetic batches that depend only on their number; also the sampler of these batches."""

    def __init__(self) -> None:
        self.place = 0

    def __len__(self) -> int:
        return 10

    def __iter__(self) -> Iterator[Batch]:
        end = self.place - self.place % len(self) + len(self)
        while self.place < end:
            g = torch.Generator().manual_seed(self.place)
            self.place += 1
            labels = torch.arange(4).repeat(4)
            zeros = torch.zeros(16, dtype=torch.int64)
            images = torch.rand(16, 3, 32, 16, generator=g) + labels[:, None, None, None] / 4
            yield Batch(images, labels, zeros, zeros, zeros - 1, zeros)

    def state_dict(self) -> dict[str, int]:
        return {"place": self.place}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.place = state["place"]


def train(folder: Path) -> None:
    """Resume from the checkpoint if there is one; write one after every second iteration."""
    torch.manual_seed(SEED)
    recipe = replace(training.EMBEDDED_VISIBLE, iterations=20, save_every=2)
    model = models.TwoStream(models.build_backbone("small", None), 4, neck="shared")
    batches = _Batches()
    checkpoint_file = folder / "checkpoint.pt"
    training.train(
        model,
        batches,
        training.build_objective("triplet", recipe, model),
        recipe,
        sampler=batches,
        saving=training.Saving(checkpoint_file, resume=checkpoint_file.exists()),
    )


def checkpoint_is_whole(folder: Path) -> None:
    if (folder / "checkpoint.pt").exists():
        read_checkpoint(folder / "checkpoint.pt")


def trained(folder: Path) -> Any:
    model = read_checkpoint(folder / "checkpoint.pt")["model"]
    return {name: hashlib.sha256(t.numpy().tobytes()).hexdigest() for name, t in model.items()}


# --- reports --------------------------------------------------------------------------------------


def report(folder: Path) -> None:
    """Write all kinds of output files of a run repeatedly over the previous ones."""
    picture = np.random.default_rng(SEED).integers(0, 255, (400, 400, 3), np.uint8)
    curves = {"a": np.linspace(0.5, 1, 50)}
    for number in range(30):
        viz.save_image(folder / "list.png", picture)
        write_json(folder / "metrics.json", {"numbers": list(range(5000))})
        if number % 10 == 0:
            viz.plot_cmc(curves, folder / "cmc.png", title="t")


def reports_are_whole(folder: Path) -> None:
    for name in ("list.png", "cmc.png"):
        if (folder / name).exists():
            data.decode(folder / name)
    if (folder / "metrics.json").exists():
        json.loads((folder / "metrics.json").read_text())


def reported(folder: Path) -> Any:
    return {name: _digest(folder, name) for name in ("list.png", "metrics.json", "cmc.png")}


# --- extracting -----------------------------------------------------------------------------------

NETWORKS = {"zeros.pt": 0.0, "ones.pt": 1.0}  # the value of every feature of the network


def _networks_and_images(folder: Path) -> Path:
    """Write the networks and images that all runs share; the undisturbed run does so first."""
    torch.manual_seed(SEED)
    for name, value in NETWORKS.items():
        if not (folder / name).exists():
            model = models.TwoStream("small", 5, neck="shared")
            torch.nn.init.zeros_(model.neck.weight)
            torch.nn.init.constant_(model.neck.bias, value)
            content = dict.fromkeys(checkpoint._KEYS, None)
            content |= {"format": checkpoint.FORMAT, "version": checkpoint.VERSION}
            content |= {"model": model.state_dict()}
            content |= {"settings": {**asdict(training.EMBEDDED), "neck": "shared"}}
            checkpoint.write_atomically(content, folder / name)
    return data.synthesize("regdb", folder / "set", identities=(3, 0, 3), images=(3, 1), workers=1)


def extract(folder: Path) -> None:
    """Write the features of one network over those of another."""
    root = _networks_and_images(folder.parent)
    for name in [*NETWORKS, *NETWORKS]:
        given = [str(folder.parent / name), "regdb", str(root), "--out", str(folder)]
        assert cli.main(["extract", *given, "--workers", "0"]) == 0


def features_are_of_one_network(folder: Path) -> None:
    values = set()
    for path in folder.glob("[qg]*.npz"):
        values |= set(np.load(path)["features"].ravel().tolist())
    assert len(values) < 2, f"features of several networks side by side: {values}"


def extracted(folder: Path) -> Any:
    return _digest(folder)


# --- features and re-ranked distances -------------------------------------------------------------


def evaluate(folder: Path) -> None:
    """Run reid-ext from feature files to distances and reports."""
    rng = np.random.default_rng(SEED)
    if not (folder / "q.npz").exists() or not (folder / "g.npz").exists():
        for name, n in (("q", 50), ("g", 400)):
            part = folder / f"{name}.part.npz"
            ids = rng.integers(0, 9, n)
            np.savez(part, features=rng.random((n, 64), np.float32), identities=ids, cameras=ids)
            os.replace(part, folder / f"{name}.npz")
            rng = np.random.default_rng(SEED + 1)
    files = [str(folder / "q.npz"), str(folder / "g.npz")]
    generic = ["--protocol", "generic"]
    for _ in range(5):
        assert cli.main(["rerank", *files, "--out", str(folder / "d.npz")]) == 0
        assert cli.main(["evaluate", *files, *generic, "--report", str(folder / "r.html")]) == 0


def results_are_whole(folder: Path) -> None:
    if (folder / "d.npz").exists():
        assert np.load(folder / "d.npz")["distances"].shape == (50, 400)
    if (folder / "r.html").exists():
        assert (folder / "r.html").read_text().rstrip().endswith("</html>")


def evaluated(folder: Path) -> Any:
    distances = hashlib.sha256(np.load(folder / "d.npz")["distances"].tobytes()).hexdigest()
    return distances, _digest(folder, "*.html")


VICTIMS = {
    "rendering": Victim(render, rendered_is_whole, rendered),
    "training": Victim(train, checkpoint_is_whole, trained),
    "reports": Victim(report, reports_are_whole, reported),
    "extracting": Victim(extract, features_are_of_one_network, extracted),
    "evaluation": Victim(evaluate, results_are_whole, evaluated),
}
