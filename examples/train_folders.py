r"""Train and evaluate re-identification on your own images.

    python examples/train_folders.py --data mine                     # folders
    python examples/train_folders.py --data mine --camera '_c(\d+)'  # cameras
    python examples/train_folders.py --data mine/list.csv            # CSV list
    python examples/train_folders.py --data mine --backbone small    # on a CPU

docs/datasets.md shows how to arrange folders and lists. If a list has images of
two modalities, each batch holds equally many images of both. If the cameras are
known, a query searches the images of the other cameras. Otherwise it searches
all images. The recipe is expAT's for Market-1501, or for SYSU-MM01 if there are
two modalities, with as many passes through the images as in the original.

The script writes metrics.json, config.toml, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events to OUT.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "folders")
