"""Builds and tests the files of the tutorial docs/add_an_op.md in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import reid_ext

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "add_an_op.md").read_text()
FILES = dict(re.findall(r'```\w+ title="([^",]+)"\n(.*?)```', PAGE, re.DOTALL))
EXPORT = re.search(r'```python title="(.*), two lines more"\n(.*)\n(.*)\n```', PAGE)
LOAD_AND_TEST = """\
import pathlib, sys, pytest, torch
for library in sorted(pathlib.Path("build").glob("libreid_ext_*.so")):  # cpu, then cuda
    torch.ops.load_library(library.resolve())
sys.exit(pytest.main(sys.argv[1:]))
"""


def run(*command, cwd, **environment):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository with the page's files and only the common kernels that they need."""
    copy = tmp_path_factory.mktemp("tutorial") / "reid_ext"
    no_build = shutil.ignore_patterns("__pycache__")
    for folder in ("tools", "python_tests", "csrc/common"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=no_build)
    shutil.copytree(Path(reid_ext.__file__).parent, copy / "reid_ext", ignore=no_build)
    for name in ("CMakeLists.txt", "pyproject.toml", "README.md", ".clang-format"):
        shutil.copy(ROOT / name, copy)
    shutil.copy(ROOT / "csrc" / "module.cpp", copy / "csrc")
    for source in (copy / "csrc" / "common").glob("*_cpu.cpp"):
        source.unlink()  # the installed library, which the test also loads, has them
    for name, text in FILES.items():
        path = copy / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    exports = copy / EXPORT[1]
    text = exports.read_text().replace("\n\n__all__ = [\n", f"\n{EXPORT[2]}\n\n__all__ = [\n")
    exports.write_text(text.replace("__all__ = [\n", f"__all__ = [\n{EXPORT[3]}\n"))
    return copy


def test_page_has_the_five_files_of_a_family():
    assert list(FILES) == [
        "csrc/gem/gem.h",
        "csrc/gem/gem_cpu.cpp",
        "csrc/gem/gem_cuda.cu",
        "reid_ext/ops/gem.py",
        "python_tests/ops/test_gem.py",
    ]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("ninja"), reason="needs cmake and ninja")
def test_page_files_build_and_pass_their_test(copy):
    on_gpu = torch.cuda.is_available() and reid_ext.build_info()["cuda_ops"] == "loaded"
    configure(copy, "build", "ON" if on_gpu else "OFF")
    targets = ["reid_ext_cpu", "reid_ext_cuda"] if on_gpu else ["reid_ext_cpu"]
    run("cmake", "--build", "build", "--target", *targets, cwd=copy)
    tests = "python_tests/ops/test_gem.py", "python_tests/build/test_layers.py"
    out = run(
        *(sys.executable, "-c", LOAD_AND_TEST, "-q", "-p", "no:cacheprovider", "-k", "gem", *tests),
        cwd=copy,
        PYTHONPATH=str(copy),
    )
    assert int(re.search(r"(\d+) passed", out)[1]) >= 20


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("ninja") and shutil.which("nvcc")), reason="needs cmake, ninja and nvcc"
)
def test_page_cuda_kernels_compile(copy):
    configure(copy, "build_cuda", "COMPILE_ONLY", "-DCMAKE_CUDA_ARCHITECTURES=90-real")
    run("cmake", "--build", "build_cuda", "--target", "cuda_objects", cwd=copy)


def configure(copy, build, cuda, *options):
    run(
        *("cmake", "-S", ".", "-B", build, "-G", "Ninja", f"-DREID_EXT_CUDA={cuda}"),
        *(f"-DPython_EXECUTABLE={sys.executable}", *options),
        cwd=copy,
    )


@pytest.mark.skipif(
    not (shutil.which("ruff") and shutil.which("clang-format")), reason="needs ruff, clang-format"
)
def test_page_files_are_formatted(copy):
    python = [name for name in FILES if name.endswith(".py")]
    run("ruff", "check", *python, cwd=copy)
    run("ruff", "format", "--check", *python, cwd=copy)
    rest = [name for name in FILES if not name.endswith(".py")]
    run("clang-format", "--dry-run", "-Werror", *rest, cwd=copy)
