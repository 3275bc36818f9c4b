"""Train and evaluate vehicle re-identification on PKU VehicleID.

    python examples/train_vehicleid.py --data ROOT              # the recipe of VeRi-776
    python examples/train_vehicleid.py --data ROOT --size 2400  # the large test list
    python examples/train_vehicleid.py --data ROOT --loss fidi  # any loss of the package

Each of ten trials draws one image per test vehicle as the gallery, and all others are queries;
results are the mean of the trials. --data is required: the authors of the dataset give it on
request, and the package has no synthetic vehicles. docs/datasets.md shows the folders. Writes
OUT/metrics.json, config.toml, checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "vehicleid")
