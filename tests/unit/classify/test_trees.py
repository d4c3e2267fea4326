from __future__ import annotations

import io
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from Bio import Phylo
from Bio.Phylo.TreeConstruction import DistanceMatrix as BiopythonMatrix
from Bio.Phylo.TreeConstruction import DistanceTreeConstructor
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from genoseq.classify.distances import DistanceMatrix
from genoseq.classify.sequences import SequenceInputError
from genoseq.classify.trees import Node, midpoint_rooted, neighbour_joining, newick, robinson_foulds, splits, upgma


def random_matrix(count: int, seed: int) -> DistanceMatrix:
    rng = np.random.default_rng(seed)
    values = np.triu(rng.random((count, count)), 1)
    return DistanceMatrix(tuple(f"t{at}" for at in range(count)), values + values.T)


def additive_matrix(count: int, seed: int) -> tuple[DistanceMatrix, Node]:
    """Distances along a random tree, and that tree."""
    rng = np.random.default_rng(seed)
    nodes = [Node(f"t{at}", float(rng.uniform(0.1, 1))) for at in range(count)]
    while len(nodes) > 3:
        i, j = sorted(rng.choice(len(nodes), 2, replace=False))
        joined = Node("", float(rng.uniform(0.1, 1)), (nodes[i], nodes[j]))
        nodes = [node for at, node in enumerate(nodes) if at not in (i, j)] + [joined]
    tree = Node(children=tuple(nodes))
    names = tuple(f"t{at}" for at in range(count))
    return DistanceMatrix(names, paths(tree, names)), tree


def paths(tree: Node, names: tuple[str, ...]) -> np.ndarray:
    """Path lengths between leaves."""
    parents, depth = {}, {id(tree): 0.0}
    for node in tree.walk():
        for child in node.children:
            parents[id(child)], depth[id(child)] = node, depth[id(node)] + child.length
    leaves = {leaf.name: leaf for leaf in tree.leaves()}

    def above(node: Node) -> list[int]:
        found = [id(node)]
        while id(node) in parents:
            node = parents[id(node)]
            found.append(id(node))
        return found

    matrix = np.zeros((len(names), len(names)))
    for i, j in combinations(range(len(names)), 2):
        one, other = leaves[names[i]], leaves[names[j]]
        ancestors = above(other)
        meeting = next(at for at in above(one) if at in ancestors)
        matrix[i, j] = matrix[j, i] = depth[id(one)] + depth[id(other)] - 2 * depth[meeting]
    return matrix


def biopython(matrix: DistanceMatrix, method: str) -> Any:
    lower = [[float(v) for v in matrix.values[at, : at + 1]] for at in range(len(matrix))]
    constructor = DistanceTreeConstructor()
    return getattr(constructor, method)(BiopythonMatrix(list(matrix.names), lower))


def biopython_paths(tree: Any, names: tuple[str, ...]) -> np.ndarray:
    matrix = np.zeros((len(names), len(names)))
    for i, j in combinations(range(len(names)), 2):
        matrix[i, j] = matrix[j, i] = tree.distance(names[i], names[j])
    return matrix


@pytest.mark.parametrize("seed", range(12))
def test_neighbour_joining_is_that_of_biopython(seed: int) -> None:
    matrix = random_matrix(4 + seed, seed)
    mine = neighbour_joining(matrix, negative="keep")
    assert paths(mine, matrix.names) == pytest.approx(biopython_paths(biopython(matrix, "nj"), matrix.names), abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_upgma_is_average_linkage(seed: int) -> None:
    matrix = random_matrix(2 + 2 * seed, seed)
    mine = paths(upgma(matrix), matrix.names)
    assert mine == pytest.approx(squareform(cophenet(linkage(squareform(matrix.values), "average"))), abs=1e-9)
    depths = [leaf_depth(upgma(matrix), name) for name in matrix.names]
    assert depths == pytest.approx([depths[0]] * len(depths))


def leaf_depth(tree: Node, name: str) -> float:
    waiting = [(tree, 0.0)]
    while waiting:
        node, depth = waiting.pop()
        if node.name == name:
            return depth
        waiting.extend((child, depth + child.length) for child in node.children)
    raise AssertionError(name)


@pytest.mark.parametrize("seed", range(8))
def test_neighbour_joining_gives_additive_trees_back(seed: int) -> None:
    matrix, tree = additive_matrix(5 + 4 * seed, seed)
    found = neighbour_joining(matrix)
    assert robinson_foulds(found, tree) == 0
    assert paths(found, matrix.names) == pytest.approx(matrix.values, abs=1e-9)


def test_two_and_three_items() -> None:
    two = DistanceMatrix(("a", "b"), np.array([[0, 3], [3, 0]], float))
    assert newick(neighbour_joining(two)) == newick(upgma(two)) == "(a:1.5,b:1.5);"
    three = DistanceMatrix(("a", "b", "c"), np.array([[0, 3, 4], [3, 0, 5], [4, 5, 0]], float))
    assert newick(neighbour_joining(three)) == "(a:1,b:2,c:3);"


def test_equal_distances_give_one_tree_every_time() -> None:
    values = np.ones((6, 6)) - np.eye(6)
    matrix = DistanceMatrix(tuple("abcdef"), values)
    assert newick(neighbour_joining(matrix)) == newick(neighbour_joining(matrix))
    assert paths(neighbour_joining(matrix), matrix.names) == pytest.approx(values)
    assert paths(upgma(DistanceMatrix(tuple("abcd"), np.zeros((4, 4)))), tuple("abcd")).sum() == 0


def test_negative_branches_are_mended_and_the_pair_keeps_its_distance() -> None:
    below = 0
    for seed in range(30):
        matrix = random_matrix(6, seed)
        kept, mended = neighbour_joining(matrix, negative="keep"), neighbour_joining(matrix)
        below += min(node.length for node in kept.walk()) < 0
        assert min(node.length for node in mended.walk()) >= 0
        assert robinson_foulds(kept, mended) == 0
    assert below > 5
    with pytest.raises(SequenceInputError, match="expected 'zero' or 'keep'"):
        neighbour_joining(matrix, negative="drop")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
def test_newick_is_read_back_by_biopython(seed: int) -> None:
    matrix = random_matrix(7, seed)
    tree = neighbour_joining(matrix)
    read = Phylo.read(io.StringIO(newick(tree, digits=12)), "newick")
    assert biopython_paths(read, matrix.names) == pytest.approx(paths(tree, matrix.names), abs=1e-9)


def test_names_are_quoted_where_newick_needs_it() -> None:
    names = ["plain-1.2", "E. coli", "it's", "a_b", "x:y", "(z)", "ü", "[c]", "a;b,c"]
    tree = Node(children=tuple(Node(name, 1.0) for name in names))
    text = newick(tree)
    assert text.startswith("(plain-1.2:1,'E. coli':1,'it''s':1,'a_b':1,")
    simple = Node(children=tuple(Node(name, 1.0) for name in names if "'" not in name))
    read = Phylo.read(io.StringIO(newick(simple)), "newick")
    assert [leaf.name for leaf in read.get_terminals()] == [name for name in names if "'" not in name]


def test_deep_trees_need_no_recursion() -> None:
    tree = Node("t0", 1.0)
    for at in range(1, 5000):
        tree = Node("", 1.0, (tree, Node(f"t{at}", 1.0)))
    assert newick(tree).count(",") == 4999
    assert len(tree.leaves()) == 5000
    assert len(midpoint_rooted(tree).leaves()) == 5000


@pytest.mark.parametrize("seed", range(8))
def test_midpoint_root_lies_between_the_most_distant_leaves(seed: int) -> None:
    matrix, tree = additive_matrix(4 + 3 * seed, 100 + seed)
    rooted = midpoint_rooted(tree)
    assert robinson_foulds(rooted, tree) == 0
    assert paths(rooted, matrix.names) == pytest.approx(matrix.values)
    depths = [leaf_depth(rooted, name) for name in matrix.names]
    assert max(depths) == pytest.approx(matrix.values.max() / 2)
    assert len(rooted.children) == 2


def test_splits_count_what_differs() -> None:
    def pairs(text: str) -> Node:
        one, two, three, four, five = (Node(letter, 1.0) for letter in text)
        return Node(children=(Node("", 1.0, (one, two)), three, Node("", 1.0, (four, five))))

    assert splits(pairs("abcde")) == {frozenset("cde"), frozenset("de")}
    assert robinson_foulds(pairs("abcde"), pairs("bacde")) == 0
    assert robinson_foulds(pairs("abcde"), pairs("acbde")) == 2
    assert robinson_foulds(pairs("abcde"), pairs("adbce")) == 4
    with pytest.raises(SequenceInputError, match="differ in their leaves: e, f"):
        robinson_foulds(pairs("abcde"), pairs("abcdf"))
