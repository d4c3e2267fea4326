"""What a command costs: wall time, processor time, peak memory.

The operating system reports the largest resident memory of a finished process *including what it held before it started
the program*, so a command started from a large Python process seems at least as large as that. Commands are therefore
started by a bare interpreter of about 10 MB, which waits for them and reports; figures below that are not meaningful.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from genoseq.errors import GenoseqError

__all__ = ["CommandError", "Cost", "folder_bytes", "run_measured", "warm"]

# Runs argv[2:], then writes [status, wall, user + system, largest resident KiB] to file descriptor argv[1].
STARTER = """
import json, os, sys, time
out = int(sys.argv[1])
os.set_inheritable(out, False)
begin = time.perf_counter()
try:
    child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
except OSError as error:
    os.write(out, json.dumps(str(error)).encode())
    sys.exit(0)
_, status, usage = os.wait4(child, 0)
wall = time.perf_counter() - begin
code = os.waitstatus_to_exitcode(status)
os.write(out, json.dumps([code, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]).encode())
"""


class CommandError(GenoseqError):
    """A measured command could not be started or failed."""


class Cost(NamedTuple):
    """Cost of one finished command.

    Attributes:
        wall_s: seconds from start to end.
        cpu_s: user and system seconds of the command and all processes it waited for.
        peak_bytes: largest resident memory of any one of these processes.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int


def run_measured(
    command: Sequence[str],
    *,
    stdout: Path | None = None,
    stderr: Path | None = None,
    timeout_s: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Run ``command`` (no shell) to its end and return its cost.

    Args:
        stdout, stderr: files to write these to; None: dropped (the error of a failing command then quotes nothing).
        environment: variables to set beside those of this process.

    Raises:
        CommandError: the command cannot be started, exits non-zero or runs longer than ``timeout_s``.
    """
    report, report_in = os.pipe()
    with (
        open(stdout or os.devnull, "wb") as out,
        open(stderr or os.devnull, "wb") as err,
        open(report, "rb") as result,
    ):
        starter = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", STARTER, str(report_in), *command],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            stdout=out,
            stderr=err,
            pass_fds=[report_in],
            start_new_session=True,
        )
        os.close(report_in)
        try:
            starter.wait(timeout_s)
        except BaseException as error:  # a timeout or Ctrl-C: end the command too, then go on with the error
            os.killpg(starter.pid, signal.SIGKILL)
            starter.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise CommandError(f"still running after {timeout_s:.0f} s, ended: {' '.join(command)}") from error
            raise
        answer = json.loads(result.read() or '"ended without a report"')
    if isinstance(answer, str):
        raise CommandError(f"cannot run {command[0]}: {answer}")
    status, wall, cpu, kib = answer
    if status:
        said = "" if stderr is None else ": " + " | ".join(stderr.read_text(errors="replace").splitlines()[-3:])
        raise CommandError(f"exit status {status} from {' '.join(command)}{said}")
    return Cost(wall, cpu, kib * 1024)


def folder_bytes(folder: Path) -> int:
    """Size on disk of all files in ``folder``, in bytes (not following links)."""
    return sum(entry.lstat().st_size for entry in folder.rglob("*") if entry.is_file() and not entry.is_symlink())


def warm(paths: Sequence[Path]) -> None:
    """Read files (folders: every file in them) once, so that the first command measured does not pay for the disk."""
    for path in paths:
        for entry in [path] if path.is_file() else sorted(path.rglob("*")):
            if entry.is_file():
                with open(entry, "rb") as stream:
                    while stream.read(1 << 24):
                        pass
