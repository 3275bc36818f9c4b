"""The build: what it reports, and its errors for missing parts and invalid settings."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import reid_ext
from reid_ext._runtime import library as _library

ROOT = Path(__file__).parents[2]


def test_build_info_has_all_fields():
    info = reid_ext.build_info()
    assert set(info) == {
        "version", "compiler", "torch", "cuda_toolkit", "cuda_architectures", "cuda_ops",
        "cpu_capability",
    }  # fmt: skip
    assert all(type(value) is str and value for value in info.values())
    assert info["cpu_capability"] in {"x86-64-v4", "x86-64-v3", "baseline"}
    assert (info["cuda_toolkit"] == "none") == info["cuda_ops"].startswith("not built: ")


MEMORY_OF_PRODUCTS = """
import ctypes
import torch
from reid_ext import ops

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "a b c d e f g in_use h i".split()]

in_use = ctypes.CDLL(None).mallinfo2
in_use.restype = Mallinfo
x = torch.ones(4, 8)
for number in range(5100):
    if number == 100:
        before = in_use().in_use
    ops.cosine_matrix(x)
print((in_use().in_use - before) / 5000)
"""


@pytest.mark.slow
def test_products_do_not_leak_memory():
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("needs glibc 2.33")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_OF_PRODUCTS],
        env=environment, cwd=Path.home(), text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 8  # bytes per product


def test_version_equals_pyproject():
    text = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{reid_ext.__version__}"' in text


def test_cuda_status_is_loaded_or_contains_the_reason():
    assert re.match(r"loaded$|not built: .|not loaded: torch .* CPU", _library._cuda_ops)


def test_broken_cuda_library_is_reported(tmp_path, monkeypatch):
    library = tmp_path / "libreid_ext_cuda.so"
    library.write_text("not a library")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.warns(UserWarning, match=r"CUDA kernels not loaded: .*libreid_ext_cuda\.so"):
        outcome = _library._load_cuda(library, "built")
    assert outcome.startswith("not loaded: ")


def test_missing_cpu_library_error_names_file_and_command(tmp_path):
    with pytest.raises(ImportError, match=r"nowhere\.so is missing.*pip install"):
        _library._load_cpu(tmp_path / "nowhere.so")


def test_torch_info_finds_torch_without_importing_it():
    code = "import sys, torch_info; print(torch_info.find().version, 'torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    found = subprocess.check_output(command, cwd=ROOT / "tools", text=True).split()
    assert found == [torch.__version__, "False"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cmake"), reason="needs cmake")
@pytest.mark.parametrize(
    "asked, answer",
    [
        pytest.param(
            "ON",
            r"REID_EXT_CUDA=ON, but (torch \S+ is a CPU build|no nvcc)",
            marks=pytest.mark.skipif(torch.version.cuda is not None, reason="needs a CPU torch"),
        ),
        ("1", "REID_EXT_CUDA must be AUTO, ON, OFF or COMPILE_ONLY, got 1"),
    ],
)
def test_build_fails_with_the_reason(asked, answer, tmp_path):
    configure = ["cmake", "-S", ROOT, "-B", tmp_path, f"-DREID_EXT_CUDA={asked}"]
    configure.append(f"-DPython_EXECUTABLE={sys.executable}")
    done = subprocess.run(configure, capture_output=True, text=True)
    assert done.returncode != 0
    assert re.search(answer, " ".join(done.stderr.split()))


def test_citation_version_equals_pyproject():
    text = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {reid_ext.__version__}\n" in text
