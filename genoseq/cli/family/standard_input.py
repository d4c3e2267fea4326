"""Standard input under a name, for what is read more than once."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["named_input"]


@contextlib.contextmanager
def named_input(path: str) -> Iterator[str]:
    """The path; for ``-`` that of a temporary file with all of standard input. Errors in the block name standard input.

    A table of variants is read twice, for what it says and for its columns as they stand: a pipe gives its bytes once.
    """
    if path != "-":
        yield path
        return
    from genoseq.errors import InputError

    with tempfile.TemporaryDirectory(prefix="genoseq-") as folder:
        kept = Path(folder) / "standard input"
        with kept.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield str(kept)
        except InputError as error:
            if str(error.path) == str(kept):
                error.path = "-"
                error.args = (str(error).replace(str(kept), "standard input", 1),)
            raise
