"""Train and evaluate person re-identification on DukeMTMC-reID.

    python examples/train_dukemtmc.py              # synthetic dataset
    python examples/train_dukemtmc.py --loss va    # another loss
    python examples/train_dukemtmc.py --data ROOT  # real dataset

With --data, the script follows the recipe of expAT. Without --data, it trains
on a built-in synthetic dataset in the layout of DukeMTMC-reID, which takes
minutes on a CPU. Each query searches the images of the other cameras, which
contain distractors: identities that only one camera saw. On the synthetic
dataset, expect rank-1 to rise from a few percent to about 84 %.

The script writes metrics.json, config.toml, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events to OUT.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "dukemtmc-reid")
