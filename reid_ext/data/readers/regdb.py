"""RegDB: one visible and one thermal camera side by side, and ten trials.

    ROOT/{Visible,Thermal}/<folder>/<image>.bmp
    ROOT/idx/{train,test}_{visible,thermal}_{1..10}.txt    lines "path identity", path below ROOT
    ROOT/views.json                                        only the embedded dataset

Each trial divides the people anew, in halves, and counts each half from 0: the same number is
another person in train and test, and in another trial.

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
KINDS = {VISIBLE: "visible", INFRARED: "thermal"}


def read(root: str | Path, evaluate_on: str = "test", trial: int = 1) -> Dataset:
    """Read the file lists of one trial of RegDB.

    Args:
        root: The folder that holds Visible, Thermal and idx.
        evaluate_on: ``"test"``: the trial's test lists. ``"val"``, to choose settings by: the
            last sixth of its training identities, which are then not trained on.
        trial: 1 to 10. Each has a training split, so each needs a model of its own.

    Returns:
        Samples in the order of the lists, visible ones (camera 1) before thermal ones (camera 2).
        Queries are the visible test images, the gallery the thermal ones; for the other direction
        exchange the two.

    Raises:
        FileNotFoundError: a folder or a list is missing.
        ValueError: a line that cannot be read, identities that only one modality has, or too few
            of them to hold out.
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
    """412 people, 10 images of each in each modality; every trial has one half to train on."""
    return Expected(Count(206, 4_120), Count(206, 2_060), Count(206, 2_060))


def check_lists(root: Path) -> list[str]:
    """What is wrong with the lists of all trials."""
    wrong = []
    for trial in TRIALS:
        try:
            dataset = read(root, trial=trial)
        except (OSError, ValueError) as error:
            wrong.append(str(error))
            continue
        tested = {s.path for s in dataset.query + dataset.gallery}
        if shared := tested & {s.path for s in dataset.train}:
            wrong.append(f"{NAME}: trial {trial} trains on {len(shared)} of its test images")
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
    """Training draws every identity in both modalities, so each must have both."""
    alone = {s.identity for s in visible} ^ {s.identity for s in thermal}
    if alone:
        lists = f"train_visible_{trial}.txt and train_thermal_{trial}.txt of {root / 'idx'}"
        got = f"{some(sorted(alone))} in one of them only"
        advice = "restore the lists of the dataset"
        raise ArgumentError(NAME, lists, "have the same identities", got, advice)
