"""The synthetic dataset: layout, determinism, and protection against incomplete folders."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pytest

from reid_ext.synthetic import Settings, camera, canvas, store, synthesize, sysu, workers
from reid_ext.synthetic import yaw as views
from reid_ext.synthetic.figure import draw_figure, draw_pose
from reid_ext.synthetic.parts import Part
from reid_ext.synthetic.person import draw_person

SMALL = {"identities": (3, 2, 2), "images": (2, 3)}
NUM_IMAGES = 7 * (4 * 2 + 2 * 3)


def make(root, **settings):
    return synthesize("sysu-mm01", root, **{**SMALL, **settings})


def contents(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def identities(root, name):
    return [int(i) for i in (root / "exp" / f"{name}_id.txt").read_text().strip().split(",")]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make(tmp_path_factory.mktemp("synthetic") / "small")


def test_synthesize_writes_the_layout_of_sysu_mm01(small):
    assert identities(small, "train") == [1, 2, 3]
    assert identities(small, "val") == [4, 5]
    assert identities(small, "test") == [6, 7]
    assert identities(small, "available") == [1, 2, 3, 4, 5, 6, 7]
    for number in range(1, 7):
        folders = sorted(p.name for p in (small / f"cam{number}").iterdir())
        assert folders == [f"{i:04d}" for i in range(1, 8)]
        names = sorted(p.name for p in (small / f"cam{number}" / "0004").iterdir())
        assert names == [f"{i:04d}.jpg" for i in range(1, 4 if number in (3, 6) else 3)]
    assert len(list(small.rglob("*.jpg"))) == NUM_IMAGES


def test_images_are_128x64_and_infrared_is_grey(small):
    for path in small.rglob("*.jpg"):
        image = cv2.imread(str(path)).astype(int)
        assert image.shape == (128, 64, 3)
        gray = bool((image == image[..., :1]).all())
        assert gray == (path.parts[-3] in ("cam3", "cam6"))


def test_every_image_has_a_view(small):
    views = json.loads((small / "views.json").read_text())
    assert sorted(views) == sorted(str(p.relative_to(small)) for p in small.rglob("*.jpg"))
    assert set(views.values()) == {0, 1, 2}


@pytest.mark.parametrize(
    "degrees, view", [(0, 0), (59, 0), (-59, 0), (61, 1), (-90, 1), (119, 1), (121, 2), (180, 2)]
)
def test_view_of_is_the_side_facing_the_camera(degrees, view):
    assert views.view_of(np.radians(degrees)) == view


def test_face_is_in_front_and_backpack_behind():
    def area(person, yaw, part):
        drawing = canvas.Canvas(canvas.Placement(yaw, 64, 250, 230, lean=0, tilt=0.1))
        draw_figure(drawing, person, draw_pose(np.random.default_rng(0)))
        return int((drawing.labels == part).sum())

    people = [draw_person([0, key]) for key in range(200)]
    with_backpack = [p for p in people if p.outfit.bag == "backpack"]
    assert len(with_backpack) > 20
    for person in with_backpack[:20]:
        assert area(person, 0, Part.EYE) > 0 == area(person, np.pi, Part.EYE)
        assert area(person, np.pi, Part.BAG) > area(person, 0, Part.BAG)


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_files_do_not_depend_on_workers(small, tmp_path):
    settings = Settings(**SMALL)
    sysu.prepare(tmp_path, settings)
    render = partial(sysu.render, tmp_path, settings)
    results = workers.render_all(render, sysu.tasks(settings), 2)
    views = next(results)  # this process pauses, the worker renders the rest
    wait_until((tmp_path / "cam6" / "0007" / "0003.jpg").exists)
    for of_one_person in results:
        views |= of_one_person
    assert views == json.loads((small / "views.json").read_text())
    assert contents(tmp_path) == {
        path: data for path, data in contents(small).items() if path.startswith(("cam", "exp"))
    }


@pytest.mark.slow
def test_worker_error_is_raised_in_main_process(tmp_path):
    files = [tmp_path / name for name in "abc"]
    for path in files[:2]:
        path.touch()
    results = workers.render_all(os.remove, files, 2)
    next(results)
    wait_until(lambda: not files[1].exists())
    with pytest.raises(FileNotFoundError, match="/c"):
        list(results)
    assert not multiprocessing.active_children()


def test_render_all_raises_when_worker_dies():
    results = workers.render_all(abs, range(100), 2)
    next(results)
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    with pytest.raises(RuntimeError, match="a worker process must run to its end, got one that"):
        list(results)


def test_person_does_not_depend_on_other_counts(small, tmp_path):
    other = make(tmp_path / "fewer", identities=(1, 0, 1))
    for ours, theirs in (("0001", "0001"), ("0006", "0002")):  # first identities of train and test
        for number in range(1, 7):
            folder = small / f"cam{number}" / ours
            assert contents(folder) == contents(other / f"cam{number}" / theirs)


def test_presets_have_documented_sizes():
    sizes = {
        name: (len(sysu.tasks(settings)), sysu.number_of_images(settings))
        for name, settings in sysu.PRESETS.items()
    }
    assert sizes == {"default": (180, 6480), "tiny": (48, 960)}


def test_seed_changes_persons_and_cameras(small, tmp_path):
    other = make(tmp_path / "other", seed=1)
    path = "cam1/0001/0001.jpg"
    a, b = (cv2.imread(str(root / path)).astype(int) for root in (small, other))
    assert np.abs(a - b).mean() > 10


def test_infrared_brightness_is_independent_of_colour():
    people = [draw_person([0, key]) for key in range(400)]
    for part in (Part.UPPER, Part.LOWER, Part.BAG, Part.SHOE):
        luminance = [p.visible[part, 0] @ (0.114, 0.587, 0.299) for p in people]
        reflectance = [p.infrared[part, 0, 0] for p in people]
        assert abs(np.corrcoef(luminance, reflectance)[0, 1]) < 0.15


def test_outfits_are_rarely_equal():
    outfits = Counter(
        (p.outfit.upper, p.outfit.lower, p.outfit.bag, p.outfit.hair, p.outfit.upper_pattern)
        for p in (draw_person([0, key]) for key in range(400))
    )
    assert max(outfits.values()) <= 4


def test_difficulty_adds_blur_and_noise():
    easy, hard = (
        camera.draw_camera(0, 1, infrared=False, outdoor=False, location=1, difficulty=d)
        for d in (0.1, 1.0)
    )
    assert hard.noise > easy.noise and hard.blur > easy.blur
    assert np.abs(hard.gain - 1).max() > np.abs(easy.gain - 1).max()


def test_synthesize_keeps_finished_folder(small):
    before = {p: p.stat().st_mtime_ns for p in small.rglob("*")}
    assert make(str(small)) == small
    assert {p: p.stat().st_mtime_ns for p in small.rglob("*")} == before


def test_synthesize_fills_empty_folder(small, tmp_path):
    assert contents(make(tmp_path)) == contents(small)


def test_synthesize_raises_for_folder_of_other_settings(small):
    before = contents(small)
    with pytest.raises(ValueError, match=r"root must hold .*\(seed 5\), got .* with seed 0"):
        make(small, seed=5)
    assert contents(small) == before


@pytest.mark.parametrize("name", ["holiday.jpg", "views.json"])
def test_synthesize_raises_for_foreign_folder(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(
        ValueError, match=f"root must be a new or empty folder, or .*{name}; choose another"
    ):
        make(tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


def test_synthesize_raises_for_file_as_root(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="root must be a folder, got the file"):
        make(tmp_path / "file")


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_synthesize_raises_for_invalid_manifest(tmp_path, text):
    (tmp_path / store.MANIFEST).write_text(text)
    with pytest.raises(ValueError, match=r"root must have a valid synthetic\.json"):
        make(tmp_path)


def test_synthesize_leaves_no_files_after_error(tmp_path, monkeypatch):
    def fails(folder, settings, task):
        if task.identity == 3:
            raise OSError("No space left on device")
        return render(folder, settings, task)

    render = sysu.render
    monkeypatch.setattr(sysu, "render", fails)
    with pytest.raises(OSError, match="No space left"):
        make(tmp_path / "new" / "data")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.slow
def test_synthesize_repeats_killed_render(small, tmp_path):
    root = tmp_path / "data"
    code = f"""if True:
        from reid_ext.synthetic import synthesize
        synthesize("sysu-mm01", {str(root)!r}, identities=(5000, 0, 0))"""
    process = subprocess.Popen(  # another folder, because Python would import the sources here
        [sys.executable, "-c", code], stderr=subprocess.DEVNULL, cwd=tmp_path.parent
    )
    wait_until(lambda: list(tmp_path.glob(".data.unfinished-*/cam1/0002")))
    process.kill()
    process.wait()
    assert not root.exists()
    assert contents(make(root)) == contents(small)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


UNGUARDED = """
import os, sys
from reid_ext import data
os.sched_getaffinity = lambda process: {0, 1}
data.synthesize("sysu-mm01", sys.argv[1], preset="tiny", workers=2)
"""


@pytest.mark.slow
def test_synthesize_raises_without_main_guard(tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    command = [sys.executable, "script.py", "data"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=120)
    assert done.returncode == 1
    assert "synthesize: the call must be inside `if __name__ == '__main__':`" in done.stderr
    assert "a worker process must run to its end, got one that died" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["script.py"]


def test_concurrent_callers_render_once(small, tmp_path, monkeypatch):
    rendered = []
    prepare = sysu.prepare
    monkeypatch.setattr(sysu, "prepare", lambda *args: (rendered.append(1), prepare(*args)))
    with ThreadPoolExecutor(4) as pool:
        roots = list(pool.map(make, [tmp_path / "data"] * 4))
    assert len(rendered) == 1
    assert contents(roots[3]) == contents(small)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    "argument, value",
    [
        *(("identities", bad) for bad in [(1, 2), (1, 2, -1), (0, 0, 0), (9999, 1, 0), 3, "123"]),
        *(("images", bad) for bad in [(0, 1), (1, 0), (1,), (1.5, 2), (10_000, 1), (True, 1)]),
        *(("difficulty", bad) for bad in [-0.1, 2.1, float("nan"), "hard"]),
        *(("occlusion", bad) for bad in [-0.1, 1.1, float("nan")]),
        *(("seed", bad) for bad in [-1, 1.5, "0"]),
        *(("preset", bad) for bad in ["huge", ""]),
        *(("workers", bad) for bad in [0, -1, 1.5, True]),
    ],
)
def test_synthesize_raises_for_invalid_argument(tmp_path, argument, value):
    with pytest.raises(ValueError, match=rf"^synthesize: {argument}(\[\d\])? must .*, got "):
        make(tmp_path / "data", **{argument: value})
    assert list(tmp_path.iterdir()) == []


def test_synthesize_raises_for_unknown_layout(tmp_path):
    with pytest.raises(
        ValueError, match=r"name must be one of 'sysu-mm01', .*, 'veri776', got 'imagenet'"
    ):
        synthesize("imagenet", tmp_path)


def test_settings_accept_numpy_numbers(small):
    sizes = {"identities": list(np.array([3, 2, 2])), "images": tuple(np.array([2, 3]))}
    assert make(small, **sizes, seed=np.int64(0), occlusion=np.float64(0.06)) == small


def test_small_datasets_use_one_process(monkeypatch):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(64)))
    assert workers.number_of_workers(None, 960) == 1
    assert workers.number_of_workers(None, 6480) == 4
    assert workers.number_of_workers(100, 960) == 64
