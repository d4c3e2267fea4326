"""Names of reads that SAM allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from genoseq.errors import InputError
from genoseq.seqs.batch import ReadBatch, strip_mate_suffixes

__all__ = ["LONGEST_NAME", "checked_names"]

LONGEST_NAME = 254
"""Characters of a read's name at most (SAM specification, 1.4)."""


def checked_names(batches: Iterable[ReadBatch], *paths: str, paired: bool) -> Iterator[ReadBatch]:
    """The batches as they come, as long as SAM allows all names of reads; ``paths`` are the files, two for pairs in two.

    Mates (``paired``) lose ``/1`` and ``/2`` before they are written; the names of single reads stay as they are.

    Raises:
        InputError: a name is longer than 254 characters (a mate's ``/1`` apart), or starts with ``@``.
    """
    for batch in batches:
        names = strip_mate_suffixes(batch) if paired else batch
        lengths = np.diff(names.name_offsets)
        wrong = lengths > LONGEST_NAME
        wrong |= names.names[np.minimum(names.name_offsets[:-1], max(len(names.names) - 1, 0))] == ord("@")
        for r in np.flatnonzero(wrong):
            name = batch.name(int(r))
            shown = name if len(name) <= 40 else f"{name[:37]}..."
            fault = f"has {lengths[r]} characters" if lengths[r] > LONGEST_NAME else "starts with '@'"
            raise InputError(
                f"the name {shown!r} {fault}; SAM allows {LONGEST_NAME}, and no '@' at the start",
                path=paths[r % len(paths)],
                record=(batch.first_record + int(r)) // len(paths) + 1,
                remedy="rename the read; what follows a space is not part of its name",
            )
        yield batch
