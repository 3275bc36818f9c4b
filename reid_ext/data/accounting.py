"""The account of a dataset's files: how many were seen, how many are used, and why others are not.

The account is the same for all readers. A reader declares what it leaves out on purpose:
``OTHER_SPLITS`` in its module has the arguments that lead to further images, ``SPARE`` the pattern
of images that belong to no split, and ``Dataset.left_out`` the images of one call. All other images
below the folder are unexpected: the results would not include them.
"""

import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from reid_ext.data.readers.registry import module_of
from reid_ext.data.readers.tree import IMAGE_SUFFIXES, UNREAD_SUFFIXES, is_system
from reid_ext.data.sample import Dataset

LINK = "broken links"
CLOSED = "folders that cannot be opened"
SUFFIX = "JPEG or PNG images without their suffix"
FORMAT = "images in a format that the readers ignore"
BESIDE = "images beside those in use, unlisted or named otherwise"
BELOW = "images below the folders that the reader opens"
ELSEWHERE = "images in folders that the reader does not open"
ADVICE = {
    LINK: "restore the files that they lead to, or remove the links",
    CLOSED: "change their permissions",
    SUFFIX: "rename them to .jpg or .png",
    FORMAT: f"convert them to {', '.join(IMAGE_SUFFIXES[:-1])} or {IMAGE_SUFFIXES[-1]}",
    BESIDE: "name or list them like the others, or remove them",
    BELOW: "move them up, or remove them",
    ELSEWHERE: "move them into the folders of the dataset, or out of its root",
}
HIDDEN = "hidden and system files"
OTHER = "other splits"
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


class Files(NamedTuple):
    """The image files of a dataset.

    Attributes:
        seen: Number of images below the folder, or in the list.
        used: Number of those that are in train, query or gallery.
        left_out: For each reason, the images that the reader leaves out on purpose.
        unexpected: For each problem, the images that are left out although nothing says so.
        linked: Whether any of the files is a link.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> print(data.Files(8, 7, {"other splits": [Path("a.jpg")]}, {}, linked=False))
        files: 8 images seen, 7 used; left out: other splits (1)
    """

    seen: int
    used: int
    left_out: Mapping[str, list[Path]]
    unexpected: Mapping[str, list[Path]]
    linked: bool

    def __str__(self) -> str:
        counts = [f"{why} ({number:,})" for why, number in self.counts().items()]
        left_out = f"; left out: {'; '.join(counts)}" if counts else ", none left out"
        return f"files: {self.seen:,} images seen, {self.used:,} used{left_out}"

    def counts(self) -> dict[str, int]:
        """Return the number of images that are left out, by reason."""
        reasons = {**self.left_out, **self.unexpected}
        return {why: len(paths) for why, paths in reasons.items()}


def files(dataset: Dataset, root: str | Path, **split: str | int) -> Files:
    """Compare the images that a dataset uses with all images below its folder.

    Args:
        dataset: The dataset, as :func:`load` returned it.
        root: Its folder, or the file of a ``"manifest"``, whose folder is not searched.
        split: The arguments of the reader, as for :func:`load`.

    Returns:
        The counts, and the images that are left out, by reason. Links are followed.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for image in ("query/bert/1.jpg", "gallery/bert/2.jpg", "query/bert/more/3.jpg"):
        ...         path = Path(root, image)
        ...         path.parent.mkdir(parents=True, exist_ok=True)
        ...         path.touch()
        ...     found = data.files(data.load("folders", root), root)
        >>> found.seen, found.used, [path.name for path in next(iter(found.unexpected.values()))]
        (3, 2, ['3.jpg'])
    """
    module = module_of("data.files", dataset.name)
    used = {str(sample.path) for samples in dataset[1:] for sample in samples}
    left_out = {why: list(paths) for why, paths in dataset.left_out.items() if paths}
    unexpected: dict[str, list[Path]] = {}
    reasons = {str(path): why for why, paths in left_out.items() for path in paths}
    if not Path(root).is_dir():
        return Files(len(used) + len(reasons), len(used), left_out, unexpected, False)
    found = list(_found(str(root), ()))
    rest = [image for image in found if image.path not in used and image.path not in reasons]
    others = _others(module, root, split) if rest else set()
    folders = {os.path.dirname(path) for path in chain(used, others)}
    for image in sorted(rest):
        path = Path(image.path)
        why = OTHER if image.path in others else _why(path.relative_to(root), module)
        if why:
            left_out.setdefault(why, []).append(path)
        else:
            unexpected.setdefault(image.problem or _place(path, folders), []).append(path)
    in_use = sum(image.path in used for image in found)
    return Files(len(found), in_use, left_out, unexpected, any(image.linked for image in found))


class _Image(NamedTuple):
    path: str
    problem: str  # or "" if there is none
    linked: bool


def _found(folder: str, above: tuple[str, ...]) -> Iterator[_Image]:
    """Yield the images below a folder; a link that leads back to a folder above is not followed."""
    here = (*above, os.path.realpath(folder))
    try:
        entries = list(os.scandir(folder))
    except OSError:
        yield _Image(folder, CLOSED, False)
        return
    for entry in entries:
        linked = entry.is_symlink()
        if not entry.is_dir():
            problem = _problem(entry)
            if problem is not None:
                yield _Image(entry.path, problem, linked)
        elif not linked or os.path.realpath(entry.path) not in here:
            yield from (i._replace(linked=True) if linked else i for i in _found(entry.path, here))


def _problem(entry: os.DirEntry) -> str | None:
    """The problem with the suffix of an image, "" if there is none; None for another file."""
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in ("", *IMAGE_SUFFIXES) and entry.is_symlink() and not os.path.exists(entry.path):
        return LINK
    if suffix in IMAGE_SUFFIXES:
        return ""
    if suffix in UNREAD_SUFFIXES:
        return FORMAT
    if not entry.is_file():
        return None
    try:
        with open(entry.path, "rb") as file:
            return SUFFIX if file.read(8).startswith(_STARTS) else None
    except OSError:
        return None


def _others(module: object, root: str | Path, split: Mapping[str, str | int]) -> set[str]:
    """The images of the splits that the arguments of the reader did not choose."""
    paths = set()
    fixed = {key: value for key, value in split.items() if key == "camera"}
    for other in ({}, *getattr(module, "OTHER_SPLITS", ())):
        try:
            dataset = module.read(root, **fixed, **other)  # type: ignore[attr-defined]
        except (OSError, ValueError):
            continue
        paths |= {str(sample.path) for samples in dataset[1:] for sample in samples}
        paths |= {str(path) for left_out in dataset.left_out.values() for path in left_out}
    return paths


def _why(path: Path, module: object) -> str:
    """Why the image may be left out, or "" if nothing says so."""
    if path.name.startswith(".") or any(map(is_system, path.parts[:-1])):
        return HIDDEN
    for pattern, why in getattr(module, "SPARE", ()):
        if pattern.match(path.as_posix()):
            return why
    return ""


def _place(path: Path, folders: set[str]) -> str:
    """The problem of an image that no reader knows, by its place among the images in use."""
    if str(path.parent) in folders:
        return BESIDE
    return BELOW if any(str(above) in folders for above in path.parents) else ELSEWHERE
