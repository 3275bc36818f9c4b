"""``reid-ext rerank``, and the flags of a re-ranking that ``evaluate`` takes too."""

import argparse
from pathlib import Path
from typing import Any

import torch

from reid_ext._runtime.writing import writes
from reid_ext.cli.command import Result, WrongUse, at_least, check_place, read_device
from reid_ext.cli.features import write_arrays
from reid_ext.cli.sides import add_files, read_sides, refuse_not_finite
from reid_ext.evaluation import rerank
from reid_ext.evaluation.reranking import METHODS

USES = {  # besides features; a flag that has no effect is refused
    "k_reciprocal": ("k1", "k2", "lambda_value", "metric"),
    "gnn": ("k1", "k2"),
    "aqe": ("k2", "alpha", "metric"),
    "dba": ("k2", "alpha", "metric"),
}
OPTIONS = ("method", "k1", "k2", "lambda_value", "alpha")


def add_commands(groups: Any) -> None:
    """Add ``rerank`` to the subparsers of the command line."""
    parser = groups.add_parser("rerank", help="re-ranked distances of two feature files")
    add_files(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz")
    add_options(parser)
    parser.add_argument("--top", type=int, help="only so many images per query; default: all")
    parser.set_defaults(run=_rerank)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags that say how to re-rank; None where one is not given."""
    parser.add_argument("--method", choices=METHODS, help=f"default: {METHODS[0]}")
    users = {name: ", ".join(m for m in USES if name in USES[m]) for name in OPTIONS[1:]}
    parser.add_argument("--k1", type=int, help=f"default 20; of {users['k1']}")
    parser.add_argument("--k2", type=int, help="default 6")
    what = f"from 0 to 1, default 0.3; of {users['lambda_value']}"
    parser.add_argument("--lambda-value", type=float, metavar="L", help=what)
    what = f"default 3; of {users['alpha']}"
    parser.add_argument("--alpha", type=float, metavar="A", help=what)


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of :func:`reid_ext.rerank` that flags gave; WrongUse for one of no effect."""
    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    method = given.get("method", METHODS[0])
    unused = [name for name in given if name not in ("method", *USES[method])]
    if "metric" not in USES[method] and args.metric != "cosine":
        unused.append("metric")
    if unused:
        flags, used = (", ".join(map(flag_of, names)) for names in (unused, USES[method]))
        raise WrongUse(f"{flags} must not come with --method {method}, which takes {used}")
    for name in ("k1", "k2"):
        at_least(flag_of(name), given.get(name), 1)
    at_least("--alpha", given.get("alpha"), 0)
    if not 0 <= given.get("lambda_value", 0) <= 1:
        raise WrongUse(f"--lambda-value must be from 0 to 1, got {args.lambda_value}")
    return given


def flag_of(name: str) -> str:
    """``lambda_value`` as ``--lambda-value``."""
    return f"--{name.replace('_', '-')}"


def _rerank(args: argparse.Namespace) -> Result:
    if args.out.suffix != ".npz":
        raise WrongUse(f"--out must end in .npz, got {args.out}")
    check_place("--out", args.out)
    if args.out.exists() and any(
        args.out.samefile(f) for f in (args.query, args.gallery) if f and f.exists()
    ):
        raise WrongUse(f"--out must not be a file that is read, got {args.out}; name another")
    options = given_options(args)
    at_least("--top", args.top, 1)
    device = read_device(args.device)
    sides = read_sides(args.query, args.gallery)
    refuse_not_finite(sides.not_finite)
    q, g = (torch.from_numpy(side.features).to(device) for side in (sides.query, sides.gallery))
    found = rerank(q, g, metric=args.metric, top=args.top, **options)
    arrays = {"distances": found} if isinstance(found, torch.Tensor) else found._asdict()
    with writes("--out", args.out):
        write_arrays(args.out, {name: array.cpu().numpy() for name, array in arrays.items()})
    shape = " x ".join(map(str, arrays["distances"].shape))
    facts = {"ok": True, "out": str(args.out), "shape": list(arrays["distances"].shape)}
    return Result([f"{args.out}: {', '.join(arrays)} of shape {shape}"], facts)
