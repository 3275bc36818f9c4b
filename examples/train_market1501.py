"""Train and evaluate person re-identification on Market-1501.

    python examples/train_market1501.py              # synthetic dataset, minutes on a CPU
    python examples/train_market1501.py --loss va    # any loss of the package
    python examples/train_market1501.py --data ROOT  # Market-1501 itself, expAT's recipe

Without --data, the script uses a built-in synthetic dataset in Market-1501's layout. Each query
searches the images of the other cameras, which contain distractors. On the synthetic dataset,
expect rank-1 to rise from a few percent to about 75 %. Writes OUT/metrics.json, config.toml,
checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "market1501")
