"""Trees from distances: neighbour joining and UPGMA, written as Newick, compared by their splits.

Neighbour joining (Saitou & Nei, Molecular Biology and Evolution 4:406, 1987; in the form of Studier & Keppler 1988) gives back
the true tree where distances add up along it, whatever the speed of evolution; its tree has no root. UPGMA (Sokal & Michener
1958) takes it that all lineages have changed by the same amount, and its tree has a root. Both take time O(n^3).

Equal candidates: the pair that stands first in the order of the names' numbers is joined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genoseq.classify.distances import DistanceMatrix
from genoseq.classify.sequences import SequenceInputError

__all__ = ["Node", "midpoint_rooted", "neighbour_joining", "newick", "robinson_foulds", "splits", "upgma"]

PLAIN = re.compile(r"[^\s()\[\]{}/\\,;:=*'\"`+<>_]+")  # needs no quotes; an unquoted _ is read as a blank
Floats = NDArray[np.float64]


@dataclass(eq=False)
class Node:
    """A node of a tree.

    Attributes:
        name: of a leaf; empty for inner nodes.
        length: of the branch to its parent, in the unit of the distances; 0 at the root.
        children: its subtrees; none for a leaf.
    """

    name: str = ""
    length: float = 0.0
    children: tuple[Node, ...] = ()

    def leaves(self) -> list[Node]:
        """The leaves, from the first to the last, as they are drawn from top to bottom."""
        return [node for node in self.walk() if not node.children]

    def walk(self) -> Iterator[Node]:
        """Every node, parents before children."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))


def neighbour_joining(matrix: DistanceMatrix, *, negative: Literal["zero", "keep"] = "zero") -> Node:
    """The neighbour-joining tree; its outermost node has three branches (two for two items).

    Args:
        matrix: distances.
        negative: what becomes of a branch that comes out shorter than 0: ``zero`` sets it to 0 and gives the difference to its
            sibling, so that their distance stays (Kuhner & Felsenstein 1994); ``keep`` leaves it.

    >>> d = np.array([[0, 5, 9, 9, 8], [5, 0, 10, 10, 9], [9, 10, 0, 8, 7], [9, 10, 8, 0, 3], [8, 9, 7, 3, 0]], float)
    >>> newick(neighbour_joining(DistanceMatrix(tuple("abcde"), d)))
    '(d:2,e:1,(c:4,(a:2,b:3):3):2);'
    """
    if negative not in ("zero", "keep"):
        raise SequenceInputError(f"negative is {negative!r}, expected 'zero' or 'keep'")
    nodes = [Node(name) for name in matrix.names]
    distances = matrix.values.astype(float).copy()
    if len(nodes) == 2:
        half = float(distances[0, 1]) / 2
        nodes[0].length = nodes[1].length = half
        return Node(children=tuple(nodes))
    while len(nodes) > 3:
        count = len(nodes)
        total = distances.sum(axis=1)
        criterion = (count - 2) * distances - total[:, None] - total[None, :]
        np.fill_diagonal(criterion, np.inf)
        # what floating point makes of equal sums must not decide: the first of those that are equal is taken
        close = criterion <= criterion.min() + 1e-12 * max(1.0, float(np.abs(total).max()))
        i, j = divmod(int(np.flatnonzero(close)[0]), count)
        between = float(distances[i, j])
        one = between / 2 + float(total[i] - total[j]) / (2 * (count - 2))
        nodes[i].length, nodes[j].length = _mended(one, between - one, negative)
        merged = (distances[i] + distances[j] - between) / 2
        keep = [at for at in range(count) if at not in (i, j)]
        distances = _extended(distances, merged, keep)
        nodes = [*(nodes[at] for at in keep), Node(children=(nodes[i], nodes[j]))]
    (_, xy, xz), (_, _, yz), _ = distances
    lengths = ((xy + xz - yz) / 2, (xy + yz - xz) / 2, (xz + yz - xy) / 2)
    for node, length in zip(nodes, lengths, strict=True):
        node.length = float(length) if negative == "keep" else max(0.0, float(length))
    return Node(children=tuple(nodes))


def upgma(matrix: DistanceMatrix) -> Node:
    """The UPGMA tree: rooted, all leaves at the same depth.

    >>> newick(upgma(DistanceMatrix(("a", "b", "c"), np.array([[0, 2, 6], [2, 0, 6], [6, 6, 0]], float))))
    '(c:3,(a:1,b:1):2);'
    """
    nodes = [Node(name) for name in matrix.names]
    sizes = [1] * len(nodes)
    heights = [0.0] * len(nodes)
    distances = matrix.values.astype(float).copy()
    while len(nodes) > 1:
        open_ = distances + np.diag(np.full(len(nodes), np.inf))
        i, j = divmod(int(np.flatnonzero(open_ <= open_.min() * (1 + 1e-12))[0]), len(nodes))
        height = float(distances[i, j]) / 2
        nodes[i].length, nodes[j].length = height - heights[i], height - heights[j]
        merged = (sizes[i] * distances[i] + sizes[j] * distances[j]) / (sizes[i] + sizes[j])
        keep = [at for at in range(len(nodes)) if at not in (i, j)]
        distances = _extended(distances, merged, keep)
        sizes = [*(sizes[at] for at in keep), sizes[i] + sizes[j]]
        heights = [*(heights[at] for at in keep), height]
        nodes = [*(nodes[at] for at in keep), Node(children=(nodes[i], nodes[j]))]
    return nodes[0]


def _mended(one: float, other: float, negative: str) -> tuple[float, float]:
    if negative == "keep" or (one >= 0 and other >= 0):
        return one, other
    both = max(0.0, one + other)
    return (0.0, both) if one < 0 else (both, 0.0)


def _extended(distances: Floats, merged: Floats, keep: list[int]) -> Floats:
    """The matrix of the kept items, and the merged one at the end."""
    rest = distances[np.ix_(keep, keep)]
    row = merged[keep]
    return np.block([[rest, row[:, None]], [row[None, :], np.zeros((1, 1))]])


def newick(tree: Node, *, digits: int = 6) -> str:
    """The tree in the Newick format, with branch lengths of so many significant digits; names are quoted where they must be.

    >>> newick(Node(children=(Node("E. coli", 0.1), Node("it's", 0.25))))
    "('E. coli':0.1,'it''s':0.25);"
    """
    parts: list[str] = []
    waiting: list[Node | str] = [tree]
    while waiting:  # no recursion: a tree can be as deep as it has leaves
        item = waiting.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        ending = "" if item is tree else f":{item.length:.{digits}g}"
        if not item.children:
            parts.append(_quoted(item.name) + ending)
            continue
        parts.append("(")
        waiting.append(")" + (_quoted(item.name) if item.name else "") + ending)
        for at, child in enumerate(reversed(item.children)):
            if at:
                waiting.append(",")
            waiting.append(child)
    return "".join(parts) + ";"


def _quoted(name: str) -> str:
    return name if PLAIN.fullmatch(name) else "'" + name.replace("'", "''") + "'"


def splits(tree: Node) -> set[frozenset[str]]:
    """The ways in which the inner branches divide the leaves: of each, the part without the leaf whose name sorts first.

    >>> [sorted(part) for part in splits(Node(children=(Node(children=(Node("a"), Node("b"))), Node("c"), Node("d"))))]
    [['c', 'd']]
    """
    everything = frozenset(leaf.name for leaf in tree.leaves())
    anchor = min(everything)
    found = set()
    below: dict[int, frozenset[str]] = {}
    for node in reversed(list(tree.walk())):
        below[id(node)] = (
            frozenset().union(*(below[id(child)] for child in node.children)) if node.children else frozenset([node.name])
        )
        part = below[id(node)]
        part = everything - part if anchor in part else part
        if 1 < len(part) < len(everything) - 1:
            found.add(part)
    return found


def robinson_foulds(one: Node, other: Node) -> int:
    """Splits that only one of both trees has; 0 means the same tree without a root (Robinson & Foulds 1981).

    Raises:
        SequenceInputError: the trees have other leaves.
    """
    names, others = ({leaf.name for leaf in tree.leaves()} for tree in (one, other))
    if names != others:
        raise SequenceInputError(f"the trees differ in their leaves: {', '.join(sorted(names ^ others)[:5])}")
    return len(splits(one) ^ splits(other))


def midpoint_rooted(tree: Node) -> Node:
    """A copy of the tree with its root in the middle of the longest path between two leaves, for drawing.

    >>> newick(midpoint_rooted(Node(children=(Node("a", 1.0), Node("b", 1.0), Node("c", 4.0)))))
    '((a:1,b:1):1.5,c:2.5);'
    """
    nodes = list(tree.walk())
    number = {id(node): at for at, node in enumerate(nodes)}
    links: list[list[tuple[int, float]]] = [[] for _ in nodes]
    for at, node in enumerate(nodes):
        for child in node.children:
            links[at].append((number[id(child)], child.length))
            links[number[id(child)]].append((at, child.length))
    leaves = [at for at, node in enumerate(nodes) if not node.children]

    def reach(start: int) -> tuple[dict[int, float], dict[int, int]]:
        far, previous, waiting = {start: 0.0}, {start: -1}, [start]
        while waiting:
            here = waiting.pop()
            for there, length in links[here]:
                if there not in far:
                    far[there], previous[there] = far[here] + max(0.0, length), here
                    waiting.append(there)
        return far, previous

    far, _ = reach(leaves[0])
    start = max(leaves, key=lambda at: (far[at], -at))  # with branches not below 0, one end of the longest path
    far, previous = reach(start)
    end = max(leaves, key=lambda at: (far[at], -at))
    half = far[end] / 2
    here = end
    while previous[here] >= 0 and far[previous[here]] > half:
        here = previous[here]
    there = previous[here]
    if there < 0:
        return tree
    sides = _grown(nodes, links, here, there), _grown(nodes, links, there, here)
    sides[0].length, sides[1].length = far[here] - half, half - far[there]
    return Node(children=sides)


def _grown(nodes: list[Node], links: list[list[tuple[int, float]]], top: int, parent: int) -> Node:
    """The part of the tree on the side of ``top``, away from ``parent``, as a subtree; a node with one branch is passed over."""
    order, above = [top], {top: parent}
    for at in order:
        for there, _ in links[at]:
            if there != above[at]:
                above[there] = at
                order.append(there)
    made: dict[int, Node] = {}
    for at in reversed(order):
        length = next(span for there, span in links[at] if there == above[at])
        children = tuple(made[there] for there, _ in links[at] if there != above[at])
        if len(children) == 1:
            children[0].length += length
            made[at] = children[0]
        else:
            made[at] = Node(nodes[at].name, length, children)
    return made[top]
