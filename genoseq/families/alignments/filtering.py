"""The rows of an alignment that are worth modelling: long enough, close enough to the wild type, not twice the same.

Columns are the modelled ones throughout. The query's own row always stays.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.weights import differing, pack_rows
from genoseq.families.alphabet import GAP, UNKNOWN, encode
from genoseq.kernels import lean_kernel, popcount
from genoseq.log import counted

__all__ = ["filter_alignment", "identity_to_query", "thin_rows", "thin_rows_plainly"]

log = logging.getLogger(__name__)


def filter_alignment(
    alignment: Alignment,
    *,
    min_coverage: float = 0.7,
    min_identity: float = 0.0,
    max_identity: float = 1.0,
    max_unknown: float = 0.5,
) -> Alignment:
    """The rows that pass, in their order; what was dropped, and why, is logged.

    Args:
        alignment: N rows.
        min_coverage: share of the modelled columns in which a row has a residue, at least.
        min_identity: identity to the query, at least (:func:`identity_to_query`).
        max_identity: two rows that are identical to a larger share than this: only one stays (:func:`thin_rows`). 1 keeps all.
        max_unknown: share of a row's residues that are not known (B, J, X, Z), at most.

    Raises:
        UsageError: a share outside 0 to 1, or ``min_identity`` without a query.
        InputError: no row is left.

    >>> from genoseq.families.alphabet import encode
    >>> rows = np.array([encode("ACDEF"), encode("AC---"), encode("ACDEW")])
    >>> whole = Alignment(("q", "short", "other"), rows, ("ACDEF", "AC", "ACDEW"), "ACDEF", 0, np.ones(5, bool))
    >>> filter_alignment(whole).names
    ('q', 'other')
    """
    for name, share in (
        ("coverage", min_coverage),
        ("identity to the query", min_identity),
        ("identity between rows", max_identity),
        ("share of unknown residues", max_unknown),
    ):
        if not 0 <= share <= 1:
            raise UsageError(f"the {name} is {share}, expected 0 to 1")
    if min_identity > 0 and alignment.query is None:
        raise UsageError("identity to the query needs a query: say which row it is")
    matrix = alignment.matrix[:, alignment.modelled]
    if not matrix.shape[1]:
        raise InputError("the alignment has no column to be modelled: the whole query is in lower case")
    is_query = np.zeros(len(alignment), np.bool_)
    if alignment.query is not None and len(alignment):
        is_query[0] = np.array_equal(alignment.matrix[0], encode(alignment.query))
    residues = (matrix != GAP).sum(axis=1)
    kept = np.ones(len(alignment), np.bool_)
    steps = [
        (f"cover less than {min_coverage:.0%} of the columns", residues < min_coverage * matrix.shape[1] - 1e-9),
        ("have no residues", residues == 0),
        (
            f"have more than {max_unknown:.0%} unknown residues",
            (matrix == UNKNOWN).sum(axis=1) > max_unknown * residues + 1e-9,
        ),
    ]
    if min_identity > 0:
        distant = identity_to_query(alignment) < min_identity - 1e-9
        steps.append((f"are less than {min_identity:.0%} identical to the query", distant))
    told = []
    for why, fails in steps:
        dropped = kept & fails & ~is_query
        kept &= ~dropped
        if dropped.any():
            told.append(f"{int(dropped.sum()):,} {why}")
    if max_identity < 1:
        numbers = np.flatnonzero(kept)
        thin = thin_rows(matrix[numbers], max_identity, first=bool(is_query[:1].any()))
        if len(thin) < len(numbers):
            told.append(f"{len(numbers) - len(thin):,} are more than {max_identity:.0%} identical to another row")
        kept[:] = False
        kept[numbers[thin]] = True
    text = f"kept {int(kept.sum()):,} of {counted(len(alignment), 'row')}" + (f"; dropped: {', '.join(told)}" if told else "")
    if not kept.any():
        raise InputError(f"no row of the alignment is left ({text})", remedy="lower the thresholds")
    log.info("%s", text)
    return alignment.subset(kept)


def identity_to_query(alignment: Alignment) -> NDArray[np.float64]:
    """(N,) share of equal residues in the modelled columns in which both the row and the query have a known one; 0 without any.

    Raises:
        UsageError: the alignment has no query.
    """
    if alignment.query is None:
        raise UsageError("identity to the query needs a query: say which row it is")
    query = encode(alignment.query)[alignment.modelled]
    matrix = alignment.matrix[:, alignment.modelled]
    both = (matrix < GAP) & (query < GAP)
    equal = ((matrix == query) & both).sum(axis=1)
    compared = both.sum(axis=1)
    share: NDArray[np.float64] = np.divide(equal, compared, out=np.zeros(len(matrix)), where=compared > 0)
    return share


def thin_rows(matrix: NDArray[np.uint8], max_identity: float, *, first: bool = False) -> NDArray[np.intp]:
    """Numbers, ascending, of rows no two of which are more than ``max_identity`` identical.

    Greedy, as in hhfilter: rows come by the number of their known residues, most first (ties in their order), and a row
    stays unless it has the same residues as one that stays in more than ``max_identity`` of its own.

    Args:
        matrix: (N, L) codes.
        max_identity: share, 0 to 1.
        first: row 0 comes before all others.
    """
    packed, counts = pack_rows(matrix, gaps_agree=False)
    order = _order(counts, first)
    allowed = np.floor(max_identity * counts[order] + 1e-9).astype(np.int64)
    chosen = np.zeros(len(order), np.int64)
    count = int(_thin(packed[order], counts[order], allowed, chosen))
    return np.sort(order[chosen[:count]]).astype(np.intp)


def thin_rows_plainly(matrix: NDArray[np.uint8], max_identity: float, *, first: bool = False) -> NDArray[np.intp]:
    """What :func:`thin_rows` gives, row by row: the reference."""
    known = (matrix != GAP) & (matrix != UNKNOWN)
    counts = known.sum(axis=1)
    chosen: list[int] = []
    for number in _order(counts, first):
        equal = [int(((matrix[number] == matrix[other]) & known[number]).sum()) for other in chosen]
        if all(same <= max_identity * counts[number] + 1e-9 for same in equal):
            chosen.append(int(number))
    return np.sort(np.array(chosen, np.intp))


def _order(counts: NDArray[np.int64], first: bool) -> NDArray[np.intp]:
    order = np.argsort(-counts, kind="stable")
    if first and len(order):
        order = np.r_[0, order[order != 0]]
    return order


@lean_kernel
def _thin(packed, counts, allowed, chosen):
    """Fill ``chosen`` with the rows that stay, visited in order, and move their bits to the front; say how many stay."""
    total, words, planes = packed.shape
    count = 0
    for i in range(total):
        row = packed[i]
        stays = True
        for k in range(count):
            other = packed[k]
            equal = 0
            left = counts[i]
            for word in range(words):
                differ = differing(row, other, word)
                equal += np.int64(popcount(row[word, 5] & ~differ))
                left -= np.int64(popcount(row[word, 5]))
                if equal + left <= allowed[i]:
                    break
            if equal > allowed[i]:
                stays = False
                break
        if stays:
            for word in range(words):
                for plane in range(planes):
                    packed[count, word, plane] = row[word, plane]
            chosen[count] = i
            count += 1
    return count
