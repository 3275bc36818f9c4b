"""Train and evaluate vehicle re-identification on PKU VehicleID.

    python examples/train_vehicleid.py --data ROOT              # all defaults
    python examples/train_vehicleid.py --data ROOT --size 2400  # large list
    python examples/train_vehicleid.py --data ROOT --loss fidi  # another loss

The recipe is the one for VeRi-776. Each of ten trials draws one image per test
vehicle as the gallery and uses all other images as queries. The results are the
mean of the trials. --data is required, because the package has no synthetic
vehicles. The authors of VehicleID provide it on request, and docs/datasets.md
shows its folders.

The script writes metrics.json, config.toml, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events to OUT.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "vehicleid")
