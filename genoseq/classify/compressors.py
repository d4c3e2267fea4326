"""How many bytes a general-purpose compressor needs for a text: alone, and given another text.

    >>> gzip = compressor_named("gzip")
    >>> gzip.size(b"ACGT" * 100) < 60
    True

Sizes are those of the whole stream, headers included, as the literature on compression distances takes them. The default
level of each compressor is the one that its Python function takes by itself, which is what that literature uses.

Every compressor sees only so far back (its window): gzip 32 KiB, bzip2 a block of 900 kB, the others megabytes. What lies
further apart than that in the text cannot be found again.
"""

from __future__ import annotations

import bz2
import lzma
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import zstandard

from genoseq.classify.sequences import SequenceInputError

__all__ = ["COMPRESSORS", "Compressor", "compressor_named", "given_text"]

COMPRESSORS = ("gzip", "bz2", "lzma", "brotli", "zstd")
"""Names of the compressors; brotli needs the package of that name."""

LEVELS = {"gzip": (1, 9, 9), "bz2": (1, 9, 9), "lzma": (0, 9, 6), "brotli": (0, 11, 11), "zstd": (1, 22, 3)}
"""Lowest, highest and default level of each."""

GZIP_FORMAT = 31  # wbits of zlib for a gzip stream with the largest window


@dataclass(frozen=True)
class Compressor:
    """A compressor with its level.

    Attributes:
        name: one of :data:`COMPRESSORS`.
        level: how hard it works.
        window: bytes it can look back.
        size: bytes of the compressed text. May be called from several threads.
    """

    name: str
    level: int
    window: int
    size: Callable[[bytes], int]


def compressor_named(name: str, level: int | None = None) -> Compressor:
    """The compressor of this name.

    Args:
        name: one of :data:`COMPRESSORS`.
        level: None is the default of the compressor's Python function: gzip 9, bz2 9, lzma 6, brotli 11, zstd 3.

    Raises:
        SequenceInputError: unknown name or level, or the package it needs is not installed.
    """
    if name not in LEVELS:
        raise SequenceInputError(f"compressor is {name!r}, expected one of {', '.join(COMPRESSORS)}")
    lowest, highest, default = LEVELS[name]
    chosen = default if level is None else level
    if isinstance(chosen, bool) or not isinstance(chosen, int) or not lowest <= chosen <= highest:
        raise SequenceInputError(f"level is {level!r}, expected a whole number from {lowest} to {highest} for {name}")
    size, window = _MAKERS[name](chosen)
    return Compressor(name, chosen, window, size)


def _gzip(level: int) -> tuple[Callable[[bytes], int], int]:
    return lambda text: len(zlib.compress(text, level, GZIP_FORMAT)), 1 << 15


def _bz2(level: int) -> tuple[Callable[[bytes], int], int]:
    return lambda text: len(bz2.compress(text, level)), 100_000 * level


def _lzma(level: int) -> tuple[Callable[[bytes], int], int]:
    window = 1 << (18, 20, 21, 22, 22, 23, 23, 24, 25, 26)[level]  # the dictionaries of xz's presets
    return lambda text: len(lzma.compress(text, preset=level)), window


def _brotli(level: int) -> tuple[Callable[[bytes], int], int]:
    try:
        import brotli  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise SequenceInputError(
            "the compressor brotli needs the package brotli, which is not installed",
            remedy="install it (pip install brotli) or choose another compressor",
        ) from None
    return lambda text: len(brotli.compress(text, quality=level)), (1 << 22) - 16


def _zstd(level: int) -> tuple[Callable[[bytes], int], int]:
    own = threading.local()  # a zstandard compressor must not be used by two threads at once

    def size(text: bytes) -> int:
        if not hasattr(own, "compressor"):
            own.compressor = zstandard.ZstdCompressor(level=level)
        return len(own.compressor.compress(text))

    return size, 1 << zstandard.ZstdCompressionParameters.from_level(level).window_log


_MAKERS: dict[str, Callable[[int], tuple[Callable[[bytes], int], int]]] = {
    "gzip": _gzip,
    "bz2": _bz2,
    "lzma": _lzma,
    "brotli": _brotli,
    "zstd": _zstd,
}


def given_text(known: bytes, level: int | None = None) -> Callable[[bytes], int]:
    """A function that gives the bytes zstd needs for a text when it knows ``known`` already: C(x | known).

    ``known`` becomes a raw-content dictionary (RFC 8878, section 5): the compressor refers to it as to text that went
    before, and none of it is in the stream. The function must not be used by two threads at once.

    Raises:
        SequenceInputError: level out of range.

    >>> text = bytes(range(65, 91)) * 3
    >>> given_text(text)(text) < compressor_named("zstd").size(text)
    True
    """
    chosen = compressor_named("zstd", level).level
    if len(known) < 8:  # zstd takes no dictionary as short as that, and nothing could be found in it
        return compressor_named("zstd", chosen).size
    dictionary = zstandard.ZstdCompressionDict(known, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    dictionary.precompute_compress(level=chosen)
    compressor = zstandard.ZstdCompressor(level=chosen, dict_data=dictionary)
    return lambda text: len(compressor.compress(text))
