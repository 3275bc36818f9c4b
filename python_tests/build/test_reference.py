"""The reference implementations do not depend on reid_ext."""

import ast
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "reference"
ALLOWED = {*sys.stdlib_module_names, "numpy", "torch", "reference"} - {"importlib"}


def imports(tree):
    """The top-level name of every imported module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0] if node.level == 0 else "reference"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_reference_imports_nothing_of_reid_ext(path):
    tree = ast.parse(path.read_text())
    assert set(imports(tree)) <= ALLOWED
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert "ops" not in attributes  # torch.ops.reid_ext
