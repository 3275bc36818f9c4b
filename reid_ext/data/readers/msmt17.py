"""MSMT17: fifteen visible cameras, and lists with the identity of each image.

    ROOT/{train,test}/<identity>/<identity>_<image>_<camera>_<...>.jpg      version 1
    ROOT/{mask_train_v2,mask_test_v2}/...                                   version 2
    ROOT/list_{train,val,query,gallery}.txt      lines "path identity", path below the folder
    ROOT/views.json                      only in a synthetic dataset: path below ROOT -> view

Both train and test count their identities from 0, so the same number means different persons.

Source: Wei et al., CVPR 2018, and the files of the dataset.
"""

from pathlib import Path

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.readers.hold_out import EVALUATED, hold_out
from reid_ext.data.readers.tree import check_folders, read_list, short
from reid_ext.data.sample import Dataset, Sample
from reid_ext.data.view_names import read_views

NAME = "msmt17"
FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))  # of versions 1 and 2
CAMERAS = tuple(range(1, 16))
TEST_COUNTS_ANEW = True
OTHER_SPLITS = ({"train_on": "trainval"},)


def read(root: str | Path, evaluate_on: str = "test", train_on: str = "train") -> Dataset:
    """Read the file lists of MSMT17, version 1 or 2.

    Args:
        root: Folder that contains the lists, such as MSMT17_V1.
        evaluate_on: If ``"test"``, read list_query and list_gallery. If ``"val"``, hold out the
            last sixth of the training identities, to choose hyperparameters on. Default:
            ``"test"``.
        train_on: ``"train"`` (list_train, as in most papers) or ``"trainval"`` (list_train and
            list_val). Default: ``"train"``.

    Returns:
        Samples in the order of the lists.

    Raises:
        FileNotFoundError: A folder or a list is missing.
        ArgumentError: A line of a list or a camera is invalid, or there are fewer than 12
            identities to hold out from.
    """
    choice(NAME, "evaluate_on", evaluate_on, EVALUATED)
    choice(NAME, "train_on", train_on, ("train", "trainval"))
    root = Path(root)
    train_folder, test_folder = _folders(root)
    views = read_views(root)
    train = []
    for split in ("train", "val") if train_on == "trainval" else ("train",):
        train += _samples(root, split, train_folder, views)
    if evaluate_on == "val":
        return hold_out(NAME, train)
    query = _samples(root, "query", test_folder, views)
    return Dataset(NAME, train, query, _samples(root, "gallery", test_folder, views))


def expected(train_on: str = "train") -> Expected:
    """Published counts; list_train has 30,248 images, list_val 2,373."""
    train = 30_248 if train_on == "train" else 32_621
    return Expected(Count(1_041, train), Count(3_060, 11_659), Count(3_060, 82_161))


def check_lists(root: Path) -> list[str]:
    """The problems of list_val, which the reader opens for ``train_on="trainval"`` only."""
    train_folder, _ = _folders(root)
    trained = {s.path for s in _samples(root, "train", train_folder, {})}
    val = {s.path for s in _samples(root, "val", train_folder, {})}
    shared = trained & val
    if not shared:
        return []
    return [
        f"{NAME}: list_val.txt must have no images of list_train.txt, got {len(shared)}; restore "
        "the lists of the dataset"
    ]


def _folders(root: Path) -> tuple[str, str]:
    """The train and test folders of the version that ``root`` contains."""
    first, second = FOLDERS
    folders = second if all((root / folder).is_dir() for folder in second) else first
    check_folders(NAME, root, folders)
    return folders


def _samples(root: Path, split: str, folder: str, views: dict[str, int]) -> list[Sample]:
    """The images of one list."""
    samples = []
    path = root / f"list_{split}.txt"
    for image, identity in read_list(NAME, path):
        view = views.get(f"{folder}/{image}")
        samples.append(Sample(root / folder / image, identity, _camera(image, path), view))
    return samples


def _camera(image: str, path: Path) -> int:
    fields = image.rsplit("/", 1)[-1].split("_")
    camera = int(fields[2]) if len(fields) > 2 and fields[2].isdecimal() else 0
    if camera not in CAMERAS:
        name = "0000_000_01_0303morning_0008_0.jpg"
        requirement = f"be named like {name}, with a camera from 1 to 15 as third field"
        advice = "restore the list of the dataset"
        raise ArgumentError(NAME, f"images of {path}", requirement, short(image), advice)
    return camera
