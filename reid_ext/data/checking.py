"""Is a dataset's copy on disk whole and sound? Everything that is wrong with it, in one go.

What a single dataset has beside its splits, such as lists that no split is read from, is checked by
``check_lists`` of its module, where there is one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from reid_ext._runtime.progress import Progress
from reid_ext.data.decoding import decode
from reid_ext.data.readers.registry import check_split, load, module_of
from reid_ext.data.readers.tree import IMAGE_SUFFIXES, is_image, is_unread_image, some
from reid_ext.data.sample import SYNTHETIC_MANIFEST, Dataset, Sample

ERROR, WARNING, NOTE = "error", "warning", "note"


class Finding(NamedTuple):
    """One thing to know; ``paths`` are the files it is about."""

    level: str  # "error": results would be wrong or not there; "warning": odd; "note": to know
    kind: str  # "layout", "count", "camera", "identity", "list", "image"
    message: str
    paths: Sequence[Path] = ()


class Summary(NamedTuple):
    """What a split holds."""

    images: int
    identities: int
    cameras: list[int]
    with_view: int


class CheckReport(NamedTuple):
    """What :func:`check` found; ``dataset`` is None where it could not be read."""

    name: str
    root: Path
    dataset: Dataset | None
    splits: dict[str, Summary]
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing found is an error."""
        return all(finding.level != ERROR for finding in self.findings)


def check(name: str, root: str | Path, *, images: bool = True, **split: str | int) -> CheckReport:
    """Compare a dataset's folder with what its authors publish, and open every image.

    Args:
        name: Of the dataset, as for :func:`load`.
        root: Its folder. Whatever is wrong with it is a finding, not an exception.
        images: Decode every image; False: look at their sizes alone.
        split: As for :func:`load`.

    Returns:
        A report: one finding for each kind of thing that is wrong, with counts, names and paths.

    Raises:
        ValueError: a name or a split that there is not.
    """
    module = module_of("data.check", name)
    check_split("data.check", name, split)
    root = Path(root)
    findings: list[Finding] = []
    dataset = None
    try:
        dataset = load(name, root, **split)
    except (OSError, ValueError, ImportError) as error:
        findings.append(Finding(ERROR, "layout", str(error)))
    if dataset is None:
        splits = {}
        below = sorted(p for p in root.rglob("*") if is_image(p.name) or is_unread_image(p.name))
        paths = [path for path in below if is_image(path.name)]
        unread = [path for path in below if is_unread_image(path.name)]
    else:
        of = zip(("train", "query", "gallery"), dataset[1:], strict=True)
        splits = {role: _summary(samples) for role, samples in of}
        findings += _counts(module, root, splits, split)
        findings += _cameras(module, dataset)
        findings += _identities(module, dataset)
        paths = sorted({s.path for samples in dataset[1:] for s in samples})
        unread = sorted(path for path in root.rglob("*") if is_unread_image(path.name))
    said = {finding.message for finding in findings}
    lists = [message for message in dict.fromkeys(_lists(module, root)) if message not in said]
    findings += [Finding(ERROR, "list", message) for message in lists]
    findings += _images(paths, root, decoded=images)
    findings += _passed_over(unread, root)
    return CheckReport(name, root, dataset, splits, findings)


def _summary(samples: Sequence[Sample]) -> Summary:
    return Summary(
        images=len(samples),
        identities=len({s.identity for s in samples}),
        cameras=sorted({s.camera for s in samples}),
        with_view=sum(s.view is not None for s in samples),
    )


def _counts(
    module: ModuleType, root: Path, splits: dict[str, Summary], split: dict[str, str | int]
) -> Iterator[Finding]:
    """Differences from the published counts."""
    if (root / SYNTHETIC_MANIFEST).is_file():
        yield Finding(NOTE, "count", "this is the embedded dataset, whose counts are its own")
        return
    which = {key: value for key, value in split.items() if key != "evaluate_on"}
    if split.get("evaluate_on") == "val":
        yield Finding(NOTE, "count", "counts are published for evaluate_on='test' alone")
        return
    for role, expected in zip(splits, module.expected(**which), strict=True):
        for what in ("identities", "images"):
            count, published = getattr(splits[role], what), getattr(expected, what)
            if published is not None and count != published:
                message = f"{role} must have {published:,} {what}, got {count:,}"
                yield Finding(ERROR, "count", message)


def _cameras(module: ModuleType, dataset: Dataset) -> Iterator[Finding]:
    seen = {s.camera for samples in dataset[1:] for s in samples}
    if missing := sorted(set(module.CAMERAS) - seen):
        message = f"every camera must have images, got none of camera {some(missing)}"
        yield Finding(ERROR, "camera", message)


def _identities(module: ModuleType, dataset: Dataset) -> Iterator[Finding]:
    """Images in two splits, people trained on and tested, and queries without a match."""
    train = {s.path for s in dataset.train}
    tested = [*dataset.query, *dataset.gallery]
    if shared := sorted({s.path for s in tested} & train):
        message = f"no image must be trained on and tested, got {len(shared):,} that are"
        yield Finding(ERROR, "identity", message, shared)
    counts_anew = getattr(module, "TEST_COUNTS_ANEW", False)
    both = sorted({s.identity for s in dataset.train} & {s.identity for s in tested})
    if both and not counts_anew:
        message = f"no identity must be trained on and tested, got {some(both)}"
        yield Finding(ERROR, "identity", message)
    for role, samples in (("train", dataset.train), ("query", dataset.query)):
        twice = sorted(p for p, n in Counter(s.path for s in samples).items() if n > 1)
        if twice:
            message = f"{role} must name an image once, got {len(twice):,} more often"
            yield Finding(ERROR, "list", message, twice)
    matches: dict[int, set[int]] = {}
    for sample in dataset.gallery:
        matches.setdefault(sample.identity, set()).add(sample.camera)
    if len({s.camera for s in tested}) == 1:
        return  # without cameras every image is ranked
    alone = [s for s in dataset.query if not matches.get(s.identity, set()) - {s.camera}]
    if alone:
        message = (
            f"{len(alone):,} of {len(dataset.query):,} queries have no match in another camera: "
            f"they do not count (identity {some(sorted({s.identity for s in alone}))})"
        )
        yield Finding(WARNING, "identity", message, [s.path for s in alone])


def _lists(module: ModuleType, root: Path) -> list[str]:
    if not hasattr(module, "check_lists") or not root.is_dir():
        return []
    try:
        return module.check_lists(root)
    except (OSError, ValueError, ImportError) as error:
        return [str(error)]


def _images(paths: Sequence[Path], root: Path, *, decoded: bool) -> Iterator[Finding]:
    """Images that are not there, hold nothing, or do not decode: one finding for each of these."""
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
        what = "image" if len(found) == 1 else "images"
        yield Finding(ERROR, "image", f"{len(found):,} {what} {fault}: {shown}", found)


def _within(root: Path, path: Path) -> Path:
    """As seen from the dataset's folder: a name alone may be there in every identity's."""
    folder = root.parent if root.is_file() else root  # of a list of images
    return path.relative_to(folder) if folder in path.parents else path


def _passed_over(found: list[Path], root: Path) -> Iterator[Finding]:
    """Images of endings that no reader takes: they would silently be missing from the results."""
    if found:
        shown = some(_within(root, path) for path in found)
        what = "1 image is" if len(found) == 1 else f"{len(found):,} images are"
        message = f"{what} passed over, only {', '.join(IMAGE_SUFFIXES)} being read: {shown}"
        yield Finding(WARNING, "image", message, found)


def _fault(path: Path, *, decoded: bool) -> str | None:
    try:
        if path.stat().st_size == 0:
            return "of zero bytes"
        if decoded:
            decode(path)
    except FileNotFoundError:
        return "missing"
    except (OSError, ValueError):
        return "unreadable"
    return None


def report_lines(report: CheckReport) -> Iterable[str]:
    """The report for a person to read."""
    for role, summary in report.splits.items():
        cameras = f"cameras {', '.join(map(str, summary.cameras))}"
        views = f", {summary.with_view:,} with view" if summary.with_view else ""
        yield (
            f"{role}: {summary.images:,} images of {summary.identities:,} identities, "
            f"{cameras}{views}"
        )
    for finding in report.findings:
        yield f"{finding.level}: {finding.message}"
    errors = sum(finding.level == ERROR for finding in report.findings)
    yield f"{report.name}: {_number_of(errors)}"


def _number_of(errors: int) -> str:
    return "nothing wrong" if errors == 0 else f"{errors} error{'s' if errors > 1 else ''}"
