"""The embedded data set: made-up pedestrians, rendered to disk in the layout of a real data set.

A person is a set of attributes drawn from a seed (`person`, with `textures` and `palette`). A
camera (`camera`, with `scenery`) photographs it as a walking figure (`figure`, `head`, `luggage`
on a `canvas`), in colour or in the near infrared. A layout (`sysu`, `market1501`) knows whom to
photograph how often and where the images go; `visible` is
what the layouts without infrared cameras share. `workers` runs that on many processes and `store`
keeps the result.
"""

import json
import os
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from reid_ext._runtime import unfinished
from reid_ext._runtime.arguments import choice
from reid_ext._runtime.progress import Progress
from reid_ext.synthetic import cuhk03, dukemtmc, market1501, msmt17, regdb, store, sysu, veri776
from reid_ext.synthetic.layout import Layout
from reid_ext.synthetic.settings import Settings, settings_from
from reid_ext.synthetic.workers import number_of_workers, render_all

__all__ = ["LAYOUTS", "Settings", "number_of_workers", "settings_of", "synthesize"]

LAYOUTS: dict[str, Layout] = {
    "sysu-mm01": sysu,
    "regdb": regdb,
    "market1501": market1501.LAYOUT,
    "dukemtmc-reid": dukemtmc.LAYOUT,
    "cuhk03-np": cuhk03.LAYOUT,
    "msmt17": msmt17.LAYOUT,
    "veri776": veri776.LAYOUT,
}


def synthesize(
    name: str,
    root: str | os.PathLike[str],
    *,
    identities: tuple[int, int, int] | None = None,
    images: tuple[int, int] | None = None,
    difficulty: float | None = None,
    occlusion: float | None = None,
    seed: int = 0,
    preset: str = "default",
    workers: int | None = None,
) -> Path:
    """Render the embedded data set in the layout of ``name``, unless ``root`` holds it already.

    Images have 128x64 pixels, in the file format of the real data set; infrared ones are gray.
    All show people, those in the layout of VeRi-776 too. ``views.json`` maps each image's path
    relative to ``root`` to its view: 0 front, 1 side, 2 back. Equal arguments give
    equal files on one machine, whatever ``workers``, and the i-th person of a split does not
    depend on how many others there are.

    Args:
        name: Layout, one of ``LAYOUTS``.
        root: Folder to make, or to find finished. A folder with anything else is an error.
        identities: Persons to train, validate and test on. Only sysu-mm01 has a validation split:
            elsewhere the second is 0. The trials of regdb divide them anew.
        images: Two numbers per camera, by the layout. sysu-mm01, regdb: visible and infrared
            images of a person. market1501, dukemtmc-reid: images of a person, with one more as
            query where it is tested, and the number of distractor identities.
            cuhk03-np, msmt17, veri776: images and queries of a person.
        difficulty: Colour cast, blur, noise and bad framing, from 0 to 2.
        occlusion: Fraction of images with something before the person.
        seed: Persons and cameras, 0 or more.
        preset: "default", or "tiny" for about a second's worth of images. Gives the four settings
            above that are None; the layout's module has its numbers.
        workers: Processes; by default as many as pay, at most the cores this process may use.

    Returns:
        ``root`` as a path.

    Raises:
        ArgumentError: an argument is out of range, or ``root`` holds something else.
        RuntimeError: a worker process died, e.g. since the call does not stand under
            ``if __name__ == "__main__":``.
    """
    settings = settings_of(
        name,
        preset,
        identities=identities,
        images=images,
        difficulty=difficulty,
        occlusion=occlusion,
        seed=seed,
    )
    layout = LAYOUTS[name]
    root = Path(root)
    processes = number_of_workers(workers, layout.number_of_images(settings))
    manifest = settings.manifest(name)
    if store.is_finished(root, manifest):
        return root
    with unfinished.work_folder(root, "synthesize", "root") as folder:
        if not store.is_finished(root, manifest):  # another process may have been faster
            _render(layout, folder, settings, processes)
            store.publish(folder, root, manifest)
    return root


def settings_of(name: str, preset: str, **changes: Any) -> Settings:
    """The settings of a preset with the ``changes`` that are not None; errors as synthesize."""
    choice("synthesize", "name", name, LAYOUTS)
    settings = settings_from(LAYOUTS[name].PRESETS, preset, **changes)
    LAYOUTS[name].check(settings)
    return settings


def _render(layout: Layout, folder: Path, settings: Settings, processes: int) -> None:
    layout.prepare(folder, settings)
    tasks = layout.tasks(settings)
    total = layout.number_of_images(settings)
    views: dict[str, int] = {}
    render = partial(layout.render, folder, settings)
    with (
        Progress(total, "rendering people") as progress,
        closing(render_all(render, tasks, processes)) as results,
    ):
        for of_one_person in results:
            views |= of_one_person
            progress.update(len(of_one_person))
    layout.finish(folder, settings, sorted(views))
    (folder / "views.json").write_text(json.dumps(dict(sorted(views.items())), indent=0) + "\n")
