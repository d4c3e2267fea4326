"""Window codes: 128 bits for the 32 bases on each side of an anchor, from a trained table.

Source of the definition (and of the plain reference, :func:`genoseq.embed.window_reference.encode_reference`): the
window is oriented so that its anchor reads canonically; position ``p`` (0 to 31 left of the anchor, 32 to 63 right of it)
looks up the row of its ``context``-mer in a table of small integers; the rows are summed; bit ``d`` of the code is set where
the sum of dimension ``d`` is positive. The anchor itself takes no part, since every candidate in its list shares it.
Positions beyond the end of a read or contig, and those that touch an N, add nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import IndexFormatError, InputError
from genoseq.kernels import kernel, lean_kernel
from genoseq.seqs.genome import contig_of

__all__ = ["BITS", "FLANK", "WindowEncoder", "code_windows", "sum_window"]

FLANK = 32
BITS = 128
FORMAT = "genoseq.window-encoder"
VERSION = "1"


@dataclass(frozen=True)
class WindowEncoder:
    """A trained table and what identifies it.

    Attributes:
        table: int8 ``(64, 4**context, 128)``, C-contiguous.
        context: bases per feature (1 to 3).
        digest: SHA-256 (hex) of the table's shape and bytes; an index remembers it.
        name: where it was loaded from, for messages.
    """

    table: NDArray[np.int8]
    context: int
    digest: str
    name: str

    @classmethod
    def from_table(cls, table: NDArray[np.int8], *, name: str = "in memory") -> WindowEncoder:
        """Wrap a table.

        Raises:
            ValueError: wrong shape or type.
        """
        contexts = {4: 1, 16: 2, 64: 3}
        if table.dtype != np.int8 or table.ndim != 3 or table.shape[::2] != (2 * FLANK, BITS) or table.shape[1] not in contexts:
            raise ValueError(f"window table is {table.dtype} {table.shape}; expected int8 ({2 * FLANK}, 4 | 16 | 64, {BITS})")
        table = np.array(table, order="C")
        table.setflags(write=False)
        digest = hashlib.sha256(repr(table.shape).encode() + table.tobytes()).hexdigest()
        return cls(table, contexts[table.shape[1]], digest, name)

    @classmethod
    def random(cls, *, seed: int = 0, smoothing: float = 2.0) -> WindowEncoder:
        """The untrained baseline: one random vector per position and base, smoothed over neighbouring positions.

        ``smoothing`` is the standard deviation of the Gaussian, in bp; an indel then shifts the code gradually.
        """
        rng = np.random.default_rng(seed)
        raw = rng.standard_normal((2 * FLANK, 4, BITS))
        raw -= raw.mean(axis=1, keepdims=True)
        steps = np.arange(2 * FLANK)
        weights = np.exp(-((steps[:, None] - steps[None, :]) ** 2) / (2 * smoothing**2))
        weights[:FLANK, FLANK:] = weights[FLANK:, :FLANK] = 0
        table = np.einsum("pq,qbd->pbd", weights / weights.sum(axis=1, keepdims=True), raw)
        return cls.from_table(np.rint(table * (100 / np.abs(table).max())).astype(np.int8), name=f"random table {seed}")

    @classmethod
    def load(cls, path: Path | str) -> WindowEncoder:
        """Read ``weights.safetensors`` (or the folder that holds it).

        Raises:
            InputError: the file is missing, damaged or not a window encoder.
            IndexFormatError: it is of another format version.
        """
        from safetensors import SafetensorError, safe_open

        file = Path(path)
        if file.is_dir():
            file = file / "weights.safetensors"
        try:
            with safe_open(file, framework="numpy") as opened:
                metadata = opened.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise InputError(f"{file}: not a window encoder (format is {metadata.get('format')!r}, expected {FORMAT!r})")
                if metadata.get("version") != VERSION:
                    raise IndexFormatError(
                        f"{file}: window encoder of version {metadata.get('version')}, this genoseq reads {VERSION}"
                    )
                table = opened.get_tensor("table")
        except FileNotFoundError as error:
            raise InputError("no such file; give a folder made by `genoseq train`", path=file) from error
        except (SafetensorError, OSError) as error:
            raise InputError(f"{file}: cannot be read as safetensors: {error}") from error
        try:
            return cls.from_table(table, name=str(file))
        except ValueError as error:
            raise InputError(f"{file}: {error}") from error

    @classmethod
    def shipped(cls) -> WindowEncoder:
        """The encoder that comes with genoseq (``models/align-window``)."""
        package = Path(__file__).parents[1]
        inside = package / "_models" / "align-window"
        return cls.load(inside if inside.is_dir() else package.parent / "models" / "align-window")

    @property
    def rows(self) -> NDArray[np.int8]:
        """The table as the kernels want it: int8 ``(64 * 4**context + 1, 128)``, the last row zero (a missing feature)."""
        return np.concatenate([self.table.reshape(-1, BITS), np.zeros((1, BITS), np.int8)])


@lean_kernel
def sum_window(codes, start, end, position, k, flip, rows, context, window, used, sums):
    """Sum the table rows of the window around one anchor into ``sums``.

    Args:
        codes: base codes ``(n,)`` uint8.
        start, end: the window sees only ``codes[start:end]`` (a read, or one contig).
        position: index of the anchor's first base; k: its length; flip: 1 to read the reverse complement.
        rows: :attr:`WindowEncoder.rows`, whose last row is zero and stands for a missing feature.
        window, used: scratch, uint8 ``(64,)`` and int64 ``(64,)``.
        sums: output int16 ``(128,)``.
    """
    for p in range(64):
        window[p] = 4
    left = min(32, position - start)
    right = min(32, end - position - k)
    if flip == 0:
        for p in range(left):
            window[31 - p] = codes[position - 1 - p]
        for p in range(right):
            window[32 + p] = codes[position + k + p]
    else:
        for p in range(right):
            base = codes[position + k + p]
            window[31 - p] = 3 - base if base < 4 else 4
        for p in range(left):
            base = codes[position - 1 - p]
            window[32 + p] = 3 - base if base < 4 else 4
    zero = rows.shape[0] - 1
    if context == 1:
        for p in range(64):
            used[p] = p * 4 + window[p] if window[p] < 4 else zero
    elif context == 2:
        for p in range(63):
            pair = p * 16 + np.int64(window[p]) * 4 + np.int64(window[p + 1])
            used[p] = pair if (window[p] | window[p + 1]) < 4 else zero
        used[31] = zero
        used[63] = zero
    else:
        for p in range(62):
            triple = p * 64 + np.int64(window[p]) * 16 + np.int64(window[p + 1]) * 4 + np.int64(window[p + 2])
            used[p] = triple if (window[p] | window[p + 1] | window[p + 2]) < 4 else zero
        for p in (30, 31, 62, 63):
            used[p] = zero
    for d in range(128):
        sums[d] = 0
    for q in range(0, 64, 8):
        r0 = rows[used[q]]
        r1 = rows[used[q + 1]]
        r2 = rows[used[q + 2]]
        r3 = rows[used[q + 3]]
        r4 = rows[used[q + 4]]
        r5 = rows[used[q + 5]]
        r6 = rows[used[q + 6]]
        r7 = rows[used[q + 7]]
        for d in range(128):
            sums[d] += (
                np.int16(r0[d]) + np.int16(r1[d]) + np.int16(r2[d]) + np.int16(r3[d])
                + np.int16(r4[d]) + np.int16(r5[d]) + np.int16(r6[d]) + np.int16(r7[d])
            )  # fmt: skip


@lean_kernel
def sign_bits(sums, word):
    """Bits ``64 * word`` to ``64 * word + 63`` of the code: set where ``sums`` is positive."""
    bits = np.uint64(0)
    base = 64 * word
    for d in range(64):
        bits |= np.uint64(sums[base + d] > 0) << np.uint64(d)
    return bits


@kernel
def code_windows(codes, offsets, ids, k, rows, context, out):
    """Code the windows of many anchors of a genome into ``out``, uint64 ``(n, 2)`` (16 bytes each, little-endian).

    ``ids`` int64 ``(n,)`` are ``position << 1 | flip``; ``offsets`` say where contigs begin, and no window leaves its contig.
    """
    window = np.empty(64, np.uint8)
    used = np.empty(64, np.int64)
    sums = np.empty(128, np.int16)
    for i in range(ids.shape[0]):
        position = ids[i] >> 1
        contig = contig_of(offsets, position)
        sum_window(
            codes, offsets[contig], offsets[contig + 1], position, k, ids[i] & 1, rows, context, window, used, sums
        )
        out[i, 0] = sign_bits(sums, np.int64(0))
        out[i, 1] = sign_bits(sums, np.int64(1))
