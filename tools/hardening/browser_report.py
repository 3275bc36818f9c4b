"""Reports with names that contain code, in Chromium: nothing may run, and names must be text."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from part import ROOT, Budget, Row

from reid_ext import FeatureSet, viz
from reid_ext.report import Run, write_report

sys.path.append(str(ROOT / "python_tests" / "support"))
from browser import NAMES, Page

IMAGES = 30
CODE = "window.executed=1"
PAYLOADS = (
    f"<script>{CODE}</script>",
    f"</script><script>{CODE}</script>",
    f'"><img src=x onerror={CODE}>',
    f"'><svg onload={CODE}>",
    f"--><body onload={CODE}><!--",
    f"</title><script>{CODE}</script>",
    f"</style><script>{CODE}</script>",
    f"javascript:{CODE}",
    f"<iframe srcdoc='<script>parent.{CODE}</script>'>",
    f"<a href=javascript:{CODE} autofocus onfocus={CODE}>",
    f"\\u003cscript\\u003e{CODE}\\u003c/script\\u003e",
    f"&lt;script&gt;{CODE}&lt;/script&gt;",
    f"${{{CODE}}}`{{{{{CODE}}}}}",
    "<base href=https://example.com><link rel=stylesheet href=//example.com/x.css>",
    "\u2028\u202e\u0000<plaintext>",
)
MADE = "document.querySelectorAll('svg[onload],iframe,base,plaintext,[onerror],[onfocus]').length"


def attack(budget: Budget) -> Iterator[Row]:
    """Open a page with all payloads as names and, in the long run, one page for each payload.

    Without Chromium this part does nothing.
    """
    if not any(map(shutil.which, NAMES)):
        return
    folder = budget.folder / "reports"
    folder.mkdir(exist_ok=True)
    pages = [PAYLOADS, *(() if budget.quick else ([payload] for payload in PAYLOADS))]
    page, found = Page(folder / "profile"), []
    try:
        for number, payloads in enumerate(pages):
            written = _report(folder / str(number), payloads)
            found += [f"{payloads!r}: {wrong}" for wrong in _shown(page, written, payloads)]
    finally:
        page.close()
    yield Row("reports of hostile names, in Chromium", len(pages), found)


def _report(folder: Path, payloads: Sequence[str]) -> Path:
    """Write a report with images, whose paths, runs and title contain the payloads."""
    folder.mkdir(exist_ok=True)
    g = torch.Generator().manual_seed(0)
    ids, cameras = np.arange(IMAGES) % 4, np.arange(IMAGES) % 3
    sides = []
    for side in "qg":
        paths = []
        for i in range(IMAGES):  # images with odd numbers exist on disk
            payload = payloads[i // 2 % len(payloads)]
            paths.append(str(folder / f"{side}{i}{payload}"))
            if i % 2 and "\0" not in payload:
                paths[-1] = str(folder / f"{side}{i}{payload.replace('/', '_')}.png")
                viz.save_image(paths[-1], np.full((40, 20, 3), 90, np.uint8))
        x = torch.randn(IMAGES, 8, generator=g)
        sides.append(FeatureSet(x, identities=ids, cameras=cameras, paths=paths))
    out = folder / "out.html"
    runs = [Run.of(f"{number}{name}", *sides) for number, name in enumerate(payloads[:3])]
    write_report(out, runs, title=" ".join(payloads))
    return out


def _shown(page: Page, path: Path, payloads: Sequence[str]) -> list[str]:
    page.console.clear()
    page.requests.clear()
    page.open(path.as_uri())
    for header in range(1, 4):
        page.click(f"#queries th:nth-child({header}) button")  # our script sorts the rows by name
    wrong = []
    if page.run("window.executed"):
        wrong.append("code was run")
    if page.run(MADE):
        wrong.append("a name became an element")
    if any(not url.startswith(("data:", path.as_uri())) for url in page.requests):
        wrong.append(f"fetched {page.requests}")
    if page.console:
        wrong.append(f"the browser logged {page.console[:1]!r:.300}")
    text = page.run("document.title")
    if any(payload not in text for payload in payloads if payload.isprintable()):
        wrong.append(f"the title is {text!r}")
    return wrong
