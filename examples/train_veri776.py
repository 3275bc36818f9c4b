"""Train and evaluate vehicle re-identification on VeRi-776.

    python examples/train_veri776.py              # synthetic dataset
    python examples/train_veri776.py --loss fidi  # another loss
    python examples/train_veri776.py --data ROOT  # real dataset

With --data, the script follows the recipe of expAT. Without --data, it trains
on a built-in synthetic dataset in the layout of VeRi-776, which takes minutes
on a CPU. It shows people instead of vehicles, so such a run only tests the
script. Each query searches the images of the other cameras. On the synthetic
dataset, expect rank-1 to rise far above chance, which is a few percent.

The script writes metrics.json, config.toml, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events to OUT.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "veri776")
