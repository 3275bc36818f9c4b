"""``--protocol`` of ``reid-ext evaluate``, and the flags that only some protocols have."""

import argparse

from reid_ext.cli.command import WrongUse, at_least
from reid_ext.evaluation.protocols import CLASSIC, PROTOCOLS, REGDB, SYSU
from reid_ext.evaluation.ranking import AVERAGE_PRECISIONS
from reid_ext.evaluation.regdb import DIRECTIONS
from reid_ext.evaluation.sysu_gallery import CAMERAS

ONE_GALLERY = (*PROTOCOLS, CLASSIC)
ONLY_OF = {  # flag -> the protocols that have it
    "--average-precision": (*ONE_GALLERY, REGDB),
    "--rerank": ONE_GALLERY,
    "--confidence": tuple(PROTOCOLS),
    "--mode": (SYSU,),
    "--shots": (SYSU,),
    "--trials": (SYSU,),
    "--seed": (SYSU,),
    "--cmc": (SYSU,),
    "--direction": (REGDB,),
    "--trial": (REGDB,),
}


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """Add them; None, or False, where one is not given."""
    parser.add_argument("--protocol", choices=[*ONE_GALLERY, SYSU, REGDB], default="market1501")
    parser.add_argument("--average-precision", choices=AVERAGE_PRECISIONS, help="default: step")
    parser.add_argument("--confidence", action="store_true", help="95 %% intervals, by bootstrap")
    flag = parser.add_argument_group(f"protocol {SYSU}").add_argument
    flag("--mode", choices=list(CAMERAS), help="default: all")
    flag("--shots", type=int, choices=(1, 10), help="gallery images of a camera; default: 1")
    flag("--trials", type=int, metavar="N", help="galleries to draw; default: 10")
    flag("--seed", type=int, help="of the draw; default: 0")
    flag("--cmc", choices=("official", "per_image"), help="default: official")
    flag = parser.add_argument_group(f"protocol {REGDB}").add_argument
    flag("--direction", choices=DIRECTIONS, help="default: as the files say, or the first")
    what = "another trial's, by a model of its own; may be repeated: the mean of all"
    flag("--trial", metavar="QUERY.npz,GALLERY.npz", action="append", default=[], help=what)


def check_protocol(args: argparse.Namespace) -> None:
    """WrongUse for a flag that the protocol does not have, or a number out of range."""
    for flag, protocols in ONLY_OF.items():
        value = getattr(args, flag[2:].replace("-", "_"))
        given = not (value is None or value is False or value == [])  # a seed of 0 is
        if given and args.protocol not in protocols:
            names = ", ".join(protocols)
            raise WrongUse(f"{flag} must come with --protocol {names}, got {args.protocol}")
    at_least("--max-rank", args.max_rank, 1)
    at_least("--trials", args.trials, 1)
    at_least("--seed", args.seed, 0)
