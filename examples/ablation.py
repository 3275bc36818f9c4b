"""Compute the tables of the three papers: losses, parts of VA-reID, training data.

    python examples/ablation.py                    # all tables, hours on a CPU
    python examples/ablation.py va data --seeds 0  # two tables with one seed
    python examples/ablation.py --list             # print the commands only
    python examples/ablation.py expat --data market1501=ROOT1 dukemtmc=ROOT2

Without --data, the runs use the synthetic datasets. Each run is a call of
examples/train_NAME.py, whose results stay in OUT/runs and are not computed
again. The script prints each table and writes it to OUT/TABLE.md, with the mean
and the range over the seeds and the numbers of the paper, if it has any.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from reid_ext.training.command_line import one_line_errors

HERE = Path(__file__).parent


class Row(NamedTuple):
    """One method, a row of a table."""

    label: str
    flags: tuple[str, ...]
    paper: dict[str, str]  # for each dataset: rank-1 (mAP) as in the paper
    reranked: bool = False


class Table(NamedTuple):
    """A table of methods and datasets; a dataset is the NAME of its script."""

    title: str
    datasets: tuple[str, ...]
    rows: tuple[Row, ...]


def of_loss(loss, label=None, *flags, **papers):
    return Row(label or f"`{loss}`", ("--loss", loss, *flags), papers)


def va(label, market, duke, *flags, loss="va", reranked=False):
    papers = {"market1501": market, "dukemtmc": duke}
    return Row(label, ("--loss", loss, *flags), papers, reranked)


def data_rows():
    """The rows with less data; 40 % of the synthetic identities are enough for a batch."""
    parts = (("identities", (0.4, 0.7)), ("images", (0.25, 0.5)))
    return tuple(
        of_loss(loss, f"`{loss}`, {share:.0%} of the {of}", *_fraction(share, of))
        for of, shares in parts
        for share in shares
        for loss in ("softmax", "bnneck", "fidi")
    )


def _fraction(share, of):
    return ("--fraction", f"{share}", *(() if of == "identities" else ("--fraction-of", of)))


TABLES = {
    "expat": Table(
        "expAT and its baselines",
        ("market1501", "dukemtmc"),
        (
            of_loss("triplet", market1501="92.0 (81.7)", dukemtmc="82.6 (70.6)"),
            of_loss("bnneck", market1501="94.1 (85.7)", dukemtmc="86.2 (75.9)"),
            of_loss("expat", market1501="94.7 (86.6)", dukemtmc="87.6 (77.1)"),
            of_loss("expat_center", market1501="94.7 (86.8)", dukemtmc="87.4 (76.9)"),
        ),
    ),
    "cross": Table(
        "expAT between visible and infrared images",
        ("sysu", "regdb"),
        (
            of_loss("softmax"),
            of_loss("triplet"),
            of_loss("bnneck"),
            of_loss("expat", sysu="38.57 (38.61)", regdb="66.48 (67.31)"),
            of_loss("expat_center"),
        ),
    ),
    "fidi": Table(
        "FIDI and alternative losses",
        ("market1501", "dukemtmc"),
        (
            of_loss("softmax"),
            of_loss("bnneck", "`bnneck` (triplet)"),
            of_loss("contrastive"),
            of_loss("multi_similarity"),
            of_loss("circle"),
            of_loss(
                "fidi", market1501="94.5 (86.8)", dukemtmc="88.1 (77.5)", veri776="95.7"
            ),
            of_loss("fidi_local"),
        ),
    ),
    "data": Table("FIDI with less training data", ("market1501",), data_rows()),
    "va": Table(
        "The parts of VA-reID",
        ("market1501", "dukemtmc"),
        (
            va("Xent", "94.31 (86.30)", "86.94 (76.70)", loss="softmax"),
            va(
                *("LSR", "94.35 (86.72)", "87.43 (77.47)", "--set", "label_smoothing=0.1"),
                loss="softmax",
            ),
            va("L_y", "94.7 (86.97)", "87.39 (77.99)", "--set", "view_gamma=0", "view_beta=0"),
            va("L_y + L_v", "95.37 (88.67)", "88.38 (78.86)", "--set", "view_beta=0"),
            va("L_y + L_R", "95.25 (88.25)", "87.84 (78.25)", "--set", "view_gamma=0"),
            va("VA-reID", "95.87 (89.97)", "91.11 (81.48)", "--rerank"),
            va("... re-ranked", "96.32 (95.09)", "92.46 (90.66)", "--rerank", reranked=True),
            va("VA-reID + local", "96.23 (91.70)", "91.61 (84.51)", "--rerank", loss="va_local"),
            va(
                *("... re-ranked", "96.79 (95.43)", "93.85 (91.82)", "--rerank"),
                loss="va_local",
                reranked=True,
            ),
        ),
    ),
}  # fmt: skip


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flag = parser.add_argument
    what = f"tables to compute: {', '.join(TABLES)} (default: all)"
    flag("tables", nargs="*", metavar="TABLE", help=what)
    seeds = [0, 1, 2]
    what = "seeds to average over (default: 0 1 2)"
    flag("--seeds", type=int, nargs="+", default=seeds, metavar="N", help=what)
    what = "folders of real datasets (default: synthetic datasets)"
    flag("--data", nargs="+", default=[], metavar="NAME=ROOT", help=what)
    out = Path("runs/ablation")
    flag("--out", type=Path, default=out, help=f"output folder (default: {out})")
    flag("--list", action="store_true", help="print the commands without running them")
    flag("--quick", action="store_true", help="test the script with the smallest runs")
    args = parser.parse_args()
    if unknown := set(args.tables) - TABLES.keys():
        parser.error(f"TABLE must be one of {', '.join(TABLES)}, got {', '.join(sorted(unknown))}")
    pairs = [pair.partition("=") for pair in args.data]
    if wrong := [name for name, equals, _ in pairs if not equals or name not in datasets()]:
        known = ", ".join(datasets())
        parser.error(f"--data must be NAME=ROOT with NAME one of {known}, got {wrong[0]!r}")
    args.data = {name: root for name, _, root in pairs}
    return args


def datasets():
    return sorted({name for table in TABLES.values() for name in table.datasets})


def command(args, dataset, row, seed):
    """Return the folder of a run, named after its flags, and the command of the run."""
    what = "-".join(flag.strip("-") for flag in (dataset, *row.flags, str(seed)))
    folder = args.out / "runs" / what
    call = [sys.executable, str(HERE / f"train_{dataset}.py"), *row.flags, "--seed", str(seed)]
    if dataset in args.data:
        call += ["--data", args.data[dataset]]
    return folder, [*call, *(["--quick"] if args.quick else []), "--out", str(folder)]


def metrics(args, dataset, row, seed):
    """Return the metrics of a run, and start the run if it has not finished yet."""
    folder, call = command(args, dataset, row, seed)
    file = folder / "metrics.json"
    if not file.exists():
        print(" ".join(call[1:]), flush=True)
        resume = ["--resume"] if (folder / "checkpoint.pt").exists() else []
        done = subprocess.run([*call, *resume], stdout=subprocess.DEVNULL)
        if done.returncode:
            raise ValueError(f"ablation: {' '.join(call[1:])} failed; see its error above")
    results = list(json.loads(file.read_text())["results"].values())
    return results[1 if row.reranked else 0]


def cell(results):
    """Return the means of rank-1 and mAP in percent, and half the range of rank-1."""
    rank1 = [100 * r["rank1"] for r in results]
    mean = sum(rank1) / len(rank1)
    mean_ap = sum(100 * r["mAP"] for r in results) / len(results)
    spread = f" ±{(max(rank1) - min(rank1)) / 2:.1f}" if len(rank1) > 1 else ""
    return f"{mean:.1f}{spread} ({mean_ap:.1f})"


def markdown(args, table):
    """Return the table in Markdown, with the measured values and those of the paper."""
    shown = [(d, any(row.paper.get(d) for row in table.rows)) for d in table.datasets]
    head = ["rank-1 (mAP), %"]
    for dataset, has_paper in shown:
        head += [dataset, "paper"] if has_paper else [dataset]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in table.rows:
        cells = [row.label]
        for dataset, has_paper in shown:
            cells.append(cell([metrics(args, dataset, row, seed) for seed in args.seeds]))
            cells += [row.paper.get(dataset, "")] if has_paper else []
        lines.append(f"| {' | '.join(cells)} |")
    data = ", ".join(f"{d}: {args.data.get(d, 'synthetic')}" for d in table.datasets)
    seeds = ", ".join(map(str, args.seeds))
    note = f"Mean over seeds {seeds}; ± is half their range. Data: {data}."
    return "\n".join([f"## {table.title}", "", *lines, "", note, ""])


def main():
    args = arguments()
    chosen = {name: TABLES[name] for name in args.tables or TABLES}
    if args.list:
        runs = {
            " ".join(command(args, dataset, row, seed)[1][1:])
            for table in chosen.values()
            for dataset in table.datasets
            for row in table.rows
            for seed in args.seeds
        }
        print("\n".join(sorted(runs)))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    for name, table in chosen.items():
        text = markdown(args, table)
        (args.out / f"{name}.md").write_text(text)
        print(text, flush=True)


if __name__ == "__main__":
    with one_line_errors():
        main()
