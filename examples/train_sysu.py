"""Train and evaluate visible-infrared person re-identification on SYSU-MM01.

    python examples/train_sysu.py                 # synthetic dataset
    python examples/train_sysu.py --loss softmax  # another loss
    python examples/train_sysu.py --data ROOT     # real dataset

With --data, the script follows the recipe of expAT. Without --data, it trains
on a built-in synthetic dataset in the layout of SYSU-MM01, which takes minutes
on a CPU. Infrared queries search a visible gallery: all-search and indoor,
single-shot and multi-shot, mean of 10 trials. On the synthetic dataset, expect
rank-1 (all-search, single-shot) to rise from 4 % (chance) to about 50 %.

The script writes metrics.json, config.toml, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events to OUT.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "sysu-mm01")
