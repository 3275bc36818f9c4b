"""Train and evaluate visible-infrared person re-identification on LLCM.

    python examples/train_llcm.py --data ROOT                 # all defaults
    python examples/train_llcm.py --data ROOT --loss softmax  # another loss

The recipe is the one of expAT for SYSU-MM01. Images of one modality search
those of the other, in both directions. Each of ten trials draws one gallery
image per identity and camera, and the results are the mean of the trials.
--data is required, because the package has no synthetic dataset in this layout.
The authors of LLCM provide it on request, and docs/datasets.md shows its
folders.

The script writes metrics.json, config.toml, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events to OUT.
"""

from reid_ext.training import command_line

if __name__ == "__main__":
    command_line.main(__doc__, "llcm")
