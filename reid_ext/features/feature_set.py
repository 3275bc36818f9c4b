"""FeatureSet: embeddings, one value of every column for each of them, and where they come from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime import arguments
from reid_ext._runtime.arguments import ArgumentError, Array, Gallery

Column: TypeAlias = Tensor | np.ndarray  # int64 or float64 tensor; text as a NumPy array
INTEGER_COLUMNS = ("identities", "cameras", "views", "modalities", "clothes", "tracks", "images")
RESERVED = ("features", "source")
LONGEST_TILE = 1 << 17  # with more rows, a tile of the product has fewer than 128 queries


class FeatureSet:
    """Embeddings (N, D) with named columns of length N and a record of where they come from.

    Args:
        features: Shape (N, D), float32, float64, bfloat16 or float16: a tensor on any device, a
            NumPy array or memory map, or nested lists. Or blocks of rows (a list of tensors or
            arrays, or an object whose ``__iter__`` makes them anew), for a gallery that does not
            fit in memory; blocks need ``identities``. Nothing is copied.
        identities: Integers of shape (N,): tensor, array or list of any integer type.
        cameras: Integers of shape (N,).
        source: What is known of the embeddings, such as ``model``, ``preprocessing`` and
            ``dataset``. Values must be what JSON can hold.
        **columns: Further columns of length N. ``views``, ``modalities``, ``clothes``, ``tracks``
            and ``images`` are integers; any other column holds integers, numbers or text.

    Attributes:
        features: The embeddings as they were given; nested lists become an array.
        columns: Read-only mapping of the columns that are present: int64 or float64 tensors, and
            NumPy arrays of text.
        source: Read-only mapping.

    Raises:
        ArgumentError: a column of another length, an integer column with other values, or
            features of another shape or dtype.

    Example:
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
        """What ``function`` was given as separate arguments.

        ``names`` maps ``"features"`` and the columns to the arguments' names, for the errors.
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
        self.arguments = MappingProxyType(dict(names))  # what the caller knows the columns as
        self._function = function
        self.features = _read_features(function, called, features)
        self.source = MappingProxyType(dict(source or {}))
        rows = None if self.is_in_blocks else len(self.features)  # type: ignore[arg-type]
        read: dict[str, Column] = {}
        for name, values in columns.items():
            argument = names.get(name, name)
            if name in RESERVED:
                raise ArgumentError(function, argument, "have another name", repr(name))
            if values is None:
                continue
            read[name] = _read_column(function, argument, name, values, rows, called)
            rows = len(read[name]) if rows is None else rows
        self._rows = rows
        self.columns: Mapping[str, Column] = MappingProxyType(read)

    @property
    def is_in_blocks(self) -> bool:
        """Whether the features come in blocks of rows rather than in one piece."""
        return not isinstance(self.features, Tensor | np.ndarray)

    @property
    def identities(self) -> Tensor | None:
        """Integers (N,), int64; None if unknown."""
        return self.columns.get("identities")  # type: ignore[return-value]

    @property
    def cameras(self) -> Tensor | None:
        """Integers (N,), int64; None if unknown."""
        return self.columns.get("cameras")  # type: ignore[return-value]

    def is_read_in_blocks(self, device: torch.device) -> bool:
        """Whether queries on ``device`` read this gallery in blocks.

        They do if it is too long for one tile of the product, not in memory, or not a tensor while
        the queries are on a GPU.
        """
        if isinstance(self.features, np.memmap) or self.is_in_blocks:
            return True
        if isinstance(self.features, np.ndarray) and device.type == "cuda":
            return True
        return len(self) > LONGEST_TILE

    def __len__(self) -> int:
        if self._rows is None:
            requirement = "have a column when the features come in blocks"
            raise ArgumentError("FeatureSet", "columns", requirement, "none", "pass identities")
        return self._rows

    def tensor(self) -> Tensor:
        """The features (N, D) as a tensor that shares their memory, without gradient."""
        called = self.arguments.get("features", "features")
        if not self.is_in_blocks:
            return arguments.matrix(self._function, called, self.features)
        blocks: Iterable[Any] = self.features
        pieces = [arguments.matrix(self._function, called, block) for block in blocks]
        kinds = {(p.shape[1], p.dtype, p.device) for p in pieces}
        if len(kinds) != 1:
            requirement = "have blocks of one feature length, dtype and device"
            value = "no block" if not kinds else f"{len(kinds)} kinds"
            raise ArgumentError(self._function, called, requirement, value)
        with torch.autocast(pieces[0].device.type, enabled=False):
            return torch.cat(pieces)

    def to(self, device: str | torch.device) -> "FeatureSet":
        """The same set with its features on ``device``."""
        return self._with(self.tensor().to(device), self.columns)

    def __getitem__(self, rows: Any) -> "FeatureSet":
        """Some rows, by a slice, a bool mask, or row numbers; features in blocks have none."""
        if self.is_in_blocks:
            advice = "join them first with .to('cpu')"
            requirement = "be in one piece to be indexed"
            raise ArgumentError("FeatureSet", "features", requirement, "blocks of rows", advice)
        index = rows if isinstance(rows, slice) else _row_numbers(rows, len(self))
        columns = {name: _taken(column, index) for name, column in self.columns.items()}
        return self._with(_taken(self.features, index), columns)  # type: ignore[arg-type]

    def where(self, **conditions: Any) -> "FeatureSet":
        """The rows whose columns have these values: ``where(cameras=3, identities=[1, 2])``."""
        chosen = np.ones(len(self), bool)
        for name, values in conditions.items():
            if name not in self.columns:
                known = ", ".join(self.columns) or "no columns"
                raise ArgumentError("FeatureSet.where", name, f"be one of {known}", repr(name))
            wanted = [values] if isinstance(values, str | bytes) else np.atleast_1d(values)
            chosen &= np.isin(_as_array(self.columns[name]), wanted)
        return self[chosen]

    def concat(self, other: "FeatureSet") -> "FeatureSet":
        """The rows of both sets, which must have the same columns, dtype and model."""
        if not isinstance(other, FeatureSet):
            got = arguments.described(other)
            raise ArgumentError("FeatureSet.concat", "other", "be a FeatureSet", got)
        if set(other.columns) != set(self.columns):
            requirement = f"have the columns {', '.join(sorted(self.columns))}"
            got = ", ".join(sorted(other.columns)) or "none"
            raise ArgumentError("FeatureSet.concat", "other", requirement, got)
        mine, theirs = (s.source.get("model") for s in (self, other))
        if mine != theirs:
            requirement = f"hold features of the model {mine!r}"
            raise ArgumentError("FeatureSet.concat", "other", requirement, repr(theirs))
        x, y = self.tensor(), other.tensor()
        arguments.alike("FeatureSet.concat", "other", y, "the first set", x)
        columns = {name: _joined(own, other.columns[name]) for name, own in self.columns.items()}
        kept = {k: v for k, v in self.source.items() if other.source.get(k) == v}
        return self._with(torch.cat([x, y]), columns, kept)

    @classmethod
    def load(
        cls, path: str | Path, *, side: str | None = None, holds_both: bool = False
    ) -> "FeatureSet":
        """Read a feature file: ``.npz``, ``.mat`` or ``.npy``.

        Args:
            path: The file. Of an ``.npy`` the labels lie in ``NAME_ids.npy`` and perhaps
                ``NAME_cams.npy`` beside it; ``.mat`` needs SciPy. Nothing in a file is executed:
                arrays of Python objects are refused.
            side: ``"query"`` or ``"gallery"``: which part to read of a file that holds both.
            holds_both: Whether the file must hold both.

        Raises:
            FileNotFoundError: the file does not exist.
            ArgumentError: another kind of file, one without features and identities, or one that
                would take much more memory than the file has bytes.
            ImportError: a ``.mat`` file, and SciPy is not installed.
        """
        from reid_ext.features import files

        features, columns, source = files.read(Path(path), side, holds_both)
        try:
            return cls(features, source=source, **columns)
        except ArgumentError as error:
            place = f"{path}: {error.argument}"
            raise error.named(files.FUNCTION, **{error.argument: place}) from None

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` file, completely or not at all.

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
    """Tensors and arrays as they are, nested lists as an array, blocks as an iterable."""
    if isinstance(features, FeatureSet):
        requirement = "be an array of features"
        raise ArgumentError(function, argument, requirement, "a FeatureSet", "pass .features")
    if _are_blocks(features):
        if isinstance(features, Iterator):
            got = f"{type(features).__name__}, which ends after one pass"
            advice = "pass a list of blocks, or an object whose __iter__ starts anew"
            raise ArgumentError(function, argument, "be iterable twice", got, advice)
        return features
    x = arguments.matrix(function, argument, features)
    return features if isinstance(features, np.ndarray) else x


def _are_blocks(features: Gallery) -> bool:
    if isinstance(features, Tensor) or hasattr(features, "__array__"):  # a table, over its columns
        return False
    if isinstance(features, Sequence):  # nested lists are one array
        return len(features) > 0 and getattr(features[0], "ndim", 0) == 2
    return isinstance(features, Iterable)


def _read_column(
    function: str, argument: str, name: str, values: Any, rows: int | None, like: str
) -> Column:
    if name in INTEGER_COLUMNS:
        column: Column = arguments.integers(function, argument, values)
    else:
        array = values if isinstance(values, Tensor) else np.asarray(values)
        if isinstance(array, np.ndarray) and array.dtype.kind in "US":
            column = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
        elif isinstance(array, np.ndarray) and array.dtype.kind not in "iufb":
            requirement = "hold integers, numbers or text"
            raise ArgumentError(function, argument, requirement, str(array.dtype))
        else:
            x = array if isinstance(array, Tensor) else arguments.shared(array)
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
    """Row numbers of a mask, an array or a list, each from -length to length - 1."""
    index = np.asarray(rows.cpu() if isinstance(rows, Tensor) else rows)
    if index.dtype == np.bool_ and index.shape == (length,):
        return np.flatnonzero(index)
    if index.size == 0:
        return np.empty(0, np.int64)
    fits = index.dtype.kind in "iu" and index.ndim == 1
    if not fits or index.min() < -length or index.max() >= length:
        requirement = f"be a slice, a mask of {length} values, or row numbers below {length}"
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
