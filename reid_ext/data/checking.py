"""Checks that the copy of a dataset on disk is complete, and reports all problems at once.

If the module of a dataset has ``check_lists``, that function checks what belongs to this dataset
only, such as lists that the reader does not use for the requested split.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from reid_ext._runtime.progress import Progress
from reid_ext.data.accounting import ADVICE, Files, files
from reid_ext.data.decoding import decode
from reid_ext.data.readers.hold_out import NOBODY
from reid_ext.data.readers.registry import check_split, load, module_of
from reid_ext.data.readers.tree import is_image, some
from reid_ext.data.sample import SYNTHETIC_MANIFEST, Dataset, Sample

ERROR, WARNING, NOTE = "error", "warning", "note"
MISSING, EMPTY, BROKEN = "is missing", "is empty (0 bytes)", "does not decode"
PLURAL = {MISSING: "are missing", EMPTY: "are empty (0 bytes)", BROKEN: "do not decode"}


class Finding(NamedTuple):
    """One finding of a check, and the files that it concerns."""

    # "error": an evaluation would fail or be wrong. "warning": unusual. "note": information.
    level: str
    kind: str  # "layout", "count", "camera", "identity", "list", "image"
    message: str
    paths: Sequence[Path] = ()


class Summary(NamedTuple):
    """One split: its images, identities and cameras, and how many images have a view."""

    images: int
    identities: int
    cameras: list[int]
    with_view: int


class CheckReport(NamedTuple):
    """The result of :func:`check`.

    Attributes:
        name: Name of the dataset.
        root: Its folder, or the file of a ``"manifest"``.
        dataset: The samples of the dataset, or None if the reader raised an error.
        splits: For ``"train"``, ``"query"`` and ``"gallery"``: the numbers of images and
            identities, the cameras, and the number of images with a view. Empty if ``dataset`` is
            None.
        files: How many images were seen and used, and why others are left out. None if ``dataset``
            is None.
        findings: All findings, each with a level (``"error"``, ``"warning"`` or ``"note"``), a
            kind, a message and the paths of the files concerned.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> report = data.check("market1501", Path("nowhere"))
        >>> report.ok, report.dataset, report.splits
        (False, None, {})
        >>> report.findings[0].level, report.findings[0].kind
        ('error', 'layout')
    """

    name: str
    root: Path
    dataset: Dataset | None
    splits: dict[str, Summary]
    findings: list[Finding]
    files: Files | None = None

    @property
    def ok(self) -> bool:
        """True if no finding has the level ``"error"``."""
        return all(finding.level != ERROR for finding in self.findings)


def check(
    name: str,
    root: str | Path,
    *,
    images: bool = True,
    official: bool = False,
    **split: str | int,
) -> CheckReport:
    """Account for all files in the folder of a dataset, and open every image.

    Args:
        name: Name of the dataset, as for :func:`load`.
        root: Folder of the dataset. Problems with its content are findings and not exceptions.
        images: If True, decode every image. If False, only check that each file exists and is not
            empty. Default: True.
        official: If True, the dataset must have the published cameras and counts. If False, a
            difference is a note, because your own files may have the names of a dataset.
            Default: False.
        split: Arguments of the reader of this dataset, as for :func:`load`.

    Returns:
        A :class:`CheckReport` with one finding for each kind of problem. A finding has the number
        of files concerned, the first names, and all paths.

    Raises:
        ArgumentError: ``name`` is unknown, or the reader has no such argument as in ``split``.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for image in ("train/anna/1.jpg", "query/bert/1.jpg", "gallery/bert/2.jpg"):
        ...         path = Path(root, image)
        ...         path.parent.mkdir(parents=True)
        ...         path.touch()  # an empty file: the check reports it
        ...     report = data.check("folders", root)
        >>> report.ok, report.splits["query"].images
        (False, 1)
        >>> report.findings[-1].message.partition(":")[0]
        '3 images are empty (0 bytes)'
        >>> str(report.files)
        'files: 3 images seen, 3 used, none left out'
    """
    module = module_of("data.check", name)
    check_split("data.check", name, split)
    root = Path(root)
    findings: list[Finding] = []
    dataset = account = None
    try:
        dataset = load(name, root, **split)
    except (OSError, ValueError, ImportError) as error:
        findings.append(Finding(ERROR, "layout", str(error)))
    if dataset is None:
        splits = {}
        paths = sorted(path for path in root.rglob("*") if is_image(path.name))
    else:
        of = zip(("train", "query", "gallery"), dataset[1:], strict=True)
        splits = {role: _summary(samples) for role, samples in of}
        account = files(dataset, root, **split)
        findings += _counts(module, root, splits, split, official=official)
        findings += _cameras(module, dataset, ERROR if official else WARNING)
        findings += _identities(module, dataset, linked=account.linked)
        findings += _numbers(dataset)
        findings += _left_out(account, root)
        paths = sorted({s.path for samples in dataset[1:] for s in samples})
    said = {_without_advice(finding.message) for finding in findings}
    lists = [m for m in dict.fromkeys(_lists(module, root)) if _without_advice(m) not in said]
    findings += [Finding(ERROR, "list", message) for message in lists]
    findings += _images(paths, root, decoded=images)
    return CheckReport(name, root, dataset, splits, findings, account)


def _summary(samples: Sequence[Sample]) -> Summary:
    return Summary(
        images=len(samples),
        identities=len({s.identity for s in samples}),
        cameras=sorted({s.camera for s in samples}),
        with_view=sum(s.view is not None for s in samples),
    )


def _counts(
    module: ModuleType,
    root: Path,
    splits: dict[str, Summary],
    split: dict[str, str | int],
    *,
    official: bool,
) -> Iterator[Finding]:
    """Yield the differences from the published counts."""
    if (root / SYNTHETIC_MANIFEST).is_file():
        yield Finding(NOTE, "count", "this is a synthetic dataset; its counts are not compared")
        return
    which = {key: value for key, value in split.items() if key != "evaluate_on"}
    if split.get("evaluate_on") == "val":
        yield Finding(NOTE, "count", "counts are published for evaluate_on='test' only")
        return
    differences = [
        (role, what, published, getattr(splits[role], what))
        for role, expected in zip(splits, module.expected(**which), strict=True)
        for what, published in expected._asdict().items()
        if published not in (None, getattr(splits[role], what))
    ]
    if official:
        for role, what, published, count in differences:
            message = (
                f"{role} must have {published:,} {what}, got {count:,}; compare {root} with "
                "the original archive"
            )
            yield Finding(ERROR, "count", message)
    elif differences:
        role, what, published, count = differences[0]
        message = (
            f"these are not the published counts, such as {published:,} {what} in {role} where "
            f"{root} has {count:,}; if this is the original dataset, check it with --official"
        )
        yield Finding(NOTE, "count", message)


def _cameras(module: ModuleType, dataset: Dataset, level: str) -> Iterator[Finding]:
    seen = {s.camera for samples in dataset[1:] for s in samples}
    if missing := sorted(set(module.CAMERAS) - seen):
        message = (
            f"every camera must have images, got no image of camera {some(missing)}; copy the "
            "missing files"
        )
        yield Finding(level, "camera", message)


def _identities(module: ModuleType, dataset: Dataset, *, linked: bool) -> Iterator[Finding]:
    """Yield images and identities in both train and test, duplicates, and unmatched queries."""
    file_of = os.path.realpath if linked else str
    train = {file_of(s.path) for s in dataset.train}
    tested = [*dataset.query, *dataset.gallery]
    if shared := sorted({s.path for s in tested if file_of(s.path) in train}):
        message = (
            f"images must be in either train or test, got {len(shared):,} in both; restore the "
            "lists of the dataset"
        )
        yield Finding(ERROR, "identity", message, shared)
    counts_anew = getattr(module, "TEST_COUNTS_ANEW", False)
    both = sorted({s.identity for s in dataset.train} & {s.identity for s in tested})
    if both and not counts_anew:
        message = (
            f"identities must be in either train or test, got {some(both)} in both; remove their "
            "images from one of them"
        )
        yield Finding(ERROR, "identity", message)
    for role, samples in zip(("train", "query", "gallery"), dataset[1:], strict=True):
        number = Counter(file_of(s.path) for s in samples)
        twice = sorted({s.path for s in samples if number[file_of(s.path)] > 1})
        if twice:
            message = (
                f"{role} must list each image once, got {len(twice):,} more than once; remove the "
                "duplicate lines"
            )
            yield Finding(ERROR, "list", message, twice)
    matches: dict[int, set[int]] = {}
    for sample in dataset.gallery:
        matches.setdefault(sample.identity, set()).add(sample.camera)
    if len({s.camera for s in tested}) == 1:
        return  # with a single camera, the protocol ranks images of the same camera
    alone = [s for s in dataset.query if not matches.get(s.identity, set()) - {s.camera}]
    if alone:
        message = (
            f"{len(alone):,} of {len(dataset.query):,} queries have no match in another camera "
            f"(identity {some(sorted({s.identity for s in alone}))}); the evaluation skips them"
        )
        yield Finding(WARNING, "identity", message, [s.path for s in alone])


def _lists(module: ModuleType, root: Path) -> list[str]:
    if not hasattr(module, "check_lists") or not root.is_dir():
        return []
    try:
        return module.check_lists(root)
    except (OSError, ValueError, ImportError) as error:
        return [str(error)]


def _without_advice(message: str) -> str:
    return message.rpartition("; ")[0]


def _images(paths: Sequence[Path], root: Path, *, decoded: bool) -> Iterator[Finding]:
    """Yield one finding each for missing images, empty ones, and ones that do not decode."""
    faults: dict[str, list[Path]] = {}
    if not paths:
        return
    with ThreadPoolExecutor() as pool, Progress(len(paths), "checking") as progress:
        opened = pool.map(lambda path: _fault(path, decoded=decoded), paths)
        for path, fault in zip(paths, opened, strict=True):
            if fault:
                faults.setdefault(fault, []).append(path)
            progress.update(1)
    for fault, found in sorted(faults.items()):
        shown = some(_within(root, path) for path in found)
        what = f"1 image {fault}" if len(found) == 1 else f"{len(found):,} images {PLURAL[fault]}"
        yield Finding(ERROR, "image", f"{what}: {shown}; copy the originals again", found)


def _within(root: Path, path: Path) -> Path:
    """The path below the dataset: several identities may have an image of the same name."""
    folder = root.parent if root.is_file() else root  # a manifest is a file
    return path.relative_to(folder) if folder in path.parents else path


def _left_out(account: Files, root: Path) -> Iterator[Finding]:
    """Yield images that no split includes, although nothing says that they should be left out."""
    if nobody := account.left_out.get(NOBODY):
        shown = some(_within(root, path) for path in nobody)
        advice = "if these are persons, give them other numbers"
        message = f"left out: {NOBODY} ({len(nobody):,}): {shown}; {advice}"
        yield Finding(WARNING, "identity", message, nobody)
    for problem, paths in account.unexpected.items():
        shown = some(_within(root, path) for path in paths)
        message = f"left out: {problem} ({len(paths):,}): {shown}; {ADVICE[problem]}"
        yield Finding(ERROR, "image", message, paths)


def _numbers(dataset: Dataset) -> Iterator[Finding]:
    """Yield the numbers of identities whose labels are not their numbers."""
    numbers = numbers_of_labels(dataset)
    if numbers:
        shown = some(f"{label} = {number}" for label, number in numbers.items())
        message = f"identities are numbered: {shown}; --json prints all of them"
        yield Finding(NOTE, "identity", message)


def numbers_of_labels(dataset: Dataset) -> dict[str, int]:
    """Return the number of each identity that the reader numbered, by its label.

    Args:
        dataset: Any dataset. Only those of ``"folders"`` and ``"manifest"`` have such labels.

    Returns:
        A mapping from ``Sample.label`` to ``Sample.identity``, in the order of the numbers. It is
        empty if all identities keep the numbers that they have in the files.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> anna = data.Sample(Path("a.jpg"), identity=1, camera=0, label="anna")
        >>> data.numbers_of_labels(data.Dataset("mine", [anna], [], []))
        {'anna': 1}
    """
    found = {s.label: s.identity for samples in dataset[1:] for s in samples if s.label}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _fault(path: Path, *, decoded: bool) -> str | None:
    """The problem with an image in words, or None if the image is valid."""
    try:
        if path.stat().st_size == 0:
            return EMPTY
        if decoded:
            decode(path)
    except FileNotFoundError:
        return MISSING
    except (OSError, ValueError):
        return BROKEN
    return None


def report_lines(report: CheckReport) -> Iterable[str]:
    """Yield the lines of a report as text: the splits, the findings and the verdict.

    Args:
        report: The result of :func:`check`.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> report = data.CheckReport("mine", Path("mine"), None, {}, [])
        >>> list(data.report_lines(report))
        ['mine: no errors']
    """
    for role, summary in report.splits.items():
        cameras = f"cameras {', '.join(map(str, summary.cameras))}"
        views = f", {summary.with_view:,} with view" if summary.with_view else ""
        yield (
            f"{role}: {summary.images:,} images of {summary.identities:,} identities, "
            f"{cameras}{views}"
        )
    if report.files is not None:
        yield str(report.files)
    for finding in report.findings:
        yield f"{finding.level}: {finding.message}"
    errors = sum(finding.level == ERROR for finding in report.findings)
    yield f"{report.name}: {_number_of(errors)}"


def _number_of(errors: int) -> str:
    return "no errors" if errors == 0 else f"{errors} error{'s' if errors > 1 else ''}"
