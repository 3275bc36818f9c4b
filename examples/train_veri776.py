"""Train and evaluate vehicle re-identification on VeRi-776.

    python examples/train_veri776.py              # embedded dataset, minutes on a CPU
    python examples/train_veri776.py --loss fidi  # any loss of the package
    python examples/train_veri776.py --data ROOT  # VeRi-776 itself, expAT's recipe

Without --data it renders made-up people in VeRi-776's layout: the package draws no vehicles, so
such a run tries the script out and no more. Each query searches the images of the other cameras.
You must then see rank-1 rise far above a few percent, which is chance. Writes OUT/metrics.json,
checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "veri776")
