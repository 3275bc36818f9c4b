"""Train and evaluate visible-thermal person re-identification on RegDB.

    python examples/train_regdb.py                 # embedded dataset, minutes on a CPU
    python examples/train_regdb.py --loss softmax  # the identity loss alone
    python examples/train_regdb.py --data ROOT     # RegDB itself, ten trials of expAT's recipe
    python examples/train_regdb.py --data ROOT --trials 1 2

A trial divides the people anew, so each trains a model of its own; results are the mean of the
trials, visible queries in a thermal gallery and the other way. Without --data it renders made-up
people in RegDB's layout, whose first trial alone is run unless --trials names others. On the
embedded dataset you must see rank-1 rise from 2 % (chance) to about 30 %. Writes OUT/metrics.json,
trial-N/checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

import argparse
import functools
import time

from reid_ext import data, evaluate_regdb, training
from reid_ext.evaluation import mean_of_trials
from reid_ext.training import experiment, one_gallery, stages


def flags(parser):
    what = "default: all ten of the real dataset, the first of the embedded one"
    parser.add_argument("--trials", type=int, nargs="+", choices=data.regdb.TRIALS, help=what)


def of_trial(args, trial):
    """The arguments of one trial's training; one that was not begun has nothing to resume."""
    out = args.out / f"trial-{trial}"
    begun = trial == args.trials[0] or (out / "checkpoint.pt").exists()
    return argparse.Namespace(**{**vars(args), "out": out, "resume": args.resume and begun})


def both_directions(dataset, trial, query, gallery, metric):
    """The rankings of one trial by name: visible queries, and thermal ones."""
    visible, thermal = ([s.identity for s in samples] for samples in dataset[2:])
    sides = (query, gallery, visible, thermal), (gallery, query, thermal, visible)
    return {
        direction.replace("_", " "): evaluate_regdb(
            *(q, g), query_ids=q_ids, gallery_ids=g_ids,
            direction=direction, trial=trial, metric=metric,
        )
        for direction, (q, g, q_ids, g_ids) in zip(
            ("visible_to_thermal", "thermal_to_visible"), sides, strict=True
        )
    }  # fmt: skip


def total(outcomes):
    """The trainings of all trials as one; the losses are those of the last."""
    iterations, seconds = (sum(values) for values in zip(*(o[:2] for o in outcomes), strict=True))
    rate = sum(o.images_per_second * o.seconds for o in outcomes) / max(seconds, 1e-9)
    return training.Outcome(iterations, seconds, rate, outcomes[-1].losses)


def main():
    args = experiment.arguments(__doc__, training.OBJECTIVES, "regdb", flags)
    start = time.perf_counter()
    args.trials = args.trials or (list(data.regdb.TRIALS) if args.data else [1])
    root, recipe = stages.prepare(args, "regdb", training.REGDB, training.EMBEDDED)
    rankings, outcomes = {}, []
    for trial in args.trials:
        dataset = data.load("regdb", root, evaluate_on=args.evaluate_on, trial=trial)
        rank = functools.partial(both_directions, dataset, trial)
        model, outcome, followed = stages.train(of_trial(args, trial), dataset, recipe, rank)
        query, gallery = stages.embed(args, dataset, model, followed)
        outcomes.append(outcome)
        for direction, ranking in rank(query, gallery, followed.metric).items():
            rankings.setdefault(direction, []).append(ranking)
    means = {direction: mean_of_trials(trials) for direction, trials in rankings.items()}
    one_gallery.draw(args, dataset, means, query, gallery)
    stages.finish(args, dataset, means, total(outcomes), followed, start)


if __name__ == "__main__":
    with experiment.one_line_errors():
        main()
