"""NumPy archives (.npz) of arrays that come piece by piece, so that memory does not grow with them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from genoseq.outputs import is_special

__all__ = ["ArchiveWriter"]


class ArchiveWriter:
    """Gathers arrays along their first axis, spooled beside the archive: the head of an array says how long it is.

    Args:
        path: the archive.
        stack: closes the spools.
    """

    def __init__(self, path: Path, stack: contextlib.ExitStack) -> None:
        self._path, self._stack = path, stack
        self._beside = None if is_special(path) else path.parent
        self._spools: dict[str, IO[bytes]] = {}
        self._rows: dict[str, int] = {}
        self._kinds: dict[str, tuple[str, tuple[int, ...]]] = {}

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Add rows ``(n, ...)`` to the array of this name; type and further axes are those of the first."""
        if name not in self._spools:
            spool: IO[bytes] = tempfile.TemporaryFile(dir=self._beside)  # noqa: SIM115 (the stack closes it)
            self._spools[name] = self._stack.enter_context(spool)
            self._rows[name] = 0
            self._kinds[name] = values.dtype.newbyteorder("<").str, values.shape[1:]
        kind, shape = self._kinds[name]
        if values.shape[1:] != shape:
            raise ValueError(f"rows of {name} have the shape {values.shape[1:]}, those before {shape}")
        self._spools[name].write(np.ascontiguousarray(values, kind).data)
        self._rows[name] += len(values)

    def finish(self, **arrays: NDArray[Any]) -> None:
        """Write the archive: what was gathered, then these arrays."""
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED) as archive:
            for name, spool in self._spools.items():
                kind, shape = self._kinds[name]
                header = {"descr": kind, "fortran_order": False, "shape": (self._rows[name], *shape)}
                spool.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array_header_1_0(member, header)
                    shutil.copyfileobj(spool, member, 1 << 20)
            for name, values in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)
