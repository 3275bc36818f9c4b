"""Train and evaluate person re-identification on MSMT17.

    python examples/train_msmt17.py                      # embedded dataset, minutes on a CPU
    python examples/train_msmt17.py --loss va            # any loss of the package
    python examples/train_msmt17.py --data ROOT          # MSMT17 itself, expAT's recipe
    python examples/train_msmt17.py --train-on trainval  # list_val too

Without --data it renders made-up people in MSMT17's layout. Each query searches the images of the
other cameras. On the embedded dataset you must see rank-1 rise from a few percent to about 67 %.
Writes OUT/metrics.json, checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "msmt17")
