"""Train and evaluate visible-infrared person re-identification on LLCM.

    python examples/train_llcm.py --data ROOT                 # expAT's recipe of SYSU-MM01
    python examples/train_llcm.py --data ROOT --loss softmax  # any loss of the package

Images of one modality search those of the other, in both directions. Each of ten trials draws one
gallery image per identity and camera; results are the mean of the trials. --data is required: the
authors of the dataset give it on request, and the package has no synthetic dataset in its layout.
docs/datasets.md shows the folders. Writes OUT/metrics.json, config.toml, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "llcm")
