"""A family in two parts that no pair of similar sequences connects: one to learn from, one held out.

Rows with an identity of at least ``identity`` (see :mod:`genoseq.families.alignments.identity`) are linked; what is connected,
directly or through others, goes to the same part. Every pair across the parts is then less identical than that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.identity import identities_plainly, nearest, pair_identity
from genoseq.families.alignments.weights import pack_rows
from genoseq.kernels import lean_kernel

__all__ = ["Split", "components", "components_plainly", "split_family"]

EXACT = 1e-9  # 3 of 5 residues are .6, not a little less
ROOM = 1.05  # a component goes to the held-out part if that stays below its size times this


class Split(NamedTuple):
    """Two parts of N rows.

    Attributes:
        train: numbers of the rows to learn from, ascending.
        held_out: numbers of the others, ascending.
        component: (N,) number of each row's component, by the first row it has.
        nearest: for each held-out row its largest identity with any train row.
        identity: the identity from which rows are linked.
    """

    train: NDArray[np.intp]
    held_out: NDArray[np.intp]
    component: NDArray[np.int64]
    nearest: NDArray[np.float64]
    identity: float

    @property
    def largest(self) -> float:
        """The largest identity across the parts."""
        return float(self.nearest.max())

    @property
    def leaks(self) -> int:
        """Held-out rows with a train row as near as ``identity``, counted anew on the parts: 0 unless this module is wrong."""
        return int((self.nearest >= self.identity - EXACT).sum())


def components(matrix: NDArray[np.uint8], *, identity: float) -> NDArray[np.int64]:
    """(N,) number of the connected component of each row of ``matrix`` (N, L); components are numbered by their first rows.

    Raises:
        UsageError: ``identity`` is not above 0 and at most 1.

    >>> from genoseq.families.alphabet import encode
    >>> components(np.array([encode("ACDEF"), encode("WWWWW"), encode("ACDEG")]), identity=0.8).tolist()
    [0, 1, 0]
    """
    _check_identity(identity)
    parent = np.arange(len(matrix), dtype=np.int64)
    _join(pack_rows(np.ascontiguousarray(matrix), gaps_agree=False)[0], identity - EXACT, parent)
    return _numbered(parent)


def components_plainly(matrix: NDArray[np.uint8], *, identity: float) -> NDArray[np.int64]:
    """What :func:`components` gives, by spreading each label over the links until nothing changes: the reference."""
    _check_identity(identity)
    linked = identities_plainly(matrix, matrix).astype(np.float64) >= identity - 1e-6
    np.fill_diagonal(linked, True)
    label = np.arange(len(matrix))
    while True:
        spread = np.array([label[row].min() for row in linked])
        if (spread == label).all():
            return _numbered(label)
        label = spread


def split_family(
    matrix: NDArray[np.uint8], *, identity: float = 0.6, held_out: float = 0.2, seed: int = 0, keep: int | None = None
) -> Split:
    """Split the rows of ``matrix`` (N, L) by connected components.

    Components come in an order drawn by ``seed``; each goes to the held-out part as long as that is smaller than ``held_out`` of
    the rows and the component fits in (5 % over is allowed), else to the train part. The component of row ``keep`` (the wild
    type's, say) always goes to the train part.

    Raises:
        UsageError: ``identity`` or ``held_out`` outside 0 to 1.
        InputError: all rows hang together, or no component is small enough to be held out.
    """
    if not 0 < held_out < 1:
        raise UsageError(f"the share held out is {held_out}, expected between 0 and 1")
    if len(matrix) < 2:
        raise InputError(
            f"there {'is one sequence' if len(matrix) else 'are no sequences'}: two are needed to hold one out",
            remedy="search for homologues first (genoseq family search)",
        )
    component = components(matrix, identity=identity)
    sizes = np.bincount(component)
    wanted = held_out * len(matrix)
    out = np.zeros(len(sizes), np.bool_)
    taken = 0
    for number in np.random.default_rng(seed).permutation(len(sizes)):
        if taken >= wanted:
            break
        if taken + sizes[number] <= wanted * ROOM and (keep is None or number != component[keep]):
            out[number] = True
            taken += int(sizes[number])
    if not taken or taken == len(matrix):
        raise InputError(
            f"no part of the {len(matrix)} sequences can be held out: at identity {identity:g} they form {len(sizes)} "
            f"component{'s' if len(sizes) != 1 else ''}, the largest of {sizes.max()}",
            remedy="choose a higher identity, or hold out more",
        )
    away = np.flatnonzero(out[component])
    kept = np.flatnonzero(~out[component])
    return Split(kept, away, component, nearest(matrix[away], matrix[kept]).identity, identity)


def _check_identity(identity: float) -> None:
    if not 0 < identity <= 1:
        raise UsageError(f"the identity of linked sequences is {identity}, expected above 0 and at most 1")


def _numbered(label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels (the number of the first row of each component) as 0, 1, 2, ... in order of the first rows."""
    found, number = np.unique(label, return_inverse=True)
    return number.astype(np.int64) if len(found) else np.zeros(0, np.int64)


@lean_kernel
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@lean_kernel
def _join(packed, identity, parent):
    """Union-find: ``parent`` becomes the smallest row of each component."""
    total = packed.shape[0]
    for i in range(total):
        for j in range(i + 1, total):
            a, b = _root(parent, i), _root(parent, j)
            if a != b and pair_identity(packed[i], packed[j]) >= identity:
                parent[max(a, b)] = min(a, b)
    for i in range(total):
        parent[i] = _root(parent, i)
