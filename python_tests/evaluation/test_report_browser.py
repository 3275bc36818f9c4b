"""The report in a real browser: sorting, links, and no requests."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from browser import Page, find
from report_cases import NASTY, changed, run, side, sysu_run

from reid_ext import viz
from reid_ext.report import write_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    find()
    page = Page(tmp_path_factory.mktemp("profile"))
    yield page
    page.close()


def one_gallery(name, folder):
    return run(name, query=side(30, 1, folder=folder), gallery=side(60, 2, folder=folder))


@pytest.fixture(scope="module", params=[one_gallery, sysu_run], ids=["one_gallery", "trials"])
def url(request, tmp_path_factory):
    """A report of two runs with images whose names try to run code."""
    folder = tmp_path_factory.mktemp("report")
    runs = [request.param(name, folder) for name in ("a", NASTY)]
    for path in np.concatenate([of.columns["paths"] for of in (runs[0].query, runs[0].gallery)]):
        viz.save_image(path, np.full((40, 20, 3), 90, np.uint8))
    for place, one in enumerate(runs):
        some = one.query.columns["paths"].tolist()
        paths = [f"{path}{NASTY}" if row % 2 else path for row, path in enumerate(some)]
        runs[place] = replace(one, query=changed(one.query, paths=paths))
    write_report(folder / "out.html", runs)
    return (folder / "out.html").as_uri()


@pytest.fixture
def opened(page, url):
    page.console.clear()
    page.requests.clear()
    page.open(url)
    yield page
    assert page.console == []


def column(page, number):
    cells = f"[...document.querySelectorAll('#queries tbody tr')].map(r => r.cells[{number}]"
    return page.run(f"{cells}.textContent)")


def test_page_fetches_nothing_and_shows_all_images(opened, url):
    fetched = [u for u in opened.requests if not u.startswith("data:")]
    assert fetched == [url]
    shown = "[...document.images].every(i => i.complete && i.naturalWidth > 0)"
    assert opened.run("document.images.length") > 50 and opened.run(shown)


def test_table_sorts_both_ways_on_clicks(opened):
    before = column(opened, 1)
    opened.click("#queries th:nth-child(2) button")
    numbers = [int(v) for v in column(opened, 1)]
    assert numbers == sorted(map(int, before)) and numbers != [int(v) for v in before]
    head = "document.querySelector('#queries th:nth-child(2)').getAttribute('aria-sort')"
    assert opened.run(head) == "ascending"
    opened.click("#queries th:nth-child(2) button")
    assert [int(v) for v in column(opened, 1)] == numbers[::-1]
    assert opened.run(head) == "descending"


def test_keyboard_reaches_the_content_and_sorts(opened):
    opened.press("Tab")
    assert opened.run("document.activeElement.textContent") == "Skip to content"
    opened.press("Enter")
    assert opened.run("location.hash") == "#content"
    opened.run("document.querySelector('#queries th:nth-child(1) button').focus()")
    opened.press("Enter")
    numbers = [int(v) for v in column(opened, 0)]
    assert numbers == sorted(numbers)


def test_links_lead_to_their_sections(opened):
    hrefs = opened.run("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    assert len(hrefs) > 20
    for href in set(hrefs):
        assert href.startswith("#") and opened.run(f"!!document.querySelector('{href}')"), href
    opened.click("nav a[href='#hardest']")
    top = "document.querySelector('#hardest').getBoundingClientRect().top"
    assert opened.run("location.hash") == "#hardest" and 0 <= opened.run(top) < 200
    opened.click("#queries tbody a")
    assert opened.run("location.hash").startswith("#query-")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_fits_the_width_and_colour_scheme(width, dark, opened, url, tmp_path):
    opened.open(url, width=width, dark=dark)
    assert opened.run("document.documentElement.scrollWidth") <= width
    opened.screenshot(tmp_path / "shot.png")
    shot = cv2.imread(str(tmp_path / "shot.png"))
    assert (np.median(shot) < 60) == dark and shot.std() > 10


def test_image_opens_large_and_closes(opened):
    shown = "document.querySelector('dialog').open"
    opened.run("document.querySelector('.hit img').focus()")
    opened.press("Enter")
    assert opened.run(shown)
    source = "document.querySelector('{}').src"
    assert opened.run(source.format("dialog img")) == opened.run(source.format(".hit img"))
    assert "identity" in opened.run("document.querySelector('dialog p').textContent")
    opened.run("document.querySelector('dialog').click()")
    assert not opened.run(shown)


def test_save_button_gives_an_svg_with_its_own_colours(opened):
    opened.run(
        "XMLSerializer.prototype.serializeToString = (node) => {"
        "window.saved = node.outerHTML; return ''; }"
    )
    opened.run("document.querySelector('#cmc .save').click()")
    saved = opened.run("window.saved")
    assert saved.startswith("<svg") and "class=" not in saved and "var(" not in saved
    assert 'stroke="rgb(0, 114, 178)"' in saved  # the first curve
    count = opened.run("document.querySelectorAll('svg').length")
    assert opened.run("document.querySelectorAll('.save').length") == count > 3


def test_page_runs_no_code_from_names(opened):
    assert opened.run("document.scripts.length") == 1
    assert opened.run("document.querySelectorAll('[onerror]').length") == 0
    assert NASTY in opened.run("document.querySelector('#metrics').textContent")


def test_content_policy_stops_an_injected_script(page, url):
    page.open(url)
    page.run(
        "(() => { const s = document.createElement('script');"
        "s.textContent = 'window.ran = true'; document.body.append(s); })()"
    )
    assert page.run("window.ran") is None


@pytest.mark.parametrize("url", [sysu_run], indirect=True)
def test_trial_table_sorts(opened):
    opened.click("nav a[href='#trials']")
    assert opened.run("location.hash") == "#trials"
    opened.click("#trials th:last-child button")
    cells = (
        "[...document.querySelectorAll('#trials table')[0].tBodies[0].rows].map(r => r.lastChild"
    )
    values = [float(v) for v in opened.run(f"{cells}.textContent)")]
    assert len(values) == 4 and values == sorted(values)
