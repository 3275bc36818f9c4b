"""FeatureSet: embeddings with named columns and a record of their origin."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime import arguments
from reid_ext._runtime.arguments import ArgumentError, Array, Gallery
from reid_ext._runtime.arrays import shared
from reid_ext._runtime.labels import DISTRACTOR
from reid_ext.features.label_values import read_labels
from reid_ext.features.names import misnamed

Column: TypeAlias = Tensor | np.ndarray  # int64 or float64 tensor; text as a NumPy array
OF_WORDS = ("identities", "cameras", "clothes", "tracks")  # these columns may be given as text
INTEGER_COLUMNS = ("identities", "cameras", "views", "modalities", "clothes", "tracks", "images")
RESERVED = ("features", "source")
LONGEST_TILE = 1 << 17  # with more rows, a tile of the product has fewer than 128 queries


class FeatureSet:
    """Embeddings (N, D) with named columns of length N and a record of their origin.

    Args:
        features: Embeddings of shape (N, D), float32, float64, bfloat16 or float16, as a tensor on
            any device, a NumPy array, a memory map or nested lists. For a gallery that does not
            fit in memory, pass blocks of rows: a list of tensors or arrays, or an object whose
            ``__iter__`` yields them again at every call. Blocks require ``identities``. The
            embeddings are not copied.
        identities: Labels of shape (N,): integers of any type, whole numbers as floats, or text.
            ``-1`` and words such as ``"unknown"`` mean junk. Default: None (unknown).
        cameras: Labels of shape (N,), in the same forms. Default: None (unknown).
        source: The origin of the embeddings, such as ``model``, ``preprocessing`` and ``dataset``.
            JSON must be able to represent the values. Default: None (unknown).
        **columns: Further columns of length N. ``views``, ``modalities``, ``clothes``, ``tracks``
            and ``images`` hold integers. Any other column holds integers, floats or text.

    Attributes:
        features: The embeddings in the form that was passed; nested lists become an array.
        columns: Read-only mapping of the columns that are present: int64 or float64 tensors, and
            NumPy arrays of text.
        source: Read-only mapping.

    Raises:
        ArgumentError: a column has another length, an integer column has other values, or the
            features have an invalid shape or dtype.

    Examples:
        >>> import torch, reid_ext
        >>> query = reid_ext.FeatureSet(torch.eye(2), identities=[1, 2], cameras=[1, 1])
        >>> gallery = reid_ext.FeatureSet(torch.eye(2), identities=[1, 2], cameras=[2, 2])
        >>> reid_ext.evaluate(query, gallery).mAP
        1.0
    """

    def __init__(
        self,
        features: Gallery,
        *,
        identities: Array | None = None,
        cameras: Array | None = None,
        source: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> None:
        given = {"identities": identities, "cameras": cameras, **columns}
        self._read("FeatureSet", {}, features, given, source)

    @classmethod
    def of_arguments(
        cls,
        function: str,
        names: Mapping[str, str],
        features: Gallery,
        columns: Mapping[str, Any],
    ) -> "FeatureSet":
        """Make a set of the separate arguments that ``function`` received.

        ``names`` maps ``"features"`` and the columns to the names of the arguments, for errors.
        """
        made = cls.__new__(cls)
        made._read(function, names, features, columns, None)
        return made

    def _read(
        self,
        function: str,
        names: Mapping[str, str],
        features: Gallery,
        columns: Mapping[str, Any],
        source: Mapping[str, Any] | None,
    ) -> None:
        called = names.get("features", "features")
        self.arguments = MappingProxyType(dict(names))  # the caller's names, for errors
        self._function = function
        self.features = _read_features(function, called, features)
        self.source = MappingProxyType(dict(source or {}))
        rows = None if self.is_in_blocks else len(self.features)  # type: ignore[arg-type]
        read: dict[str, Column] = {}
        for name, values in columns.items():
            argument = names.get(name, name)
            if name in RESERVED:
                advice = f"rename the column, because {name!r} is reserved"
                raise ArgumentError(function, argument, "have another name", repr(name), advice)
            if values is None:
                continue
            if (meant := misnamed(name, columns)) is not None:
                requirement = f"be called {meant}"
                raise ArgumentError(function, argument, requirement, repr(name))
            read[name] = _read_column(function, argument, name, values, rows, called)
            rows = len(read[name]) if rows is None else rows
        self._rows = rows
        self.columns: Mapping[str, Column] = MappingProxyType(read)

    @staticmethod
    def of_labels(
        function: str, names: Mapping[str, str], columns: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        """Read the columns that are not None; ``names`` maps them to arguments of ``function``."""
        return {
            name: read_labels(function, names[name], values, words=name in OF_WORDS)
            for name, values in columns.items()
            if values is not None
        }

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        return state | {name: dict(state[name]) for name in ("arguments", "columns", "source")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        read_only = ("arguments", "columns", "source")
        self.__dict__ = state | {name: MappingProxyType(state[name]) for name in read_only}

    @property
    def is_in_blocks(self) -> bool:
        """Whether the features are blocks of rows instead of one matrix."""
        return not isinstance(self.features, Tensor | np.ndarray)

    @property
    def identities(self) -> Tensor | None:
        """Identities of shape (N,), int64, or None if unknown."""
        return self.columns.get("identities")  # type: ignore[return-value]

    @property
    def cameras(self) -> Tensor | None:
        """Cameras of shape (N,), int64, or None if unknown."""
        return self.columns.get("cameras")  # type: ignore[return-value]

    def is_read_in_blocks(self, device: torch.device) -> bool:
        """Return whether queries on ``device`` read this gallery in blocks.

        This is the case if the gallery is too long for one tile of the product, is not in memory,
        or is an array while the queries are on a GPU.
        """
        if isinstance(self.features, np.memmap) or self.is_in_blocks:
            return True
        if isinstance(self.features, np.ndarray) and device.type == "cuda":
            return True
        return len(self) > LONGEST_TILE

    def __len__(self) -> int:
        if self._rows is None:
            requirement = "have at least one column when the features are blocks of rows"
            advice = "pass identities"
            raise ArgumentError("FeatureSet", "columns", requirement, "no columns", advice)
        return self._rows

    def tensor(self) -> Tensor:
        """Return the features (N, D) as a tensor without gradient; blocks are concatenated.

        The tensor shares memory with features that are not blocks.
        """
        called = self.arguments.get("features", "features")
        if not self.is_in_blocks:
            return arguments.matrix(self._function, called, self.features)
        blocks: Iterable[Any] = self.features
        pieces = [arguments.matrix(self._function, called, block) for block in blocks]
        kinds = {(p.shape[1], p.dtype, p.device) for p in pieces}
        if len(kinds) != 1:
            requirement = "have blocks with the same feature dimension, dtype and device"
            value = "no blocks" if not kinds else f"{len(kinds)} different kinds of blocks"
            raise ArgumentError(self._function, called, requirement, value)
        with torch.autocast(pieces[0].device.type, enabled=False):
            return torch.cat(pieces)

    def to(self, device: str | torch.device) -> "FeatureSet":
        """Return the same set with its features on ``device``."""
        return self._with(self.tensor().to(device), self.columns)

    def __getitem__(self, rows: Any) -> "FeatureSet":
        """Return some rows, selected by a slice, a boolean mask or row numbers.

        Raises:
            ArgumentError: a row is out of range, or the features are blocks of rows.
        """
        if self.is_in_blocks:
            advice = "call .to('cpu') first, which joins the blocks"
            requirement = "be one matrix to be indexed"
            raise ArgumentError("FeatureSet", "features", requirement, "blocks of rows", advice)
        index = rows if isinstance(rows, slice) else _row_numbers(rows, len(self))
        columns = {name: _taken(column, index) for name, column in self.columns.items()}
        return self._with(_taken(self.features, index), columns)  # type: ignore[arg-type]

    def where(self, **conditions: Any) -> "FeatureSet":
        """Return the rows whose columns have the given values.

        Raises:
            ArgumentError: a column is missing.

        Examples:
            >>> import numpy as np
            >>> from reid_ext import FeatureSet
            >>> images = FeatureSet(np.eye(4), identities=[1, 2, 1, 3], cameras=[1, 1, 2, 1])
            >>> images.where(cameras=1, identities=[1, 2]).identities
            tensor([1, 2])
        """
        chosen = np.ones(len(self), bool)
        for name, values in conditions.items():
            if name not in self.columns:
                known = ", ".join(self.columns) or "no columns"
                requirement = f"be a column of the set ({known})"
                raise ArgumentError("FeatureSet.where", name, requirement, repr(name))
            wanted = [values] if isinstance(values, str | bytes) else np.atleast_1d(values)
            chosen &= np.isin(_as_array(self.columns[name]), wanted)
        return self[chosen]

    def concat(self, other: "FeatureSet") -> "FeatureSet":
        """Return the rows of both sets.

        Identities and cameras are joined by their numbers. If the sources of both sets name
        different datasets, the sets must not share an identity or camera, because person 1 of one
        dataset is not person 1 of the other.

        Raises:
            ArgumentError: the sets differ in columns, feature dimension, dtype, device or model,
                or are of different datasets and share an identity or camera.
        """
        if not isinstance(other, FeatureSet):
            got = arguments.described(other)
            raise ArgumentError("FeatureSet.concat", "other", "be a FeatureSet", got)
        if set(other.columns) != set(self.columns):
            requirement = f"have exactly the columns {', '.join(sorted(self.columns)) or '(none)'}"
            got = ", ".join(sorted(other.columns)) or "none"
            raise ArgumentError("FeatureSet.concat", "other", requirement, got)
        mine, theirs = (s.source.get("model") for s in (self, other))
        if mine != theirs:
            requirement = f"hold features of the model {mine!r}"
            raise ArgumentError("FeatureSet.concat", "other", requirement, repr(theirs))
        for name, common in self._confused(other).items():
            requirement = f"share no {name} with the set, which is of another dataset"
            got = f"{len(common)} in common, such as {common[0]}"
            advice = f"add an offset to the {name} of one set"
            raise ArgumentError("FeatureSet.concat", "other", requirement, got, advice)
        x, y = self.tensor(), other.tensor()
        arguments.alike("FeatureSet.concat", "other", y, "the set", x)
        columns = {name: _joined(own, other.columns[name]) for name, own in self.columns.items()}
        kept = {k: v for k, v in self.source.items() if other.source.get(k) == v}
        return self._with(torch.cat([x, y]), columns, kept)

    def _confused(self, other: "FeatureSet") -> dict[str, np.ndarray]:
        """Return the identities and cameras that sets of two named datasets have in common."""
        mine, theirs = (s.source.get("dataset") for s in (self, other))
        if mine is None or theirs is None or mine == theirs:
            return {}
        found = {}
        for name, least in (("identities", DISTRACTOR + 1), ("cameras", 0)):
            if name in self.columns:
                own, of_other = (_as_array(s.columns[name]) for s in (self, other))
                found[name] = np.intersect1d(own, of_other)
                found[name] = found[name][found[name] >= least]
        return {name: common for name, common in found.items() if len(common)}

    @classmethod
    def load(
        cls, path: str | Path, *, side: str | None = None, holds_both: bool = False
    ) -> "FeatureSet":
        """Read a feature file: ``.npz``, ``.npy``, ``.mat``, ``.pt``, ``.csv`` or ``.parquet``.

        Args:
            path: The file. The labels of ``NAME.npy`` are read from ``NAME_ids.npy`` and
                optionally ``NAME_cams.npy`` in the same folder. A ``.mat`` file requires SciPy,
                a ``.parquet`` file requires pyarrow.
                Code in a file is never executed: arrays of Python objects raise an error.
            side: ``"query"`` or ``"gallery"``, the part to read from a file that holds both.
                Default: None.
            holds_both: Require that the file holds both. Default: False.

        Raises:
            FileNotFoundError: the file does not exist.
            ArgumentError: the file is of another kind, lacks features or identities, or would
                need much more memory than its size in bytes.
            ImportError: the library that reads the file is not installed.
        """
        from reid_ext.features import files

        features, columns, source = files.read(Path(path), side, holds_both)
        try:
            return cls(features, source=source, **columns)
        except ArgumentError as error:
            place = f"{path}: {error.argument}"
            raise error.named(files.FUNCTION, **{error.argument: place}) from None

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` file, either completely or not at all.

        Raises:
            ArgumentError: the path does not end in ``.npz``.
            OSError: the file cannot be written.
        """
        from reid_ext.features import files

        files.write(self, Path(path))

    def _with(
        self,
        features: Tensor | np.ndarray,
        columns: Mapping[str, Column],
        source: Mapping[str, Any] | None = None,
    ) -> "FeatureSet":
        made = FeatureSet.__new__(FeatureSet)
        made.features, made._rows = features, len(features)
        made.arguments, made._function = self.arguments, self._function
        made.columns = MappingProxyType(dict(columns))
        made.source = MappingProxyType(dict(self.source if source is None else source))
        return made

    def __repr__(self) -> str:
        if self.is_in_blocks:
            size = f"{self._rows} rows in blocks"
        else:
            rows, dim = self.features.shape  # type: ignore[union-attr]
            size = f"{rows} x {dim} {str(self.features.dtype).removeprefix('torch.')}"  # type: ignore[union-attr]
        columns = ", ".join(self.columns) or "none"
        return f"FeatureSet({size}; columns: {columns}; source: {dict(self.source) or 'unknown'})"


def _read_features(function: str, argument: str, features: Gallery) -> Gallery:
    """Read tensors, arrays and blocks unchanged, and nested lists as an array."""
    if isinstance(features, FeatureSet):
        requirement = "be an array of features"
        raise ArgumentError(function, argument, requirement, "a FeatureSet", "pass .features")
    if _are_blocks(features):
        if isinstance(features, Iterator):
            got = f"{type(features).__name__}, which can be read once"
            advice = "pass a list of blocks, or an object whose __iter__ starts again"
            raise ArgumentError(function, argument, "be iterable twice", got, advice)
        return features
    x = arguments.matrix(function, argument, features)
    return features if isinstance(features, np.ndarray) else x


def _are_blocks(features: Gallery) -> bool:
    # iterating over a table would yield its columns
    if isinstance(features, Tensor) or hasattr(features, "__array__"):
        return False
    if isinstance(features, Sequence):  # nested lists are one array and not blocks
        return len(features) > 0 and getattr(features[0], "ndim", 0) == 2
    return isinstance(features, Iterable)


def _read_column(
    function: str, argument: str, name: str, values: Any, rows: int | None, like: str
) -> Column:
    if name in INTEGER_COLUMNS:
        column: Column = read_labels(function, argument, values, words=name in OF_WORDS)
    else:
        array = values if isinstance(values, Tensor) else np.asarray(values)
        if isinstance(array, np.ndarray) and array.dtype.kind in "US":
            column = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
        elif isinstance(array, np.ndarray) and array.dtype.kind not in "iufb":
            requirement = "hold integers, floats or text"
            raise ArgumentError(function, argument, requirement, str(array.dtype))
        else:
            x = array if isinstance(array, Tensor) else shared(array)
            column = (
                x.double()
                if x.is_floating_point()
                else arguments.integers(
                    function, argument, x.long() if x.dtype == torch.bool else x
                )
            )
    if isinstance(column, Tensor) and column.is_meta:
        raise ArgumentError(function, argument, "be a tensor with values", "a meta tensor")
    if column.ndim != 1 or (rows is not None and len(column) != rows):
        wanted = "(N,)" if rows is None else f"({rows},)"
        requirement = f"have shape {wanted}, one for each row of {like}"
        raise ArgumentError(function, argument, requirement, str(tuple(column.shape)))
    return column


def _row_numbers(rows: Any, length: int) -> np.ndarray:
    """Return the row numbers of a mask, array or list, from -length to length - 1."""
    index = np.asarray(rows.cpu() if isinstance(rows, Tensor) else rows)
    if index.dtype == np.bool_ and index.shape == (length,):
        return np.flatnonzero(index)
    if index.size == 0:
        return np.empty(0, np.int64)
    fits = index.dtype.kind in "iu" and index.ndim == 1
    if not fits or index.min() < -length or index.max() >= length:
        requirement = (
            f"be a slice, a boolean mask of length {length}, or row numbers below {length}"
        )
        raise ArgumentError("FeatureSet", "rows", requirement, arguments.described(rows))
    return index


def _taken(values: Tensor | np.ndarray, index: slice | np.ndarray) -> Tensor | np.ndarray:
    if isinstance(values, Tensor) and isinstance(index, np.ndarray):
        return values[torch.from_numpy(index).to(values.device)]
    return values[index]


def _as_array(column: Column) -> np.ndarray:
    return column.cpu().numpy() if isinstance(column, Tensor) else column


def _joined(a: Column, b: Column) -> Column:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.cat([a, b.to(a.device)])
    return np.concatenate([_as_array(a), _as_array(b)])
