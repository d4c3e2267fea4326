"""One process at a time: a lock on a file, for what several genoseq commands may do at once."""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Iterator
from pathlib import Path

__all__ = ["locked"]

log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(path: Path, *, waiting_for: str) -> Iterator[None]:
    """Hold the lock file ``path`` (made if need be, and left behind empty) while the block runs.

    The lock ends with the process, however that ends. Where the file system knows no locks, nothing is held.

    Args:
        path: the lock file, in an existing folder.
        waiting_for: what the process that holds the lock is doing, for the log.

    Raises:
        OSError: the lock file cannot be made.

    >>> import tempfile
    >>> with locked(Path(tempfile.mkdtemp()) / ".lock", waiting_for="nothing"):
    ...     pass
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another genoseq: %s", waiting_for)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            log.debug("%s: no lock on this file system (%s)", path, error)
        yield
