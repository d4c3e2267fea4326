"""Names of protein language models, looked at before anything is fetched: the names of DNA models are no help here."""

from __future__ import annotations

import os
from pathlib import Path

from genoseq.errors import InputError, Pathlike

__all__ = ["check_source", "explain"]


def check_source(source: Pathlike, expected: str) -> None:
    """Refuse what is neither there, nor a short name, nor in the form of a name on the hub.

    Args:
        source: a folder, a file, a short name such as ``esm2-8m``, or ``organisation/name``.
        expected: what would do, for the message.

    Raises:
        InputError: says so.
    """
    from genoseq.checkpoints.catalogue import find_published, find_shipped
    from genoseq.checkpoints.source import REPOSITORY

    text = os.fspath(source)
    if Path(text).expanduser().exists() or REPOSITORY.fullmatch(text) or find_published(text) or find_shipped(text):
        return
    found = "no such file or folder, and no name on the Hugging Face hub (organisation/name)"
    raise InputError(found, path=text, remedy=f"give {expected}")


def explain(error: Exception, source: Pathlike, kind: str) -> InputError:
    """The error of transformers, a paragraph, in a sentence: what is wrong with a folder, or that a name is not on the hub."""
    reason = str(error).strip().partition("\n")[0].rstrip(". ") or type(error).__name__
    if Path(source).expanduser().exists():
        return InputError(f"cannot be loaded as {kind} ({reason})", path=source)
    unknown = "is not a valid model identifier" in reason
    return InputError(
        "the Hugging Face hub has no such repository, or it is private" if unknown else f"cannot be fetched as {kind} ({reason})",
        path=source,
        remedy="check the name and the network, or give a folder",
    )
