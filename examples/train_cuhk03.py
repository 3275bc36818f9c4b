"""Train and evaluate person re-identification on CUHK03-NP.

    python examples/train_cuhk03.py                  # embedded dataset, minutes on a CPU
    python examples/train_cuhk03.py --loss va        # any loss of the package
    python examples/train_cuhk03.py --data ROOT      # CUHK03-NP itself, expAT's recipe
    python examples/train_cuhk03.py --boxes labeled  # those drawn by hand

Without --data it renders made-up people in CUHK03-NP's layout. Each query searches the images of
the other camera of its pair. On the embedded dataset you must see rank-1 rise from a few percent to
about 84 %. Writes OUT/metrics.json, checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "cuhk03-np")
