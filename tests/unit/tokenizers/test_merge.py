"""Boundaries of a learned net: as intervals, as text, as BED."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genoseq.errors import OutputError, UsageError
from genoseq.tokenizers import Segmentation, Segmenter, from_source_map, make, write_bed

SEQUENCE = "ACGTTGACCA"
STARTS = np.array([0, 3, 5])


def test_a_segmentation_knows_its_tokens() -> None:
    cut = Segmentation(10, STARTS, letters=SEQUENCE)
    assert len(cut) == 3
    assert cut.intervals.tolist() == [[0, 3], [3, 5], [5, 10]]
    assert cut.lengths.tolist() == [3, 2, 5]
    assert cut.tokens() == ["ACG", "TT", "GACCA"] == Segmentation(10, STARTS).tokens(SEQUENCE)
    assert cut.token_of(np.arange(10)).tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2, 2]
    assert cut.token_of(4) == 1
    assert cut.summary() == "3 tokens of 10 bases: mean 3.33, median 3, shortest 2, longest 5"
    with pytest.raises(ValueError, match="positions run from 10 to 10; the sequence has 10 bases"):
        cut.token_of(10)
    with pytest.raises(UsageError, match="none is kept"):
        Segmentation(10, STARTS).tokens()
    with pytest.raises(UsageError, match="it has 3 letters, the segmentation 10"):
        cut.tokens("ACG")


@pytest.mark.parametrize(
    ("length", "starts"), [(3, [1]), (3, [0, 0]), (3, [0, 3]), (3, []), (0, [0]), (3, [0, 2, 1]), (3, [[0]])]
)
def test_what_is_no_segmentation_is_refused(length: int, starts: list[Any]) -> None:
    with pytest.raises(ValueError, match="are no segmentation of"):
        Segmentation(length, np.array(starts, np.int64))


def test_parts_must_fit() -> None:
    with pytest.raises(ValueError, match="3 tokens have probabilities"):
        Segmentation(10, STARTS, np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="the sequence has 3 letters"):
        Segmentation(10, STARTS, letters="ACG")


def test_rendering_shows_where_boundaries_fall() -> None:
    cut = Segmentation(10, STARTS, letters=SEQUENCE)
    assert cut.render() == "0  |ACG|TT|GACCA"
    assert cut.render(width=5) == "0  |ACG|TT\n5  |GACCA"
    assert cut.render(width=4) == "0  |ACG|T\n4  T|GAC\n8  CA"
    assert cut.render(start=4, end=7) == "4  T|GA"
    assert Segmentation(0, np.zeros(0, np.int64), letters="").render() == ""
    long = Segmentation(2000, np.array([0, 1500]), letters="A" * 2000)
    assert long.render(width=1000).splitlines()[1] == "1,000  " + "A" * 500 + "|" + "A" * 500
    for options in ({"width": 0}, {"start": 5, "end": 4}, {"end": 11}, {"start": -1}):
        with pytest.raises(UsageError, match="cannot show"):
            cut.render(**options)
    with pytest.raises(UsageError, match="not kept"):
        Segmentation(10, STARTS).render()


def test_rendering_loses_nothing() -> None:
    rng = np.random.default_rng(0)
    letters = "".join(rng.choice(list("ACGT"), 500))
    cut = Segmentation(500, np.concatenate([[0], np.flatnonzero(rng.random(499) < 0.3) + 1]), letters=letters)
    for width in (1, 7, 60, 500):
        text = "".join(line.split()[1] for line in cut.render(width=width).splitlines())
        assert text.split("|")[1:] == cut.tokens()


def test_bed_is_zero_based_and_half_open(tmp_path: Path) -> None:
    cut = Segmentation(10, STARTS, np.array([1.0, 0.5004, 0.9], np.float32), SEQUENCE)
    path = tmp_path / "tokens.bed"
    count = write_bed(path, [("chr1", cut), ("chr2", Segmentation(40, np.array([0])))], offset=100)
    assert count == 4
    assert path.read_text().splitlines() == [
        "chr1\t100\t103\tACG\t1000\t.",
        "chr1\t103\t105\tTT\t500\t.",
        "chr1\t105\t110\tGACCA\t900\t.",
        "chr2\t100\t140\t40bp\t0\t.",
    ]
    with pytest.raises(OutputError, match="does not exist"):
        write_bed(tmp_path / "none" / "x.bed", [])


def test_a_bed_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fails() -> Any:
        yield "chr1", Segmentation(10, STARTS)
        raise RuntimeError("the net broke")

    with pytest.raises(RuntimeError, match="the net broke"):
        write_bed(tmp_path / "x.bed", fails())
    assert list(tmp_path.iterdir()) == []


def test_source_maps_of_both_forms() -> None:
    assert from_source_map(np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])).starts.tolist() == [0, 3, 5]
    matrix = np.zeros((3, 10), np.float32)
    matrix[0, :3] = matrix[1, 3:5] = matrix[2, 5:] = 1
    cut = from_source_map(matrix, letters=SEQUENCE)
    assert cut.tokens() == ["ACG", "TT", "GACCA"]
    assert from_source_map(np.array([7, 7, 2], np.uint8)).starts.tolist() == [0, 2]
    assert len(from_source_map(np.zeros(0, np.int64))) == 0
    for wrong, message in (
        (np.array([0, 1, 0]), "side by side"),
        (np.array([0.5]), "expected integers"),
        (np.array([[1, 1], [0, 1]]), "exactly one token"),
        (np.zeros((2, 2)), "exactly one token"),
    ):
        with pytest.raises(ValueError, match=message):
            from_source_map(wrong)


def after_g(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A 'net' that begins a token at every G (id 9)."""
    return ids == 9


def test_a_segmenter_cuts_where_its_net_says() -> None:
    segmenter = Segmenter(after_g, make("nucleotide"))
    cut = segmenter.segment(SEQUENCE)
    assert cut.tokens() == ["AC", "GTT", "GACCA"] == segmenter.tokens(SEQUENCE)
    assert cut.probabilities is None and cut.letters == SEQUENCE
    assert segmenter.tokens("") == []
    assert Segmenter(after_g, make("nucleotide")).tokens("acgt") == ["ac", "gt"]


def test_special_tokens_are_given_to_the_net_and_left_out_of_its_answer() -> None:
    seen = []

    def net(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        seen.append(ids.tolist())
        return np.isin(ids, [0, 1, 9])

    segmenter = Segmenter(net, make("hyenadna-original"), add_special_tokens=True)
    assert segmenter.tokens("ACGT") == ["AC", "GT"]
    assert seen == [[0, 7, 8, 9, 10, 1]]


def test_probabilities_thresholds_pairs_and_source_maps() -> None:
    tokenizer = make("hnet")
    given = np.array([0.2, 0.4, 0.6, 0.8], np.float32)
    cut = Segmenter(lambda ids: given, tokenizer).segment("ACGT")
    assert cut.starts.tolist() == [0, 2, 3]
    np.testing.assert_array_equal(cut.probabilities, given[[0, 2, 3]])
    assert Segmenter(lambda ids: given, tokenizer, threshold=0.3).segment("ACGT").starts.tolist() == [0, 1, 2, 3]
    both = Segmenter(lambda ids: (given > 0.7, given), tokenizer).segment("ACGT")
    assert both.starts.tolist() == [0, 3]
    np.testing.assert_array_equal(both.probabilities, given[[0, 3]])
    assert Segmenter(lambda ids: np.array([4, 4, 5, 5]), tokenizer).tokens("ACGT") == ["AC", "GT"]


def test_tokens_of_several_bases_are_mapped_back_to_bases() -> None:
    tokenizer = make("nucleotide-transformer-v2")
    cut = Segmenter(lambda ids: np.arange(len(ids)) % 2 == 1, tokenizer).segment("ACGTACGTACGTAC")
    assert cut.tokens() == ["ACGTAC", "GTACGTA", "C"]


def test_answers_of_another_form_are_refused() -> None:
    tokenizer = make("nucleotide")
    for answer, message in (
        (np.zeros(3, bool), r"the net gave bool \(3,\) for 4 ids; expected \(4,\)"),
        (np.zeros((1, 4), bool), r"bool \(1, 4\)"),
        (np.array(list("ACGT")), "expected booleans, probabilities"),
        ((np.zeros(4), np.zeros(4)), "expected booleans, probabilities"),
    ):
        with pytest.raises(ValueError, match=message):
            Segmenter(lambda ids, answer=answer: answer, tokenizer).segment("ACGT")  # type: ignore[misc]
    for name, options in (("kmer", {}), ("codon", {"partial": "drop", "frame": 1}), ("codon", {"strand": "-"})):
        with pytest.raises(UsageError, match="do not lie end to end"):
            Segmenter(lambda ids: ids > 0, make(name, **options)).segment("ACGTACGT")
