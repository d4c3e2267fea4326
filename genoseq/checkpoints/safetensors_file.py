"""Tensors of a safetensors file: names, types and shapes from its header, data read straight into memory of their own.

The format: eight bytes, little endian, the length of the header; the header, JSON, one entry per tensor with ``dtype``,
``shape`` and ``data_offsets`` ``[start, end)`` in the buffer that follows to the end of the file
(https://github.com/huggingface/safetensors). The data are read, not mapped: a net that was loaded does not change or crash when
its file is written anew, and holds one copy of its weights.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genoseq.errors import InputError
from genoseq.outputs import refusal

__all__ = ["SafetensorsFile", "TensorInfo"]

LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the reference implementation."""

AGAIN = "fetch or write it again"

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "U16": torch.uint16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "I64": torch.int64,
    "U64": torch.uint64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}


@dataclass(frozen=True)
class TensorInfo:
    """What is known of a tensor before its data are read."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}"


class SafetensorsFile:
    """The tensors of one file.

    Attributes:
        path: the file.
        tensors: what is known of each, by name.
        metadata: the texts its writer added.

    Raises:
        InputError: no such file, or the file is cut short or damaged; the message says where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                header = self._header(file.read(8), file.read, size)
        except OSError as error:
            raise InputError(refusal(error), path=path) from error
        self._start = 8 + self._header_length
        self.metadata: dict[str, str] = header.pop("__metadata__", None) or {}
        self._offsets: dict[str, tuple[int, int]] = {}
        self.tensors: dict[str, TensorInfo] = {}
        for name, entry in header.items():
            self._enter(name, entry)
        end = self._start + max((end for _, end in self._offsets.values()), default=0)
        if size < end:
            cut = [name for name, (_, last) in self._offsets.items() if self._start + last > size]
            found = (
                f"is cut short: it has {size:,} bytes of {end:,}; {len(cut)} of its {len(self.tensors)} tensors are not whole, "
                f"the first of them {min(cut, key=self._offset)!r}"
            )
            raise InputError(found, path=path, remedy=AGAIN)
        if size > end:
            raise InputError(f"has {size - end:,} bytes after its last tensor, so it is damaged", path=path, remedy=AGAIN)

    def read(self, name: str) -> Tensor:
        """The tensor, in memory of its own.

        Raises:
            InputError: the file is not what it was when it was opened.
        """
        info = self.tensors[name]
        start, end = self._offsets[name]
        tensor = torch.empty(info.shape, dtype=info.dtype)
        if end > start:
            view = tensor.reshape(-1).view(torch.uint8).numpy().data
            try:
                with self.path.open("rb", buffering=0) as file:
                    file.seek(self._start + start)
                    while view:
                        got = file.readinto(view)
                        if not got:
                            raise InputError("has become shorter while it was read", path=self.path)
                        view = view[got:]
            except OSError as error:
                raise InputError(refusal(error), path=self.path) from error
        return tensor

    def _header(self, length: bytes, read: Any, size: int) -> dict[str, Any]:
        path = self.path
        if len(length) < 8:
            raise InputError(f"has {len(length)} bytes, too few for a safetensors file", path=path, remedy=AGAIN)
        self._header_length = int.from_bytes(length, "little")
        if length == b"version ":
            remedy = "fetch the file itself with `git lfs pull`"
            raise InputError("is a pointer of Git LFS, not the weights", path=path, remedy=remedy)
        if self._header_length > LONGEST_HEADER:
            raise InputError("is no safetensors file: what should be the length of its header is too large", path=path)
        if 8 + self._header_length > size:
            found = f"is cut short: its header should have {self._header_length:,} bytes, the whole file has {size:,}"
            raise InputError(found, path=path, remedy=AGAIN)
        try:
            header = json.loads(read(self._header_length))
        except (ValueError, RecursionError) as error:
            raise InputError(f"is no safetensors file, or its header is damaged ({error})", path=path, remedy=AGAIN) from error
        if not isinstance(header, dict):
            raise InputError("is no safetensors file: its header is not a JSON object", path=path, remedy=AGAIN)
        return header

    def _enter(self, name: str, entry: Any) -> None:
        """Note one tensor of the header, or say what is wrong with its entry."""
        try:
            dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            whole = all(type(number) is int and number >= 0 for number in (*shape, start, end))
        except (TypeError, KeyError, ValueError):
            whole = False
        if not whole:
            raise InputError(f"the header's entry of tensor {name!r} is damaged", path=self.path, remedy=AGAIN)
        if dtype not in DTYPES:
            known = ", ".join(DTYPES)
            raise InputError(f"tensor {name!r} is of type {dtype}, which torch does not have; known are {known}", path=self.path)
        wanted = math.prod(shape) * DTYPES[dtype].itemsize
        if end - start != wanted:
            found = f"tensor {name!r} ({dtype} {list(shape)}) needs {wanted:,} bytes, its place in the file has {end - start:,}"
            raise InputError(found, path=self.path, remedy=AGAIN)
        self._offsets[name] = (start, end)
        self.tensors[name] = TensorInfo(DTYPES[dtype], shape)

    def _offset(self, name: str) -> int:
        return self._offsets[name][0]
