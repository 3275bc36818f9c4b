"""The options of a run in a TOML file: a key per option, tables for ``settings`` and ``split``."""

import difflib
import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.writing import whole_file
from reid_ext.training.options import RunOptions
from reid_ext.training.overrides import SETTINGS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NAMES = tuple(item.name for item in fields(RunOptions))
_TABLES = ("settings", "split")
_LEFT_OUT = ("resume",)  # belongs to one call, not to the run


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the options in ``path``, for ``RunOptions(**read_config(path))``.

    Raises:
        FileNotFoundError: the file does not exist.
        ArgumentError: the file is not valid TOML, or a key is not an option.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"read_config: path must be a file, got {path}")
    try:
        options = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # of TOML, or of UTF-8
        raise ArgumentError("read_config", "path", "be valid TOML", f"{path}: {error}") from error
    for names, given in ((_NAMES, options), (SETTINGS, options.get("settings", {}))):
        for key in given if isinstance(given, Mapping) else ():
            if key not in names:
                near = difflib.get_close_matches(key, names, 1)
                advice = f"did you mean {near[0]}?" if near else ""
                raise ArgumentError(
                    "read_config", "keys", "be options of a run", f"{key!r} in {path}", advice
                )
    return options


def write_config(options: RunOptions, path: str | Path) -> None:
    """Write the options to ``path``, so that ``--config`` with it repeats the run.

    Paths are made absolute. ``resume`` is left out, because it belongs to one call.
    """
    lines = ["# To repeat this run, pass this file to the training script as --config.", ""]
    tables = []
    for name in _NAMES:
        value = getattr(options, name)
        if name in _TABLES:
            rows = [f"{key} = {_toml(v)}" for key, v in value.items() if v is not None]
            tables += ["", f"[{name}]", *rows] if rows else []
        elif value is not None and name not in _LEFT_OUT:
            lines.append(f"{name} = {_toml(value)}")
    text = "\n".join([*lines, *tables]) + "\n"
    with whole_file(Path(path)) as part:  # "replace": a file name may contain invalid UTF-8
        part.write_text(text, encoding="utf-8", errors="replace")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    text = str(value.absolute()) if isinstance(value, Path) else str(value)
    # JSON strings are valid in TOML once this control character is escaped, too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
