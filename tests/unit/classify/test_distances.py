from __future__ import annotations

import io
import logging
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sequence_families import mutated, random_sequence

from genoseq.classify.compressors import compressor_named, given_text
from genoseq.classify.distance_files import read_distances, stem_of, write_phylip, write_tsv
from genoseq.classify.distances import (
    DistanceMatrix,
    code_length_distances,
    compression_distances,
    conditional_distances,
    mash_distance,
    word_distances,
)
from genoseq.classify.sequences import SequenceInputError
from genoseq.classify.trees import neighbour_joining, splits
from genoseq.classify.words import Words
from genoseq.errors import InputError, OutputError
from genoseq.seqs.alphabet import reverse_complement
from genoseq.seqs.fastx import read_fastx

DRAW = random.Random(21)
ANCESTOR = random_sequence(DRAW, 3000)
NAMES = ["near", "nearer", "far", "farther"]


def relatives() -> list[list[bytes]]:
    """Two pairs of sequences: ((near, nearer), (far, farther))."""
    draw = random.Random(3)
    left, right = mutated(draw, ANCESTOR, 0.08), mutated(draw, ANCESTOR, 0.08)
    return [[mutated(draw, one, 0.03).encode()] for one in (left, left, right, right)]


TREE = {frozenset(["near", "nearer"])}


@pytest.mark.parametrize(
    "make",
    [
        lambda: word_distances(relatives(), NAMES, Words(15), metric="mash"),
        lambda: word_distances(relatives(), NAMES, Words(15), metric="ani"),
        lambda: word_distances(relatives(), NAMES, Words(15), metric="jaccard"),
        lambda: word_distances(relatives(), NAMES, Words(15), metric="containment"),
        lambda: word_distances(relatives(), NAMES, Words(15, scaled=4)),
        lambda: word_distances(relatives(), NAMES, Words(4, "translated")),
        lambda: compression_distances(relatives(), NAMES),
        lambda: compression_distances(relatives(), NAMES, compressor_named("zstd", 19)),
        lambda: conditional_distances(relatives(), NAMES),
    ],
)
def test_every_distance_finds_the_known_tree(make: Callable[[], DistanceMatrix]) -> None:
    matrix = make()
    assert (matrix.values == matrix.values.T).all() and not np.diag(matrix.values).any()
    assert splits(neighbour_joining(matrix)) in (TREE, {frozenset(["far", "farther"])})


def test_word_distances_by_hand() -> None:
    one, two = (set(Words(11).of(item[0]).tolist()) for item in relatives()[:2])
    jaccard = len(one & two) / len(one | two)
    held = len(one & two) / min(len(one), len(two))
    expected = {
        "jaccard": 1 - jaccard,
        "containment": 1 - held,
        "mash": -math.log(2 * jaccard / (1 + jaccard)) / 11,
        "ani": 1 - held ** (1 / 11),
    }
    for metric, value in expected.items():
        found = word_distances(relatives()[:2], NAMES[:2], Words(11), metric=metric)  # type: ignore[arg-type]
        assert found.values[0, 1] == pytest.approx(value)
        assert found.errors is None and found.method.startswith(metric)


def test_mash_and_ani_are_about_the_substitutions_made() -> None:
    draw = random.Random(1)
    one = random_sequence(draw, 40000)
    other = mutated(draw, one, 0.05)
    for metric in ("mash", "ani"):
        found = word_distances([[one.encode()], [other.encode()]], ["a", "b"], Words(21), metric=metric)  # type: ignore[arg-type]
        assert found.values[0, 1] == pytest.approx(0.05, rel=0.1)


def test_a_reduced_genome_stays_near_by_containment() -> None:
    whole = random_sequence(random.Random(4), 20000).encode()
    for metric, expected in (("ani", 0.0), ("containment", 0.0)):
        found = word_distances([[whole], [whole[:2000]]], ["a", "b"], Words(21), metric=metric)  # type: ignore[arg-type]
        assert found.values[0, 1] == expected
    assert word_distances([[whole], [whole[:2000]]], ["a", "b"], Words(21)).values[0, 1] > 0.05


def test_sketches_come_with_errors_that_cover_what_they_miss() -> None:
    draw = random.Random(5)
    one = random_sequence(draw, 60000)
    items = [[mutated(draw, one, rate).encode()] for rate in (0.0, 0.02, 0.05, 0.1)]
    for metric in ("mash", "ani", "jaccard", "containment"):
        exact = word_distances(items, NAMES, Words(15), metric=metric).values  # type: ignore[arg-type]
        rough = word_distances(items, NAMES, Words(15, scaled=50), metric=metric)  # type: ignore[arg-type]
        assert rough.errors is not None
        off = np.abs(rough.values - exact)[np.triu_indices(4, 1)] / rough.errors[np.triu_indices(4, 1)]
        assert off.max() < 3.5 and off.max() > 0.05


def test_strand_and_contigs_make_no_difference_to_words() -> None:
    items = relatives()
    turned = [[reverse_complement(item[0])] for item in items]
    whole = word_distances(items, NAMES, Words(15)).values
    assert (word_distances(turned, NAMES, Words(15)).values == whole).all()
    parts = [[item[0][:1000], item[0][986:]] for item in items]  # every 15-mer once
    assert (word_distances(parts, NAMES, Words(15)).values == whole).all()


def test_compression_distance_is_the_mean_of_both_orders() -> None:
    one, two = relatives()[0][0], relatives()[2][0]
    size = compressor_named("zstd").size
    joint = (size(one + b"\n" + two) + size(two + b"\n" + one)) / 2
    expected = (joint - min(size(one), size(two))) / max(size(one), size(two))
    found = compression_distances([[one], [two]], ["a", "b"], compressor_named("zstd"))
    assert found.values[0, 1] == pytest.approx(expected) and found.method == "ncd zstd-3"


def test_conditional_distance_is_a_code_length_distance() -> None:
    items, alone = relatives(), compressor_named("zstd", 19).size

    def length(text: bytes, known: bytes | None) -> float:
        return alone(text) if known is None else given_text(known, 19)(text)

    expected = code_length_distances([item[0] for item in items], NAMES, length).values
    assert (conditional_distances(items, NAMES).values == expected).all()
    assert (conditional_distances(items, NAMES, threads=3).values == expected).all()


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_model_that_gives_no_code_length_is_named(value: float) -> None:
    with pytest.raises(SequenceInputError, match="code length of 'b' is"):
        code_length_distances([b"ACGT", b"CC"], ["a", "b"], lambda text, known: value if text == b"CC" else 4.0)


def test_a_window_too_small_for_two_items_is_told(caplog: pytest.LogCaptureFixture) -> None:
    items = [[random_sequence(random.Random(at), 20000).encode()] for at in range(2)]
    with caplog.at_level(logging.WARNING, "genoseq"):
        compression_distances(items, ["a", "b"], compressor_named("gzip"))
        assert "gzip looks back 32768 bytes and two items have 40000" in caplog.text
        caplog.clear()
        compression_distances(items, ["a", "b"], compressor_named("zstd"))
        assert not caplog.text
        word_distances(items, ["a", "b"], Words(21))
        assert "1 of 1 pair shares no word" in caplog.text


@pytest.mark.parametrize(
    ("items", "names", "message"),
    [
        ([[b"ACGT"]], ["a"], "there is 1 item"),
        ([[b"ACGT"], [b"ACGT"]], ["a"], "2 items for 1 name: one"),
        ([[b"ACGTACGT"], [b"ACGTACGT"]], ["a", "a"], "'a' stands for more than one item"),
        ([[b"ACGTACGT"], [b""]], ["a", "b"], "'b' is empty"),
        ([[b"ACGTACGT"], []], ["a", "b"], "'b' is empty"),
        ([[b"ACGTACGT"], [b"NNNNNNNN"]], ["a", "b"], "'b' has no word of 5 bases"),
        ([[b"ACGTACGT"], [b"ACG"]], ["a", "b"], "choose a smaller k"),
    ],
)
def test_items_that_cannot_be_used_are_named(items: list[list[bytes]], names: list[str], message: str) -> None:
    with pytest.raises(SequenceInputError, match=message):
        word_distances(items, names, Words(5))


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        (("a",), [[0.0]], "at least 2 are needed"),
        (("a", "b"), [[0, 1], [2, 0]], "the same in both directions"),
        (("a", "b"), [[0, -1], [-1, 0]], "finite and not negative"),
        (("a", "b"), [[0, math.nan], [math.nan, 0]], "finite and not negative"),
        (("a", "b"), [[1, 1], [1, 0]], "to itself must be 0"),
        (("a", "b"), [[0, 1, 2], [1, 0, 2]], "shape"),
        (("a", ""), [[0, 1], [1, 0]], "has no name"),
    ],
)
def test_what_is_no_distance_matrix_is_refused(names: tuple[str, ...], values: Any, message: str) -> None:
    with pytest.raises(SequenceInputError, match=message):
        DistanceMatrix(names, np.array(values, float))
    with pytest.raises(SequenceInputError, match="metric is 'cosine'"):
        word_distances([[b"ACGT"], [b"ACGT"]], ["a", "b"], Words(2), metric="cosine")  # type: ignore[arg-type]


def test_mash_distance_has_both_ends() -> None:
    assert mash_distance(1.0, 21) == 0.0
    assert mash_distance(0.0, 21) == 1.0
    assert mash_distance(1e-12, 2) == 1.0


def written(matrix: DistanceMatrix, write: Callable[[DistanceMatrix, Any], None]) -> str:
    out = io.StringIO()
    write(matrix, out)
    return out.getvalue()


MATRIX = DistanceMatrix(("one", "a-longer-name", "c"), np.array([[0, 0.125, 1], [0.125, 0, 0.3], [1, 0.3, 0]]), "mash k=21")


def test_files_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "m"
    for write in (write_tsv, write_phylip):
        path.write_text(written(MATRIX, write))
        found = read_distances(path)
        assert found.names == MATRIX.names and found.values == pytest.approx(MATRIX.values)
    assert written(MATRIX, write_tsv).splitlines()[:3] == [
        "# genoseq.distances 1 mash k=21",
        "\tone\ta-longer-name\tc",
        "one\t0\t0.125\t1",
    ]
    assert written(MATRIX, write_phylip).splitlines()[:2] == ["    3", "one           0.000000 0.125000 1.000000"]
    path.write_text(written(MATRIX, write_tsv))
    assert read_distances(path).method == "mash k=21"
    path.write_text(written(MATRIX, write_tsv).partition("\n")[2])
    assert read_distances(path).method == ""
    path.write_text("3\na\nb 0.1\nc 0.2 0.3\n")
    assert read_distances(path).values[2].tolist() == [0.2, 0.3, 0.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("hello\n", "neither a TSV of distances"),
        ("# genoseq.distances 2 mash\n\ta\tb\na\t0\t1\nb\t1\t0\n", "is version 2 of genoseq.distances, expected 1"),
        ("\ta\tb\na\t0\t1\n", "has 2 names and 1 row,.*truncated"),
        ("\ta\tb\nb\t0\t1\na\t1\t0\n", "line 2.*expected the row of 'a', found 'b'"),
        ("\ta\tb\na\t0\t1\nb\t1\n", "line 3.*expected 2 distances, found 1"),
        ("\ta\tb\na\t0\tx\nb\t1\t0\n", "line 2.*expected a number, found 'x'"),
        ("\ta\tb\na\t0\t1\nb\t2\t0\n", "the same in both directions"),
        ("\ta\tb\na\t0\tnan\nb\tnan\t0\n", "finite"),
        ("3\na 0 1\nb 1 0\n", "says 3 items and has 2 rows"),
        ("2\na 0 1\nb 1\n", "line 3.*expected 2 distances, found 1"),
        ("2\na 0 1\na 1 0\n", "'a' stands for more than one item"),
        ("1\na 0\n", "at least 2"),
    ],
)
def test_files_that_are_no_matrix_say_where(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_distances(path)


def test_names_that_a_format_cannot_hold_are_refused() -> None:
    odd = DistanceMatrix(("E. coli", "b\tc"), np.array([[0.0, 1.0], [1.0, 0.0]]))
    with pytest.raises(OutputError, match="holds a blank, which PHYLIP"):
        write_phylip(odd, io.StringIO())
    with pytest.raises(OutputError, match="holds a tab"):
        write_tsv(odd, io.StringIO())


def test_names_of_files() -> None:
    assert [stem_of(name) for name in ("a/b.fa", "x.fastq.gz", "y.v2.fna.zst", ".gz", "plain")] == [
        "b",
        "x",
        "y.v2",
        ".gz",
        "plain",
    ]


GENOMES = {
    "Escherichia": "ecoli_k12_mg1655.fna.gz",
    "Salmonella": "salmonella_typhimurium_lt2.fna.gz",
    "Haemophilus": "haemophilus_influenzae_rd_kw20.fna.gz",
    "Portiera": "portiera_bt_b_hrs.fna.gz",
    "Bacillus": "bacillus_anthracis_ames_ancestor.fna.gz",
    "Staphylococcus": "staph_aureus_dsm20231.fna.gz",
    "Mycoplasma": "mycoplasma_genitalium.fna.gz",
}


@pytest.mark.slow
def test_seven_bacteria_have_their_known_tree(shared_data: Path) -> None:
    items = [[r.sequence.upper().encode() for r in read_fastx(shared_data / "genomes" / n)] for n in GENOMES.values()]
    matrix = word_distances(items, list(GENOMES), Words(8, "translated", scaled=10, open_run=50), metric="ani")
    firmicutes = frozenset(["Bacillus", "Staphylococcus", "Mycoplasma"])
    enterobacteria = frozenset(["Escherichia", "Salmonella"])
    bacilli = frozenset(["Bacillus", "Staphylococcus"])
    pasteurellales_too = enterobacteria | {"Haemophilus"}
    everything = frozenset(GENOMES)
    known = {enterobacteria, bacilli, pasteurellales_too, firmicutes}
    # a split is named by the part without the first name, Bacillus
    expected = {everything - part if "Bacillus" in part else part for part in known}
    assert splits(neighbour_joining(matrix)) == expected
