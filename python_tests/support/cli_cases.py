"""A small problem for the commands that read feature files, and a function that runs commands."""

import numpy as np

from reid_ext import cli, evaluate


def problem():
    random = np.random.default_rng(0)
    ids = {"query": random.integers(0, 8, 20), "gallery": random.integers(0, 10, 70)}
    centre = random.standard_normal((10, 6))
    return {
        side: {
            "features": (centre[of] + random.standard_normal((len(of), 6))).astype(np.float32),
            "identities": of,
            "cameras": random.integers(0, 3, len(of)),
        }
        for side, of in ids.items()
    }


def write(folder, sides):
    """Write the feature files of query and gallery and return their paths."""
    for side, arrays in sides.items():
        np.savez(folder / f"{side}.npz", **arrays)
    return [folder / f"{side}.npz" for side in sides]


def typed(capsys, *arguments):
    """Run a reid-ext command and return its exit status, stdout and stderr."""
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse exits in this way
        status = stop.code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def direct(**options):
    query, gallery = problem().values()
    return evaluate(
        query["features"],
        gallery["features"],
        query_ids=query["identities"],
        gallery_ids=gallery["identities"],
        query_cameras=query["cameras"],
        gallery_cameras=gallery["cameras"],
        **options,
    )
