"""The guarantees of SECURITY.md: files run no code, and the import opens no connection."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from reid_ext import FeatureSet, models, training

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "reid_ext").rglob("*.py"))
NEEDED = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
FORBIDDEN = {
    "pickle.load",
    "pickle.loads",
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "torch.hub.load",
}


class Runs:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def write_tensors(content, path):
    torch.save(content, path)


def write_arrays(content, path):
    np.savez(path, features=np.array([content], dtype=object), identities=[1])


@pytest.mark.parametrize(
    "write, name, read",
    [
        (write_tensors, "c.pt", lambda path: training.load_model(path, torch.nn.Linear(1, 1))),
        (write_tensors, "w.pth", lambda path: models.build_backbone("small", path)),
        (write_arrays, "f.npz", lambda path: FeatureSet.load(path)),
    ],
    ids=["checkpoint", "weights", "features"],
)
def test_reading_a_file_with_code_raises(write, name, read, tmp_path):
    ran = tmp_path / "ran"
    write({"a": Runs(ran)}, tmp_path / name)
    with pytest.raises(ValueError, match=name):
        read(tmp_path / name)
    assert not ran.exists()


def called(node):
    """The dotted name of the called function, or an empty string."""
    try:
        return ast.unparse(node.func)
    except AttributeError:
        return ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "reid_ext")))
def test_sources_do_not_load_code(path):
    for node in ast.walk(ast.parse(path.read_text())):
        name = called(node) if isinstance(node, ast.Call) else ""
        runs = name in FORBIDDEN or name.startswith("subprocess.")
        assert not runs, f"line {node.lineno}: {name}"
        if name in NEEDED:
            keyword, value = NEEDED[name]
            given = {k.arg: k.value for k in node.keywords}
            assert isinstance(given.get(keyword), ast.Constant), f"line {node.lineno}: {keyword}"
            assert given[keyword].value is value


@pytest.mark.slow
def test_import_opens_no_connection(tmp_path):
    code = (
        "import socket, sys\n"
        "def refuse(*_): sys.exit('a connection was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import reid_ext, reid_ext.data, reid_ext.models, reid_ext.training, reid_ext.cli\n"
        "import reid_ext.compat, reid_ext.distributed, reid_ext.viz\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
