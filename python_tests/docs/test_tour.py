"""The notebook examples/tour.ipynb runs from top to bottom and shows its pictures."""

from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "examples" / "tour.ipynb"
PICTURES = {"image/png", "image/jpeg"}


@pytest.fixture
def notebook():
    return pytest.importorskip("nbformat").read(PATH, as_version=4)


def pictures(notebook):
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    return sum(bool(PICTURES & o.get("data", {}).keys()) for o in outputs)


def test_tour_is_short_and_shows_pictures(notebook):
    assert len(notebook.cells) <= 15
    assert pictures(notebook) == 3
    assert PATH.stat().st_size < 500_000


@pytest.mark.slow
def test_tour_executes(notebook, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the notebook writes
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = []
    # Python imports from the folder in which the kernel starts
    folder = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=folder)
    client.execute()
    assert pictures(notebook) == 3
