"""Train and evaluate person re-identification on Market-1501.

    python examples/train_market1501.py              # synthetic dataset
    python examples/train_market1501.py --loss va    # another loss
    python examples/train_market1501.py --data ROOT  # real dataset

With --data, the script follows the recipe of expAT. Without --data, it trains
on a built-in synthetic dataset in the layout of Market-1501, which takes
minutes on a CPU. Each query searches the images of the other cameras, which
contain distractors. On the synthetic dataset, expect rank-1 to rise from a few
percent to about 75 %.

The script writes metrics.json, config.toml, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events to OUT.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "market1501")
