"""The synthetic dataset: rendered pedestrians, written to disk in the layout of a real dataset.

- `person`, with `textures` and `palette`, samples the attributes of a person from a seed.
- `camera`, with `scenery`, renders a person as a walking figure, in colour or in the near infrared.
  `figure`, `head` and `luggage` draw the figure on a `canvas`.
- A layout, such as `sysu` or `market1501`, determines the number of images of each person and their
  paths. `visible` is shared by the layouts without infrared cameras.
- `workers` distributes the persons over processes, and `store` publishes the finished folder.
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


def __dir__() -> list[str]:
    return __all__


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
    """Render a synthetic dataset in the layout of ``name``, unless ``root`` contains it already.

    Images have 128 x 64 pixels (height x width) and the file format of the real dataset. Infrared
    images are grey. All images show persons, even in the layout of VeRi-776. ``views.json`` maps
    the path of each image, relative to ``root``, to its view: 0 for front, 1 for side, 2 for back.
    Equal arguments give identical files on one machine, for any number of workers. The i-th person
    of a split does not depend on the number of persons.

    Args:
        name: Name of the layout, a key of ``LAYOUTS`` such as ``"sysu-mm01"``.
        root: Folder to create. An existing folder must be empty or contain the same dataset.
        identities: Numbers of training, validation and test identities. The second number must be 0
            for all layouts but ``"sysu-mm01"``, whose real dataset has a validation split. For
            ``"regdb"`` each trial splits all identities in another way. Default: None (see
            ``preset``).
        images: Two numbers. Default: None (see ``preset``). Their meaning depends on the layout:

            - ``"sysu-mm01"``, ``"regdb"``: visible and infrared images of each identity per camera.
            - ``"market1501"``, ``"dukemtmc-reid"``: images of each identity per camera (a test
              identity has one query per camera in addition), and the number of distractor
              identities.
            - ``"cuhk03-np"``, ``"msmt17"``, ``"veri776"``: images and queries of each identity per
              camera.
        difficulty: Strength of colour cast, blur, noise and bad framing, in [0, 2]. Default: None
            (see ``preset``).
        occlusion: Fraction of images with an object in front of the person, in [0, 1]. Default:
            None (see ``preset``).
        seed: Seed of the persons and cameras, an integer >= 0. Default: 0.
        preset: ``"default"``, or ``"tiny"`` for a few hundred images that render in about a second.
            If ``identities``, ``images``, ``difficulty`` or ``occlusion`` is None, the preset
            determines it; ``PRESETS`` in the module of the layout has the values. Default:
            ``"default"``.
        workers: Number of processes, limited to the cores that this process may use. Default: None
            (one, and one more for every 2000 images).

    Returns:
        ``root`` as a path.

    Raises:
        ArgumentError: An argument is out of range, or ``root`` contains other files.
        RuntimeError: A worker process died, for example because the call is not guarded by
            ``if __name__ == "__main__":``.

    Examples:
        >>> import tempfile
        >>> from reid_ext import data
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     root = data.synthesize("sysu-mm01", folder, identities=(1, 0, 1), images=(1, 1))
        ...     dataset = data.load("sysu-mm01", root)
        >>> len(dataset.train), len(dataset.query), len(dataset.gallery)
        (6, 2, 4)
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
        if not store.is_finished(root, manifest):  # another process may have finished meanwhile
            _render(layout, folder, settings, processes)
            store.publish(folder, root, manifest)
    return root


def settings_of(name: str, preset: str, **changes: Any) -> Settings:
    """Return the settings of a preset, with changes.

    Args:
        name: Name of the layout, as for :func:`synthesize`.
        preset: ``"default"`` or ``"tiny"``.
        changes: Arguments of :func:`synthesize` that replace those of the preset, unless they are
            None.

    Raises:
        ArgumentError: An argument is invalid, as in :func:`synthesize`.

    Examples:
        >>> from reid_ext.synthetic import settings_of
        >>> settings_of("market1501", "tiny", seed=3).identities
        (24, 0, 12)
    """
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
        Progress(total, "rendering") as progress,
        closing(render_all(render, tasks, processes)) as results,
    ):
        for of_one_person in results:
            views |= of_one_person
            progress.update(len(of_one_person))
    layout.finish(folder, settings, sorted(views))
    (folder / "views.json").write_text(json.dumps(dict(sorted(views.items())), indent=0) + "\n")
