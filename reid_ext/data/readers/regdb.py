"""RegDB: one visible and one thermal camera side by side, and ten trials.

    ROOT/{Visible,Thermal}/<folder>/<image>.bmp
    ROOT/idx/{train,test}_{visible,thermal}_{1..10}.txt    lines "path identity", path below ROOT
    ROOT/views.json                                        only in a synthetic dataset

Each trial splits the persons into two halves in another way, and counts the identities of each half
from 0. The same number means different persons in train and test, and in two trials.

Source: Nguyen et al., Sensors 2017; the lists that Ye et al. released.
"""

from pathlib import Path

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.readers.hold_out import EVALUATED, hold_out_by_modality
from reid_ext.data.readers.tree import check_folders, read_list, some
from reid_ext.data.sample import INFRARED, VISIBLE, Dataset, Sample
from reid_ext.data.view_names import read_views

NAME = "regdb"
TRIALS = tuple(range(1, 11))
CAMERAS = (1, 2)
TEST_COUNTS_ANEW = True
OTHER_SPLITS = tuple({"trial": trial} for trial in TRIALS)
KINDS = {VISIBLE: "visible", INFRARED: "thermal"}


def read(root: str | Path, evaluate_on: str = "test", trial: int = 1) -> Dataset:
    """Read the file lists of one trial of RegDB.

    Args:
        root: Folder that contains Visible, Thermal and idx.
        evaluate_on: If ``"test"``, read the test lists of the trial. If ``"val"``, hold out the
            last sixth of its training identities, to choose hyperparameters on. Default:
            ``"test"``.
        trial: Number of the trial, 1 to 10. Each trial has its own training split and needs its own
            model. Default: 1.

    Returns:
        Samples in the order of the lists, visible ones (camera 1) before thermal ones (camera 2).
        The queries are the visible test images, the gallery is the thermal ones; exchange the two
        for the other direction.

    Raises:
        FileNotFoundError: A folder or a list is missing.
        ArgumentError: A line of a list is invalid, an identity has images of one modality only, or
            there are fewer than 12 identities to hold out from.
    """
    choice(NAME, "evaluate_on", evaluate_on, EVALUATED)
    choice(NAME, "trial", trial, TRIALS)
    root = Path(root)
    check_folders(NAME, root, ("Visible", "Thermal", "idx"))
    views = read_views(root)
    visible, thermal = (_samples(root, "train", m, trial, views) for m in KINDS)
    _check_both(root, trial, visible, thermal)
    if evaluate_on == "val":
        return hold_out_by_modality(NAME, visible + thermal)
    query, gallery = (_samples(root, "test", m, trial, views) for m in KINDS)
    return Dataset(NAME, visible + thermal, query, gallery)


def expected(trial: int = 1) -> Expected:
    """Published counts: 412 persons with 10 images per modality, one half for training."""
    return Expected(Count(206, 4_120), Count(206, 2_060), Count(206, 2_060))


def check_lists(root: Path) -> list[str]:
    """The problems of the lists of all trials."""
    wrong = []
    for trial in TRIALS:
        try:
            dataset = read(root, trial=trial)
        except (OSError, ValueError) as error:
            wrong.append(str(error))
            continue
        tested = {s.path for s in dataset.query + dataset.gallery}
        if shared := tested & {s.path for s in dataset.train}:
            wrong.append(
                f"{NAME}: trial {trial} must have no images in both train and test, got "
                f"{len(shared)}; restore the lists of the dataset"
            )
    return wrong


def _samples(
    root: Path, split: str, modality: int, trial: int, views: dict[str, int]
) -> list[Sample]:
    path = root / "idx" / f"{split}_{KINDS[modality]}_{trial}.txt"
    return [
        Sample(root / image, identity, CAMERAS[modality], views.get(image), modality)
        for image, identity in read_list(NAME, path)
    ]


def _check_both(root: Path, trial: int, visible: list[Sample], thermal: list[Sample]) -> None:
    """Raise ArgumentError unless every training identity has images of both modalities."""
    alone = {s.identity for s in visible} ^ {s.identity for s in thermal}
    if alone:
        lists = f"train_visible_{trial}.txt and train_thermal_{trial}.txt of {root / 'idx'}"
        got = f"identity {some(sorted(alone))} in one of them only"
        advice = "restore the lists of the dataset"
        raise ArgumentError(NAME, lists, "have the same identities", got, advice)
