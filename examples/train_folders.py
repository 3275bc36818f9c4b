r"""Train and evaluate re-identification on your own images.

    python examples/train_folders.py --data mine                        # folders of folders
    python examples/train_folders.py --data mine --camera '_c(\d+)'     # camera in the file names
    python examples/train_folders.py --data mine/list.csv --loss fidi   # a list, CSV or JSON
    python examples/train_folders.py --data mine --backbone small       # without a GPU, a start

docs/datasets.md shows what folders and lists must look like. If the list has images of two
modalities, each batch holds equally many of both. If cameras are known, a query searches the
images of the other cameras; otherwise it searches all images. The recipe is expAT's, with as many
passes through your images as the original makes through Market-1501's. Writes OUT/metrics.json,
config.toml, checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "folders")
