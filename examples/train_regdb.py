"""Train and evaluate visible-thermal person re-identification on RegDB.

    python examples/train_regdb.py                 # synthetic dataset
    python examples/train_regdb.py --loss softmax  # another loss
    python examples/train_regdb.py --data ROOT     # real dataset, ten trials
    python examples/train_regdb.py --data ROOT --trials 1 2

With --data, the script follows the recipe of expAT. Each trial divides the
identities anew and trains a model of its own. The results are the mean of the
trials, for visible queries in a thermal gallery and for thermal queries in a
visible one. Without --data, it trains on a built-in synthetic dataset in the
layout of RegDB, which takes minutes on a CPU, and runs trial 1 unless --trials
names others. On the synthetic dataset, expect rank-1 to rise from 2 % (chance)
to about 30 %.

The script writes metrics.json, config.toml, trial-N/checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events to OUT.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "regdb")
