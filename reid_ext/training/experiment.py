"""What the training scripts share: their flags, errors as one line, and the files of a run."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from reid_ext import distributed
from reid_ext._runtime.device import named_device
from reid_ext._runtime.terminal import in_words, is_out_of_memory
from reid_ext._runtime.writing import whole_file
from reid_ext.data.subsets import PARTS
from reid_ext.training.overrides import overridden
from reid_ext.training.precision import PRECISIONS, fastest_precision
from reid_ext.training.recipe import Recipe

_SET = "change any setting of the recipe; metrics.json has all of them"
_VALIDATE = "evaluate every N epochs; with --evaluate-on val the best is kept as OUT/best.pt"
INTERRUPTED = 130  # exit status, as a shell reports Ctrl-C


def arguments(
    description: str,
    losses: Iterable[str],
    default_out: str,
    more: Callable[[argparse.ArgumentParser], None] | None = None,
) -> argparse.Namespace:
    """Read the flags of a training script from the command line.

    Args:
        description: The script's docstring; shown whole by ``--help``.
        losses: Names that ``--loss`` takes; the last is the default.
        default_out: Start of the default output folder's name.
        more: Adds the flags that this script alone has.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(losses)
    flag = parser.add_argument
    flag("--data", type=Path, metavar="ROOT", help="the real dataset; else the embedded one")
    flag("--loss", choices=names, default=names[-1])
    flag("--views", type=Path, metavar="FILE", help="view labels of the real images, for --loss va")
    flag("--backbone", metavar="NAME", help="'small' or a timm model; else the recipe's")
    flag("--weights", help="'imagenet', 'none' or a file; default: imagenet for timm models")
    flag("--epochs", type=_positive, help="passes over the identities; else the recipe's length")
    flag("--batch", type=_batch, metavar="PxK", help="identities x images of each modality")
    flag("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=_SET)
    flag("--fraction", type=_share, default=1.0, metavar="F", help="train on this part alone")
    flag("--fraction-of", choices=PARTS, default="identities")
    flag("--seed", type=int, default=0)
    flag("--device", type=known_device, default="cuda" if torch.cuda.is_available() else "cpu")
    flag("--precision", choices=list(PRECISIONS), help="default: the fastest of the device")
    flag("--workers", type=int, help="processes that read images; default: by the cores")
    what = "keep decoded images in a file of this folder; embedded ones are kept in memory"
    flag("--cache", type=Path, metavar="FOLDER", help=what)
    flag("--out", type=Path, help=f"output folder; default: runs/{default_out}-LOSS-SEED")
    flag("--resume", action="store_true", help="continue from OUT/checkpoint.pt")
    flag("--evaluate-on", choices=["test", "val"], default="test", help="val: to choose settings")
    flag("--validate-every", type=_positive, metavar="N", help=_VALIDATE)
    flag("--angles", action="store_true", help="histogram of angles, OUT/angles.png: matplotlib")
    flag("--compile", action="store_true", help="torch.compile the network")
    flag("--profile", action="store_true", help="trace some iterations into OUT/trace.json")
    flag("--wandb", metavar="PROJECT", help="log to Weights & Biases as well")
    flag("--quick", action="store_true", help="a tiny embedded dataset, a few iterations")
    if more is not None:
        more(parser)
    args = parser.parse_args()
    args.out = args.out or Path("runs") / f"{default_out}-{args.loss}-{args.seed}"
    args.device = distributed.join(args.device)
    args.precision = args.precision or fastest_precision(args.device)
    share_cores(args)
    return args


def share_cores(args: argparse.Namespace) -> None:
    """Fill in ``workers``; on a CPU the network gets the cores that the workers leave.

    More threads than cores wait for each other actively, which can cost several times the work.
    """
    cores = max(1, len(os.sched_getaffinity(0)) // distributed.local_processes())
    on_cpu = args.device == "cpu"
    if args.workers is None:
        args.workers = min(4, cores // 2) if on_cpu else max(1, min(8, cores - 1))
    if on_cpu:
        torch.set_num_threads(max(1, cores - args.workers))


def adapted(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """The recipe with what the flags change: backbone, batch, and --set."""
    if args.epochs and sets_iterations(args):
        raise ValueError("--epochs must not come with --set iterations, got both; leave one out")
    changes: dict[str, Any] = {}
    if args.backbone:
        changes["backbone"] = args.backbone
    if args.batch:
        changes["identities_per_batch"], changes["images_per_modality"] = args.batch
    return overridden(replace(recipe, **changes), args.set)


def sets_iterations(args: argparse.Namespace) -> bool:
    """Whether ``--set`` says how long to train."""
    return any(assignment.startswith("iterations=") for assignment in args.set)


def cache_folder() -> Path:
    """Where rendered datasets are kept: $REID_EXT_CACHE, or reid_ext in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("REID_EXT_CACHE") or Path(base) / "reid_ext")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the script with one line, not a traceback, for what its user can mend.

    REID_EXT_TRACEBACK=1 shows the traceback as well.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"\n{stop or 'interrupted'}\n")
        sys.exit(INTERRUPTED)
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not _is_of_the_machine(error):
            raise
        if os.environ.get("REID_EXT_TRACEBACK"):
            raise
        sys.stderr.write(f"error: {in_words(error)}\n")
        sys.exit(1)


def _is_of_the_machine(error: RuntimeError) -> bool:
    """Whether more memory would mend it; any other RuntimeError is a fault of the program."""
    return isinstance(error, torch.OutOfMemoryError) or is_out_of_memory(error)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path``, whole or not at all; of several processes the first does."""
    if not distributed.is_main():
        return
    with whole_file(path) as part:
        part.write_text(json.dumps(content, indent=2, default=str) + "\n")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a positive whole number, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, got {text!r}")
    return share


def known_device(text: str) -> str:
    """``cpu``, ``cuda`` or ``cuda:N``, as an argparse type; refused where there is none."""
    try:
        return str(named_device(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _batch(text: str) -> tuple[int, int]:
    identities, _, images = text.partition("x")
    try:
        return _positive(identities), _positive(images)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"must be PxK, such as 8x4 for 8 identities of 4 images, got {text!r}"
        ) from None
