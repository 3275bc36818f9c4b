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

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "regdb")
