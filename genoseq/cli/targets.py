"""Outputs that a command is asked for, checked before any work is done."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable

__all__ = ["STDOUT", "check_targets", "target_of"]

STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def target_of(path: str | None) -> str | None:
    """The path of an output; None for standard output by whatever name, since a shell's file behind it is never replaced."""
    return None if path in STDOUT else path


def check_targets(targets: Iterable[str | None], inputs: Iterable[str | None]) -> None:
    """Refuse outputs that cannot be written, that are one file, or that would replace an input; None is standard output.

    Raises:
        UsageError: two outputs are one, or an output is an input.
        OutputError: an output cannot be written.
    """
    from genoseq.errors import OutputError, UsageError
    from genoseq.outputs import check_writable, is_special

    kept = [_file_behind(path) for path in inputs if path is not None]
    seen: set[str] = set()
    for target in targets:
        if target is None:
            continue
        if is_special(target):
            check_writable(target)
            continue
        if os.path.isdir(target):
            raise OutputError(f"{target}: is a folder, expected a file to write; choose another name")
        check_writable(target)
        real = os.path.realpath(target)
        if real in seen:
            raise UsageError(f"two outputs have the same name, {target}: give each its own")
        seen.add(real)
        found = _file_behind(target)
        if found is not None and found in kept:
            raise UsageError(f"{target} is an input: writing it would destroy it; choose another name")


def _file_behind(path: str) -> tuple[int, int] | None:
    """Device and inode of a regular file (``-``: of what standard input is), whatever its name; None if there is none."""
    try:
        state = os.fstat(sys.stdin.fileno()) if path == "-" else os.stat(path)
    except (OSError, ValueError):
        return None
    return (state.st_dev, state.st_ino) if stat.S_ISREG(state.st_mode) else None
