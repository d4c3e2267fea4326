"""Standard input as a path that says in messages what it is."""

from __future__ import annotations

import os

from genoseq.errors import Pathlike

__all__ = ["StandardInput", "input_path"]


class StandardInput(os.PathLike[str]):
    """``-``, which readers open as standard input; as text, which is what errors and warnings say, ``standard input``.

    >>> str(StandardInput()), os.fspath(StandardInput())
    ('standard input', '-')
    """

    def __fspath__(self) -> str:
        return "-"

    def __str__(self) -> str:
        return "standard input"


def input_path(path: str) -> Pathlike:
    """The path of an input as a user gave it, to be read once."""
    return StandardInput() if path == "-" else path
