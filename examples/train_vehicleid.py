"""Train and evaluate vehicle re-identification on PKU VehicleID.

    python examples/train_vehicleid.py --data ROOT              # the recipe of VeRi-776
    python examples/train_vehicleid.py --data ROOT --size 2400  # the large test list
    python examples/train_vehicleid.py --data ROOT --loss fidi  # any loss of the package

Ten trials draw one image of each test vehicle as the gallery, all others query; results are their
mean. The dataset is on request from its authors, and the package draws no vehicles, so --data is
needed; docs/datasets.md shows the folders. Writes OUT/metrics.json, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "vehicleid")
