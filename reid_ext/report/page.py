"""The page: its sections, with style and script allowed by hash, written atomically.

The content security policy blocks all requests and all scripts except the one of the page, so that
a file name in the data could do nothing even if it were not escaped.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.dates import creation_time
from reid_ext._runtime.progress import Progress
from reid_ext._runtime.writing import whole_file
from reid_ext.report import lists, overview
from reid_ext.report.markup import Markup, tag
from reid_ext.report.run import Run
from reid_ext.report.trials import trials


def write_report(path: str | Path, runs: Sequence[Run], *, title: str = "") -> None:
    """Write one self-contained HTML page about these evaluations.

    Args:
        path: Path of the file, in an existing folder.
        runs: At least one run. The page describes the first run and compares the others with it.
        title: Title of the page. Default: the name of the first run.

    Raises:
        ArgumentError: If there is no run, or two runs have the same name.
        FileNotFoundError: If the folder does not exist.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> from reid_ext import FeatureSet
        >>> from reid_ext.report import Run, write_report
        >>> query = FeatureSet(torch.eye(2), identities=[1, 2], cameras=[1, 1])
        >>> gallery = FeatureSet(torch.eye(2), identities=[1, 2], cameras=[2, 2])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "report.html")
        ...     write_report(path, [Run.of("ours", query, gallery)], title="Two queries")
        ...     "Two queries" in path.read_text(encoding="utf-8")
        True
    """
    path = Path(path)
    names = [run.name for run in runs]
    if not runs or len(set(names)) < len(names):
        requirement = "contain at least one run, with different names"
        raise ArgumentError("write_report", "runs", requirement, repr(names)[:80])
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"write_report: path must be in a folder that exists, got {path}; make {path.parent}"
        )
    content = _page(runs, title or runs[0].name)
    with whole_file(path) as part:
        # a file name may contain a lone surrogate
        part.write_bytes(content.encode("utf-8", "replace"))


def _page(runs: Sequence[Run], title: str) -> str:
    style, script = (_file(name) for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    sections = _sections(runs)
    links = [tag("a", name, href=f"#{key}") for key, (name, _) in sections.items()]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    body = tag(
        "body",
        tag("a", "Skip to content", href="#content", class_="skip"),
        tag("header", tag("h1", title), tag("nav", *links, aria_label="sections of this page")),
        tag("main", *[part for _, part in sections.values()], id="content", tabindex="-1"),
        tag("footer", f"reid-ext evaluate, {creation_time('write_report'):%Y-%m-%d %H:%M}"),
        tag("script", script),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _sections(runs: Sequence[Run]) -> dict[str, tuple[str, Markup]]:
    """Return the name and content of each section by the key of its link."""
    of_all: dict[str, tuple[str, Callable[[], Markup]]] = {
        "metrics": ("Metrics", lambda: overview.figures(runs, spreads)),
        "cmc": ("Matching rate", lambda: overview.cmc(runs, spreads)),
        "ap": ("Average precision", lambda: overview.average_precision(runs)),
    }
    if any(run.ranking.trials for run in runs):
        of_all["trials"] = "Trials", lambda: _side_by_side(runs, [trials(run) for run in runs])
    of_one: dict[str, tuple[str, Callable[[], Markup]]] = {
        "angles": ("Angles of pairs", lambda: _side_by_side(runs, overview.angles(runs))),
        "cameras": (
            "Camera pairs",
            lambda: _side_by_side(runs, [overview.cameras(run) for run in runs]),
        ),
        "map": (
            "Embedding",
            lambda: _side_by_side(runs, [overview.embedding(run) for run in runs]),
        ),
        "hardest": ("Hardest queries", lambda: lists.ranked_lists(runs)),
        "queries": ("All queries", lambda: lists.query_table(runs)),
    }
    narrow = {"cmc", "ap"} | ({"angles", "cameras", "map"} if len(runs) == 1 else set())
    sections = {}
    with Progress(len(of_all) + len(of_one), "report", unit="parts") as progress:
        spreads = [run.spread() for run in runs]
        for key, (name, draw) in (of_all | of_one).items():
            width = "half" if key in narrow else None
            of_trial = f", {runs[0].trial}" if key in of_one and runs[0].trial else ""
            head = tag("h2", f"{name}{of_trial}")
            sections[key] = name, tag("section", head, draw(), id=key, class_=width)
            progress.update()
    return sections


def _side_by_side(runs: Sequence[Run], drawn: Sequence[Markup]) -> Markup:
    if len(runs) == 1:
        return drawn[0]
    pairs = zip(runs, drawn, strict=True)
    parts = [tag("div", tag("h3", run.name), content) for run, content in pairs]
    return tag("div", *parts, class_="pair")


def _file(name: str) -> Markup:
    return Markup(resources.files("reid_ext.report").joinpath(name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
