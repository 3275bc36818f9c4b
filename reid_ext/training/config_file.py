"""Options of a run in a TOML file, with tables for ``settings`` and ``split``."""

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from reid_ext._runtime.argument_error import suggestion
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
_LEFT_OUT = ("resume", "overwrite")  # belong to one call, not to the run


def read_config(path: str | Path) -> dict[str, Any]:
    """Read the options of a run from a TOML file.

    Args:
        path: File that :func:`write_config` wrote, or one with any of the fields of
            :class:`RunOptions` as keys.

    Returns:
        The options as keyword arguments: ``RunOptions(**read_config(path))``.

    Raises:
        FileNotFoundError: the file does not exist.
        ArgumentError: the file is not valid TOML, or a key is not an option.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from reid_ext.training import RunOptions, read_config
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "config.toml")
        ...     _ = path.write_text('dataset = "market1501"\\nseed = 3')
        ...     options = RunOptions(**read_config(path))
        >>> options.dataset, options.seed
        ('market1501', 3)
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"read_config: path must be a file, got {path}")
    try:
        options = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # invalid TOML or invalid UTF-8
        raise ArgumentError("read_config", "path", "be valid TOML", f"{path}: {error}") from error
    for names, given in ((_NAMES, options), (SETTINGS, options.get("settings", {}))):
        for key in given if isinstance(given, Mapping) else ():
            if key not in names:
                value, advice = f"{key!r} in {path}", suggestion(key, names)
                raise ArgumentError("read_config", "keys", "be options of a run", value, advice)
    return options


def write_config(options: RunOptions, path: str | Path) -> None:
    """Write the options of a run to a TOML file, with which ``--config`` repeats the run.

    Paths are made absolute. ``resume`` and ``overwrite`` are left out, because they belong to one
    call.

    Args:
        options: Options to write. An option whose value is None is left out.
        path: File to write. It is complete or unchanged.

    Examples:
        >>> import tempfile
        >>> from reid_ext.training import RunOptions, read_config, write_config
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_config(RunOptions(dataset="regdb", loss="fidi"), f"{folder}/config.toml")
        ...     options = read_config(f"{folder}/config.toml")
        >>> options["dataset"], options["loss"]
        ('regdb', 'fidi')
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
    # JSON strings are valid in TOML if this control character is escaped as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
