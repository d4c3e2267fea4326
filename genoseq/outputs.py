"""Outputs that appear whole or not at all.

A result is written under a temporary name beside its place, flushed to the disk, and renamed. A run that fails or
is interrupted leaves what stood there before, and no half-written file that a later step could take for a result.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from genoseq.errors import OutputError, Pathlike

__all__ = [
    "beside",
    "check_writable",
    "describe_os_error",
    "is_full",
    "is_special",
    "refusal",
    "set_new_mode",
    "whole_file",
    "whole_folder",
]

LITTLE = 1 << 20  # free bytes of a disk below which a write that failed is put down to a full disk
OPEN_FILES = re.compile(r"/dev/(stdin|stdout|stderr|fd/\d+)|/proc/[^/]+/fd/\d+")


@contextlib.contextmanager
def whole_file(path: Pathlike) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to ``path`` if the block succeeds, remove it if not.

    A path that is no regular file (``/dev/null``, a named pipe, ``/dev/fd/63``) is given as it is: it cannot be
    replaced by a rename.

    Raises:
        OutputError: the folder is missing, read-only or full.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "table.tsv"
    >>> with whole_file(target) as temporary:
    ...     _ = temporary.write_text("a\\tb\\n")
    >>> target.read_text()
    'a\\tb\\n'
    """
    target = Path(path)
    check_writable(target)
    if target.is_dir():
        raise OutputError(f"{path}: is a folder, expected a file to write; choose another name")
    if is_special(target):
        with _explained(target):
            yield target
        return
    target = Path(os.path.realpath(target))  # a link stays one: what it points at is replaced
    temporary = beside(target)
    try:
        with _explained(target):
            yield temporary
            _settle(temporary, like=target)
            os.replace(temporary, target)
            _flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(
    path: Pathlike, *, marker: str | None = None, known: Callable[[Path], Collection[str]] | None = None
) -> Iterator[Path]:
    """Give a new empty folder beside ``path``; move it to ``path`` if the block succeeds, remove it if not.

    Args:
        path: the folder to make. One that stands there already is replaced, but only if it is empty or holds a file
            named ``marker``, so that a mistyped path never costs a folder that genoseq did not write.
        marker: name of a file by which a folder of this kind is known.
        known: names of what an earlier run wrote into the folder that it is given; whatever else lies there is the user's,
            and the folder is not replaced. None: nothing is looked at but the marker.

    Raises:
        OutputError: the place cannot be written, or holds something else, which is named.
    """
    target = Path(os.path.realpath(path))
    check_writable(target)
    _check_replaceable(target, marker, known)
    temporary = beside(target)
    old = temporary.with_name(f"{temporary.name}.old")
    try:
        with _explained(target):
            temporary.mkdir()
            yield temporary
            for found in sorted(temporary.rglob("*")):
                _flush(found)
            _flush(temporary)
            _check_replaceable(target, marker, known)
            if target.exists():
                os.rename(target, old)
            try:
                os.rename(temporary, target)
            except OSError:
                if old.exists():
                    os.rename(old, target)
                raise
            _flush(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


def check_writable(path: Pathlike) -> None:
    """Fail at once, before the work is done, if ``path`` cannot be made or replaced.

    Raises:
        OutputError: says which folder is missing, is no folder, or may not be written.
    """
    if is_special(path):
        if not os.access(path, os.W_OK):
            raise OutputError(f"{path}: no permission to write to it; change that or choose another place")
        return
    target = Path(os.path.realpath(path))
    folder = target.parent
    if not folder.exists():
        raise OutputError(f"{path}: the folder {folder} does not exist; make it (mkdir -p) or choose another place")
    if not folder.is_dir():
        raise OutputError(f"{path}: {folder} is not a folder; choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: no permission to write to {folder}; change that or choose another place")


def is_special(path: Pathlike) -> bool:
    """Whether ``path`` is written in place: a device, a pipe, or a file that is already open, such as ``/dev/stderr``.

    >>> is_special("/dev/null"), is_special("table.tsv")
    (True, False)
    """
    if OPEN_FILES.fullmatch(os.path.abspath(path)):
        return True
    target = Path(path)
    return target.exists() and not target.is_file() and not target.is_dir()


def describe_os_error(error: OSError, path: Pathlike | None = None) -> str:
    """What the operating system refused, as a sentence with a remedy, behind the path: the one given or the one it names."""
    place = path if path is not None else error.filename
    where = f"{os.fsdecode(place)}: " if place is not None else ""
    return where + refusal(error)


def refusal(error: OSError) -> str:
    """What the operating system refused, without the path, for errors that name it themselves."""
    reasons = {
        errno.ENOSPC: "no space left on the device; free some space or choose another place",
        errno.EDQUOT: "disk quota exceeded; free some space or choose another place",
        errno.EFBIG: "grows larger than this process or the file system allows; see `ulimit -f`, or choose another place",
        errno.EROFS: "the file system is read-only; choose another place",
        errno.EACCES: "no permission; choose another place or change its permissions",
        errno.EPERM: "not permitted; choose another place",
        errno.EISDIR: "is a folder, expected a file",
        errno.ENOTDIR: "part of the path is a file, expected a folder",
        errno.ENOENT: "no such file or folder; check the name, and the folder you are in",
        errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
        errno.EIO: "the device failed to read or write (input/output error)",
    }
    return reasons.get(error.errno or 0, error.strerror or str(error))


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn a full or read-only disk, or a place without files, into an OutputError that names the output, not the stand-in."""
    try:
        yield
    except OSError as error:
        ours = _is_beside(error.filename, target)
        if ours and error.errno in (errno.ENOENT, errno.ENXIO, errno.EOPNOTSUPP):  # /proc and the like have no new files
            raise OutputError(f"{target}: no file can be made there; choose another place") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG) or ours:
            raise OutputError(describe_os_error(error, target)) from error
        if error.errno is None and is_full(target.parent):  # numpy does not say why fewer bytes were written
            raise OutputError(describe_os_error(OSError(errno.ENOSPC, str(error)), target)) from error
        raise


def is_full(folder: Path) -> bool:
    """Whether the disk is all but full; file systems without a size, such as ``/sys``, are not."""
    state = os.statvfs(folder)
    return state.f_blocks > 0 and state.f_bavail * state.f_frsize < LITTLE


def beside(target: Path, ending: str = "part") -> Path:
    """A hidden path of its own in the folder of ``target``: ``.NAME.PID-XXXXXXXX.part``."""
    return target.with_name(f".{target.name[:200]}.{os.getpid()}-{secrets.token_hex(4)}.{ending}")


def _is_beside(path: object, target: Path) -> bool:
    """Whether an error is about the temporary file or folder that stands in for ``target``."""
    return isinstance(path, str | bytes | os.PathLike) and Path(os.fsdecode(path)).name.startswith(f".{target.name[:200]}.")


def _settle(temporary: Path, *, like: Path) -> None:
    """Flush the finished file and give it the permissions of the file it replaces, or those of any new file."""
    if like.exists():
        os.chmod(temporary, stat.S_IMODE(like.stat().st_mode))
    else:
        set_new_mode(temporary)
    _flush(temporary)


def set_new_mode(path: Path) -> None:
    """Give a file the permissions that the umask leaves a new one; safetensors makes its files for their owner alone."""
    umask = os.umask(0o077)
    os.umask(umask)
    os.chmod(path, 0o666 & ~umask)


def _flush(path: Path) -> None:
    """Have the operating system write a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS, errno.EBADF):  # no fsync on this file system
            raise
    finally:
        os.close(descriptor)


def _check_replaceable(target: Path, marker: str | None, known: Callable[[Path], Collection[str]] | None) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{target}: is a file, expected a folder to write; choose another place or remove it")
    inside = {found.name for found in target.iterdir()}
    if inside and (marker is None or marker not in inside):
        kind = f" (no {marker} in it)" if marker else ""
        raise OutputError(
            f"{target}: holds files that genoseq did not write{kind}, so it is not replaced; remove it or choose another place"
        )
    others = sorted(inside - {marker, *known(target)}) if inside and known is not None else []
    if others:
        raise OutputError(
            f"{target}: holds {others[0]!r} beside what genoseq wrote, so it is not replaced; "
            "move that away or choose another place"
        )
