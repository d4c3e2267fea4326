"""DNA and RNA where proteins are expected: A, C, G and T are amino acids, too, so no single letter gives them away."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from genoseq.errors import InputError, Pathlike
from genoseq.seqs.alphabet import IUPAC

__all__ = ["LOOKED", "refuse_nucleotides"]

log = logging.getLogger(__name__)

PLAIN = b"ACGTUN"
AMBIGUOUS = 0.05  # share of other IUPAC letters that DNA may have
TELLING = 30  # letters; a protein has so many of A, C, G, T and N alone with 0.3 ** 30 by its composition
LOOKED = 1000  # letters that are looked at


def refuse_nucleotides(sequences: Iterable[bytes], path: Pathlike) -> None:
    """Fail if the first :data:`LOOKED` letters of ``sequences`` are those of DNA or RNA; warn where there are too few to tell.

    Args:
        sequences: letters in any case, gaps and stops among them; they are read until enough is known.
        path: the file, for messages.

    Raises:
        InputError: at least :data:`TELLING` letters, all of them nucleotide codes and nearly all A, C, G, T, U or N.

    >>> refuse_nucleotides([b"MKTAYIAKQR"], "x.fa")
    >>> refuse_nucleotides([b"ACGTTGCA" * 5], "x.fa")
    Traceback (most recent call last):
    genoseq.errors.InputError: x.fa: holds nucleotides, expected proteins; translate the sequences first
    """
    letters = plain = 0
    for sequence in sequences:
        residues = sequence.translate(None, b"-.*").upper()
        if residues.translate(None, IUPAC):
            return  # a letter of proteins alone
        letters += len(residues)
        plain += len(residues) - len(residues.translate(None, PLAIN))
        if letters >= LOOKED:
            break
    if not letters or plain < (1 - AMBIGUOUS) * letters:
        return
    if letters >= TELLING:
        raise InputError("holds nucleotides, expected proteins", path=path, remedy="translate the sequences first")
    log.warning(
        "%s: has no other letters than nucleotides have; it is read as protein: if it is DNA or RNA, translate it first", path
    )
