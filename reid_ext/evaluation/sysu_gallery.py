"""Which images form the gallery of a SYSU-MM01 trial: a few per identity and RGB camera."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reid_ext.evaluation._engine.inputs import (
    Array,
    check_at_least,
    check_choice,
    described,
    length_of,
    read_integers,
)

WHERE = "evaluate_sysu"  # whose arguments these are
CAMERAS = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
Permutations: TypeAlias = Mapping[tuple[int, int], np.ndarray]


class _Group(NamedTuple):
    """The gallery images of one identity in one camera, by ascending image number."""

    camera: int
    identity: int
    rows: np.ndarray
    numbers: np.ndarray


def select_galleries(
    gallery_ids: Array,
    gallery_cameras: Array,
    *,
    mode: str = "all",
    shots: int = 1,
    trials: int = 10,
    permutations: Permutations | None = None,
    gallery_images: Array | None = None,
    seed: int = 0,
) -> list[np.ndarray]:
    """Return the gallery rows of each trial of :func:`evaluate_sysu`, ascending.

    Without ``permutations`` trial t has one ``numpy.random.default_rng([seed, t])``; it permutes
    the images of each (identity, camera) of the mode, in ascending order of these, and the first
    ``shots`` are taken. A group's images come in the order of ``gallery_images`` (then the order
    of the rows does not matter), else of the rows. A group of fewer images gives all it has.

    Args:
        gallery_ids: Identities of shape (G,).
        gallery_cameras: Cameras of shape (G,), each 1, 2, 4 or 5.
        mode: ``"all"``: cameras 1, 2, 4, 5. ``"indoor"``: cameras 1, 2.
        shots: Images per identity and camera: 1 (single-shot) or 10 (multi-shot).
        trials: How many galleries.
        permutations: (camera, identity) -> 1-based image numbers of shape (>= trials, n), as in
            the official ``rand_perm_cam.mat``. Trial t takes the first ``shots`` of row t.
        gallery_images: 1-based image numbers of shape (G,) within (camera, identity).
        seed: An integer >= 0; not used with ``permutations``.

    Raises:
        ValueError: an argument that does not fit, by its name.
    """
    check_choice(WHERE, "mode", mode, tuple(CAMERAS))
    check_choice(WHERE, "shots", shots, (1, 10))
    check_at_least(WHERE, "trials", trials, 1)
    check_at_least(WHERE, "seed", seed, 0)
    if permutations is not None and gallery_images is None:
        raise ValueError(
            f"{WHERE}: gallery_images must be given with permutations, got None; pass the 1-based "
            f"number of each gallery image among those of its camera and identity"
        )
    if permutations is not None and not isinstance(permutations, Mapping):
        raise ValueError(
            f"{WHERE}: permutations must map (camera, identity) to image numbers, "
            f"got {described(permutations)}"
        )
    groups = _groups(gallery_ids, gallery_cameras, gallery_images, CAMERAS[mode])
    if permutations is None:
        return [_seeded(groups, shots, seed, trial) for trial in range(trials)]
    return [_official(groups, shots, permutations, trial) for trial in range(trials)]


def check_cameras(name: str, cameras: Tensor, allowed: tuple[int, ...]) -> None:
    wrong = cameras[torch.isin(cameras, torch.tensor(allowed, device=cameras.device), invert=True)]
    if len(wrong):
        raise ValueError(
            f"{WHERE}: {name} must be among {allowed}, got camera {int(wrong[0])} in {len(wrong)} "
            f"of {len(cameras)} images"
        )


def _groups(
    ids: Array, cameras: Array, images: Array | None, of_mode: tuple[int, ...]
) -> list[_Group]:
    """The images of each (identity, camera), in ascending order of these."""

    size = length_of(WHERE, "gallery_ids", ids)

    def column(name: str, values: Array) -> Tensor:
        return read_integers(WHERE, name, values, size, "gallery", torch.device("cpu"))

    check_cameras("gallery_cameras", column("gallery_cameras", cameras), CAMERAS["all"])
    identity = column("gallery_ids", ids).numpy()
    camera = column("gallery_cameras", cameras).numpy()
    number = np.arange(size)
    if images is not None:
        number = column("gallery_images", images).numpy()
    order = np.lexsort((number, camera, identity))
    order = order[np.isin(camera[order], of_mode)]
    if len(order) == 0:
        raise ValueError(
            f"{WHERE}: gallery_cameras must have an image of cameras {of_mode}, got none in "
            f"{size} images"
        )
    changes = (np.diff(identity[order]) != 0) | (np.diff(camera[order]) != 0)
    groups = []
    for rows in np.split(order, np.flatnonzero(changes) + 1):
        groups.append(_Group(int(camera[rows[0]]), int(identity[rows[0]]), rows, number[rows]))
        _check_numbers(groups[-1])
    return groups


def _check_numbers(group: _Group) -> None:
    twice = group.numbers[1:][np.diff(group.numbers) == 0]
    if len(twice):
        raise ValueError(
            f"{WHERE}: gallery_images must differ within a camera and identity, got {twice[0]} "
            f"twice in camera {group.camera}, identity {group.identity}"
        )


def _seeded(groups: list[_Group], shots: int, seed: int, trial: int) -> np.ndarray:
    rng = np.random.default_rng([seed, trial])
    chosen = [g.rows[rng.permutation(len(g.rows))[:shots]] for g in groups]
    return np.sort(np.concatenate(chosen))


def _row(permutations: Permutations, group: _Group, trial: int) -> np.ndarray:
    """The image numbers of a group in the order of a trial."""
    given = permutations.get((group.camera, group.identity), np.empty((0, 0), np.int64))
    try:
        permutation = np.asarray(given)
    except (TypeError, ValueError, RuntimeError):
        permutation = np.empty(0)
    if permutation.dtype.kind not in "iu" or permutation.ndim != 2 or len(permutation) <= trial:
        raise ValueError(
            f"{WHERE}: permutations must have a row of image numbers, integers, for each of the "
            f"trials, got {described(given)} for camera {group.camera}, identity {group.identity}"
        )
    return permutation[trial]


def _official(
    groups: list[_Group], shots: int, permutations: Permutations, trial: int
) -> np.ndarray:
    chosen = []
    for group in groups:
        of = f"for camera {group.camera}, identity {group.identity}"
        wanted = min(shots, len(group.rows))
        numbers = _row(permutations, group, trial)[:shots]
        if len(np.unique(numbers)) < max(wanted, len(numbers)):
            raise ValueError(
                f"{WHERE}: permutations must name {wanted} different images in each row, "
                f"got {numbers.tolist()} {of}"
            )
        place = np.searchsorted(group.numbers, numbers).clip(max=len(group.numbers) - 1)
        missing = numbers[group.numbers[place] != numbers]
        if len(missing):
            raise ValueError(
                f"{WHERE}: permutations must name images of the gallery, got number {missing[0]} "
                f"{of}, which is not among its {len(group.rows)} gallery_images"
            )
        chosen.append(group.rows[place])
    return np.sort(np.concatenate(chosen))
