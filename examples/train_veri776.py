"""Train and evaluate vehicle re-identification on VeRi-776.

    python examples/train_veri776.py              # synthetic dataset, minutes on a CPU
    python examples/train_veri776.py --loss fidi  # any loss of the package
    python examples/train_veri776.py --data ROOT  # VeRi-776 itself, expAT's recipe

Without --data, the script uses a built-in synthetic dataset in VeRi-776's layout. It shows people,
because the package draws no vehicles, so such a run only tries the script out. Each query searches
the images of the other cameras. On the synthetic dataset, expect rank-1 to rise far above chance,
which is a few percent. Writes OUT/metrics.json, config.toml, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "veri776")
