"""Train and evaluate visible-infrared person re-identification on LLCM.

    python examples/train_llcm.py --data ROOT                 # expAT's recipe of SYSU-MM01
    python examples/train_llcm.py --data ROOT --loss softmax  # any loss of the package

Images of one modality search the other's, ten trials that draw one gallery image of an identity and
camera; results are their mean, in both directions. The dataset is on request from its authors, and
the package renders none in its layout, so --data is needed; docs/datasets.md shows the folders.
Writes OUT/metrics.json, checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "llcm")
