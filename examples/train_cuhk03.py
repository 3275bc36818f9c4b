"""Train and evaluate person re-identification on CUHK03-NP.

    python examples/train_cuhk03.py                  # synthetic dataset, minutes on a CPU
    python examples/train_cuhk03.py --loss va        # any loss of the package
    python examples/train_cuhk03.py --data ROOT      # CUHK03-NP itself, expAT's recipe
    python examples/train_cuhk03.py --boxes labeled  # boxes drawn by hand

Without --data, the script uses a built-in synthetic dataset in CUHK03-NP's layout. Each query
searches the images of the other camera of its pair. On the synthetic dataset, expect rank-1 to
rise from a few percent to about 84 %. Writes OUT/metrics.json, config.toml, checkpoint.pt,
cmc.png, ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "cuhk03-np")
