"""Embeddings on disk: NumPy (.npz), Parquet and AnnData (.h5ad), written as they come, so that memory does not grow with them.

What is in each is described in docs/formats.md; every one names its format and version, the model and the options.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import Pathlike, UsageError
from genoseq.infer.embedding import Embedded
from genoseq.infer.npz import ArchiveWriter
from genoseq.infer.provenance import Provenance
from genoseq.outputs import whole_file

__all__ = ["ENDINGS", "FORMAT", "VERSION", "EmbeddingSink", "check_format", "embedding_file"]

FORMAT = "genoseq.embeddings"
VERSION = 1
ENDINGS = (".npz", ".parquet", ".h5ad")
GATHERED = 1 << 24
"""Bytes that are gathered for one write, about."""


class EmbeddingSink(Protocol):
    """Where embeddings go, one after another."""

    def add(self, embedded: Embedded) -> None:
        """Write one more."""
        ...


class _File(EmbeddingSink, Protocol):
    def finish(self) -> None: ...


def check_format(path: Pathlike) -> str:
    """The format that the name of an output asks for, if it can be written here.

    Raises:
        UsageError: another ending, or a package is missing.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(f"-o {path}: end the name in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    package = {".parquet": "pyarrow", ".h5ad": "h5py"}.get(ending)
    if package is not None and importlib.util.find_spec(package) is None:
        raise UsageError(f"writing {ending} needs {package}: pip install 'genoseq[tables]', or choose .npz")
    return ending


@contextlib.contextmanager
def embedding_file(path: Pathlike, provenance: Provenance, *, pooled: bool) -> Iterator[EmbeddingSink]:
    """A sink whose content appears as ``path`` when the block has succeeded.

    Args:
        path: ends in .npz, .parquet or .h5ad.
        provenance: what made the embeddings.
        pooled: whether they are one vector per sequence.

    Raises:
        UsageError: see `check_format`.
        OutputError: it cannot be written.
    """
    kinds: dict[str, Callable[[Path, str, bool, contextlib.ExitStack], _File]]
    kinds = {".npz": _Npz, ".parquet": _Parquet, ".h5ad": _H5ad}
    kind = kinds[check_format(path)]
    metadata = provenance.described(FORMAT, VERSION)
    with whole_file(path) as temporary, contextlib.ExitStack() as stack:
        sink = kind(temporary, metadata, pooled, stack)
        yield sink
        sink.finish()


class _Npz:
    """A .npz archive."""

    def __init__(self, path: Path, metadata: str, pooled: bool, stack: contextlib.ExitStack) -> None:
        self._archive = ArchiveWriter(path, stack)
        self._metadata, self._pooled = metadata, pooled
        self._names: list[str] = []
        self._lengths: list[int] = []
        self._counts: list[int] = []

    def add(self, embedded: Embedded) -> None:
        """Write one more."""
        self._names.append(embedded.name)
        self._lengths.append(embedded.length)
        if embedded.starts is None or embedded.ends is None:
            self._archive.append("embeddings", embedded.values[None])
            return
        self._counts.append(len(embedded.values))
        self._archive.append("embeddings", embedded.values)
        self._archive.append("starts", embedded.starts)
        self._archive.append("ends", embedded.ends)

    def finish(self) -> None:
        """Put the archive together."""
        if not self._names:
            self._archive.append("embeddings", np.zeros((0, 0), np.float32))
            for name in () if self._pooled else ("starts", "ends"):
                self._archive.append(name, np.zeros(0, np.int64))
        small: dict[str, NDArray[Any]] = {
            "names": np.array(self._names, dtype=str),
            "lengths": np.array(self._lengths, np.int64),
            "metadata": np.array(self._metadata),
        }
        if not self._pooled:
            small["offsets"] = np.concatenate([[0], np.cumsum(self._counts, dtype=np.int64)]).astype(np.int64)
        self._archive.finish(**small)


class _Gathered:
    """Rows that wait for the next write: columns of embeddings that came one after another."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.lengths: list[int] = []
        self.counts: list[int] = []
        self.values: list[NDArray[np.float32]] = []
        self.starts: list[NDArray[np.int64]] = []
        self.ends: list[NDArray[np.int64]] = []
        self.bytes = 0

    def add(self, embedded: Embedded) -> None:
        values = embedded.values if embedded.values.ndim == 2 else embedded.values[None]
        self.names.append(embedded.name)
        self.lengths.append(embedded.length)
        self.counts.append(len(values))
        self.values.append(values)
        self.bytes += values.nbytes
        if embedded.starts is not None and embedded.ends is not None:
            self.starts.append(embedded.starts)
            self.ends.append(embedded.ends)

    @property
    def full(self) -> bool:
        """Whether it is time to write."""
        return self.bytes >= GATHERED


class _Parquet:
    """A Parquet file: a row per sequence, or per token."""

    def __init__(self, path: Path, metadata: str, pooled: bool, stack: contextlib.ExitStack) -> None:
        self._path, self._pooled, self._stack = path, pooled, stack
        self._metadata = {"genoseq": metadata}
        self._gathered = _Gathered()
        self._records = 0
        self._writer: Any = None

    def add(self, embedded: Embedded) -> None:
        """Write one more."""
        self._gathered.add(embedded)
        if self._gathered.full:
            self._flush()

    def finish(self) -> None:
        """Write what waits, and the end of the file."""
        if self._gathered.names or self._writer is None:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow
        import pyarrow.parquet

        gathered, self._gathered = self._gathered, _Gathered()
        width = gathered.values[0].shape[1] if gathered.values else 0
        flat = pyarrow.array(np.concatenate([np.zeros(0, np.float32), *(values.reshape(-1) for values in gathered.values)]))
        empty = pyarrow.array([], pyarrow.list_(pyarrow.float32()))
        vectors = pyarrow.FixedSizeListArray.from_arrays(flat, width) if width else empty
        names = pyarrow.array(gathered.names, pyarrow.string())
        if self._pooled:
            columns = {"name": names, "length": pyarrow.array(gathered.lengths, pyarrow.int64())}
        else:
            numbers = np.repeat(np.arange(len(gathered.names)), gathered.counts)
            columns = {
                "record": pyarrow.array(numbers + self._records),
                "name": names.take(pyarrow.array(numbers)),
                "start": pyarrow.array(np.concatenate([*gathered.starts, np.zeros(0, np.int64)])),
                "end": pyarrow.array(np.concatenate([*gathered.ends, np.zeros(0, np.int64)])),
            }
        self._records += len(gathered.names)
        table = pyarrow.table({**columns, "embedding": vectors}).replace_schema_metadata(self._metadata)
        if self._writer is None:
            self._writer = self._stack.enter_context(pyarrow.parquet.ParquetWriter(self._path, table.schema))
        self._writer.write_table(table)


class _H5ad:
    """An AnnData file (on-disk format 0.1.0): a row of X per sequence, or per token."""

    def __init__(self, path: Path, metadata: str, pooled: bool, stack: contextlib.ExitStack) -> None:
        import h5py  # type: ignore[import-untyped]

        self._pooled, self._metadata = pooled, metadata
        self._gathered = _Gathered()
        self._file: Any = stack.enter_context(h5py.File(path, "w"))
        self._text = h5py.string_dtype()
        self._records = 0
        self._seen: dict[str, int] = {}
        self._taken: set[str] = set()
        _encoded(self._file, "anndata", "0.1.0")
        self._obs = _encoded(self._file.create_group("obs"), "dataframe", "0.2.0")
        self._x: Any = None
        self._column("_index", self._text)
        for name in ["length"] if pooled else ["record", "start", "end"]:
            self._column(name, "<i8")
        if pooled:
            self._column("name", self._text)
            self._order = ["name", "length"]
        else:
            self._categories: dict[str, int] = {}
            group = _encoded(self._obs.create_group("name"), "categorical", "0.2.0")
            group.attrs["ordered"] = False
            codes = group.create_dataset("codes", shape=(0,), maxshape=(None,), dtype="<i4", chunks=(4096,))
            _encoded(codes, "array", "0.2.0")
            self._order = ["record", "name", "start", "end"]

    def _column(self, name: str, kind: Any) -> None:
        column = self._obs.create_dataset(name, shape=(0,), maxshape=(None,), dtype=kind, chunks=(4096,))
        _encoded(column, "string-array" if kind is self._text else "array", "0.2.0")

    def add(self, embedded: Embedded) -> None:
        """Write one more."""
        self._gathered.add(embedded)
        if self._gathered.full:
            self._flush()

    def finish(self) -> None:
        """Write what waits, and what describes it."""
        self._flush()
        self._obs.attrs["_index"] = "_index"
        self._obs.attrs["column-order"] = np.array(self._order, dtype=self._text)
        if not self._pooled:
            _encoded(
                self._obs["name"].create_dataset("categories", data=list(self._categories), dtype=self._text),
                "string-array",
                "0.2.0",
            )
        var = _encoded(self._file.create_group("var"), "dataframe", "0.2.0")
        var.attrs["_index"] = "_index"
        var.attrs["column-order"] = np.array([], dtype="<f8")
        names = [f"dim_{number}" for number in range(self._x.shape[1])]
        _encoded(var.create_dataset("_index", shape=(len(names),), data=names, dtype=self._text), "string-array", "0.2.0")
        for name in ("layers", "obsm", "obsp", "varm", "varp", "uns"):
            _encoded(self._file.create_group(name), "dict", "0.1.0")
        _encoded(self._file["uns"].create_dataset("genoseq", data=self._metadata, dtype=self._text), "string", "0.2.0")

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, _Gathered()
        if self._x is None:
            width = gathered.values[0].shape[1] if gathered.values else 0
            chunks = (max(1, min(4096, (1 << 18) // max(1, width))), max(1, width))
            self._x = self._file.create_dataset("X", shape=(0, width), maxshape=(None, width or None), dtype="<f4", chunks=chunks)
            _encoded(self._x, "array", "0.2.0")
        if not gathered.names:
            return
        _append(self._x, np.concatenate(gathered.values))
        if self._pooled:
            _append(self._obs["_index"], [self._unique(name) for name in gathered.names])
            _append(self._obs["name"], gathered.names)
            _append(self._obs["length"], np.array(gathered.lengths))
            return
        starts, ends = np.concatenate(gathered.starts), np.concatenate(gathered.ends)
        unique = [self._unique(name) for name in gathered.names]
        tokens = [f"{name}:{number}" for name, count in zip(unique, gathered.counts, strict=True) for number in range(count)]
        _append(self._obs["_index"], tokens)
        _append(self._obs["start"], starts)
        _append(self._obs["end"], ends)
        numbers = np.repeat(np.arange(len(gathered.names)), gathered.counts)
        _append(self._obs["record"], numbers + self._records)
        self._records += len(gathered.names)
        codes = [self._categories.setdefault(name, len(self._categories)) for name in gathered.names]
        _append(self._obs["name/codes"], np.repeat(np.array(codes, np.int32), gathered.counts))

    def _unique(self, name: str) -> str:
        """The name, or with ``-1``, ``-2`` after it where it has been used: rows of AnnData have names of their own."""
        chosen = name
        while chosen in self._taken:
            self._seen[name] = self._seen.get(name, 0) + 1
            chosen = f"{name}-{self._seen[name]}"
        self._taken.add(chosen)
        return chosen


def _encoded(item: Any, kind: str, version: str) -> Any:
    item.attrs["encoding-type"] = kind
    item.attrs["encoding-version"] = version
    return item


def _append(dataset: Any, values: Any) -> None:
    before = dataset.shape[0]
    dataset.resize(before + len(values), axis=0)
    dataset[before:] = values
