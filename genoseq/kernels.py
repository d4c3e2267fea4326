"""The one decorator behind every compiled inner loop, and the machine instructions numba does not expose.

A kernel is a plain Python function over numpy arrays that numba compiles to machine code on first use. Compiled code is
kept in a cache folder keyed by the content of *all* kernel sources of the package: numba's own cache looks only at the
file of the function itself and would serve stale code when a function or constant it uses, in another file, has changed.

The cache lives in ``$GENOSEQ_CACHE`` (else ``$XDG_CACHE_HOME/genoseq``, else ``~/.cache/genoseq``). It may be read-only, if
it was filled before. What is neither there nor can be written is compiled anew in each process, which costs about a minute and
changes no result.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numba
from llvmlite import ir
from llvmlite.binding import get_host_cpu_name
from numba.core import event as numba_event
from numba.core import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.extending import intrinsic

from genoseq.log import announce

__all__ = ["cache_folder", "kernel", "kernel_folder", "lean_kernel", "load_word", "popcount", "prefetch"]

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent


def cache_folder() -> Path:
    """Folder for everything genoseq may throw away and make again (compiled kernels, indexes built on the fly)."""
    chosen = os.environ.get("GENOSEQ_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "genoseq"


@functools.cache
def _sources_digest() -> str:
    """SHA-256 (16 hex digits) over all modules that define kernels, and those they import from: constants are compiled in."""
    sources = {path: path.read_bytes() for path in PACKAGE.rglob("*.py")}
    chosen = {path for path, source in sources.items() if b"kernel\n" in source} | {Path(__file__)}
    for path in list(chosen):
        for name in re.findall(rb"^from genoseq\.([\w.]+) import", sources[path], flags=re.MULTILINE):
            module = PACKAGE.joinpath(*name.decode().split("."))
            chosen |= {module.with_suffix(".py"), module / "__init__.py"} & sources.keys()
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(chosen):
        digest.update(sources[path])
    return digest.hexdigest()[:16]


def kernel_folder() -> Path:
    """Folder of the compiled kernels: one for each state of the sources and kind of CPU."""
    return cache_folder() / "kernels" / f"{_sources_digest()}-{get_host_cpu_name()}"


class _PackageLocator(_CacheLocator):
    """Places compiled kernels in genoseq's own cache folder, one subfolder per state of the sources."""

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        self._module = Path(py_file).stem
        self._line = py_func.__code__.co_firstlineno
        self._folder = kernel_folder()

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return _sources_digest()

    def get_disambiguator(self) -> str:
        return f"{self._module}{self._line}"

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _PackageLocator | None:
        locator = cls(py_func, py_file)
        try:
            locator.ensure_cache_path()
        except OSError:  # it cannot be written; what it holds is of use all the same
            return locator if os.access(locator.get_cache_path(), os.R_OK | os.X_OK) else None
        return locator


class _PackageCacheImpl(CompileResultCacheImpl):
    _locator_classes: ClassVar = [_PackageLocator]  # type: ignore[misc]


class _PackageCache(FunctionCache):
    _impl_class = _PackageCacheImpl

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code; a disk that is full costs the next run a compilation, and this run nothing."""
        if not os.access(self._cache_path, os.W_OK):  # told when the compilation began
            return
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _tell_not_kept(self._cache_path, error.strerror or str(error))


@functools.cache
def _tell_not_kept(folder: str, reason: str) -> None:
    """Warn once."""
    log.warning("compiled code cannot be kept in %s (%s)", folder, reason)


class _Announcer(numba_event.Listener):
    """A word to the user when machine code has to be made, since that takes a while and happens rarely."""

    said = False

    def on_start(self, event: numba_event.Event) -> None:
        """Log a line at the first kernel that this process compiles; nothing if all come from the cache."""
        dispatcher = event.data["dispatcher"]
        if _Announcer.said or not dispatcher.py_func.__module__.startswith("genoseq."):
            return
        _Announcer.said = True
        folder = getattr(dispatcher._cache, "_cache_path", None)
        if folder is not None and os.access(folder, os.W_OK):
            announce(log, "compiling for this machine (once for each command and version, up to a minute)")
        else:
            log.warning(
                "compiling for this machine, in every run anew (about a minute): %s; set GENOSEQ_CACHE to one",
                "no folder to keep the result can be written" if folder is None
                else f"{folder} is incomplete, and no folder to keep the rest can be written",
            )  # fmt: skip

    def on_end(self, event: numba_event.Event) -> None:
        """Nothing to say."""


numba_event.register("numba:compile", _Announcer())


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` with numba: releases the GIL, divides as numpy does, no fast-math, cached on disk.

    It may make arrays. Inner kernels that do not are better off with :func:`lean_kernel`. The plain Python function stays
    available as ``function.py_func``.
    """
    return _compiled(function, counted=True)


def lean_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like :func:`kernel`, for functions that make no arrays: numba then counts no references.

    Counting costs an atomic instruction whenever an array is taken out of a tuple, and twice the time to compile.
    """
    return _compiled(function, counted=False)


def _compiled(function: Callable[..., Any], *, counted: bool) -> Callable[..., Any]:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": counted}
    compiled: Callable[..., Any] = numba.njit(**options)(function)
    # numba says RuntimeError, "no locator available", where the cache folder cannot be written
    with contextlib.suppress(RuntimeError):
        compiled._cache = _PackageCache(function)  # type: ignore[attr-defined]
    return compiled


@intrinsic
def popcount(typingctx: Any, value: Any) -> Any:
    """Number of set bits of a 64-bit unsigned integer (the CPU's own instruction)."""
    signature = types.uint64(types.uint64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return signature, codegen


@intrinsic
def prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    """Hint that ``array[index]`` (one-dimensional) will be read soon. Never changes a result."""
    signature = types.void(array, types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        struct = context.make_array(sig.args[0])(context, builder, args[0])
        pointer = builder.bitcast(builder.gep(struct.data, [args[1]]), ir.IntType(8).as_pointer())
        int32 = ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch",
            fnty=ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), int32, int32, int32]),
        )
        builder.call(hint, [pointer, int32(0), int32(3), int32(1)])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def load_word(typingctx: Any, array: Any, offset: Any) -> Any:
    """The 8 bytes at ``array[offset : offset + 8]`` of a uint8 array as one little-endian uint64, at any alignment."""
    signature = types.uint64(array, types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        struct = context.make_array(sig.args[0])(context, builder, args[0])
        pointer = builder.bitcast(builder.gep(struct.data, [args[1]]), ir.IntType(64).as_pointer())
        return builder.load(pointer, align=1)

    return signature, codegen
