"""Train and evaluate person re-identification on MSMT17.

    python examples/train_msmt17.py                      # synthetic dataset, minutes on a CPU
    python examples/train_msmt17.py --loss va            # any loss of the package
    python examples/train_msmt17.py --data ROOT          # MSMT17 itself, expAT's recipe
    python examples/train_msmt17.py --train-on trainval  # also on the images of list_val

Without --data, the script uses a built-in synthetic dataset in MSMT17's layout. Each query
searches the images of the other cameras. On the synthetic dataset, expect rank-1 to rise from a
few percent to about 67 %. Writes OUT/metrics.json, config.toml, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "msmt17")
