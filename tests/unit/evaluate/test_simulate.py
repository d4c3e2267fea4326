from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genoseq.errors import InputError, UsageError
from genoseq.evaluate.simulate import ReadModel, simulate_reads, write_reads
from genoseq.evaluate.truth import Place, parse_name
from genoseq.seqs.alphabet import reverse_complement
from genoseq.seqs.genome import Genome

MakeGenome = Callable[..., Genome]


def random_bases(size: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size))


CONTIGS = {"one": random_bases(30000, 1), "two": random_bases(10000, 2)}


def template(place: Place) -> bytes:
    part = CONTIGS[place.contig][place.start : place.end].encode()
    return reverse_complement(part) if place.reverse else part


def test_reads_without_edits_are_the_genome_at_their_place_on_both_strands(make_genome: MakeGenome) -> None:
    reads = list(simulate_reads(make_genome(**CONTIGS), ReadModel(seed=3), count=2000))
    strands = [0, 0]
    for read in reads:
        (place,) = parse_name(read.name).places
        strands[place.reverse] += 1
        assert place.end - place.start == 150
        assert read.sequences == (template(place),)
        assert read.qualities == (b"I" * 150,)
    assert strands[0] == pytest.approx(1000, abs=120)
    assert [parse_name(read.name).number for read in reads] == list(range(1, 2001))


def test_places_are_uniform_over_all_places_that_fit(make_genome: MakeGenome) -> None:
    reads = simulate_reads(make_genome(**CONTIGS), ReadModel(lengths=(5000,), seed=3), count=3000)
    places = [parse_name(read.name).places[0] for read in reads]
    second = [place for place in places if place.contig == "two"]
    assert len(second) / len(places) == pytest.approx(5001 / (25001 + 5001), abs=0.03)
    thirds = np.histogram([place.start for place in second], bins=3, range=(0, 5001))[0]
    assert thirds.min() > 0.75 * len(second) / 3
    assert min(place.start for place in places if place.contig == "one") < 200


def test_the_same_seed_gives_the_same_reads_however_many_are_made(make_genome: MakeGenome) -> None:
    genome = make_genome(**CONTIGS)
    model = ReadModel(divergence=0.1, errors=0.01, seed=8)
    many = list(simulate_reads(genome, model, count=9000))
    assert list(simulate_reads(genome, model, count=100)) == many[:100]
    other = list(simulate_reads(genome, ReadModel(divergence=0.1, errors=0.01, seed=9), count=100))
    assert not {read.sequences for read in other} & {read.sequences for read in many}


def test_substitutions_come_at_the_rate_asked_for_and_always_change_the_base(make_genome: MakeGenome) -> None:
    model = ReadModel(divergence=0.1, mix=(1, 0, 0), seed=4)
    differing = bases = 0
    for read in simulate_reads(make_genome(**CONTIGS), model, count=3000):
        expected = np.frombuffer(template(parse_name(read.name).places[0]), np.uint8)
        differing += int((np.frombuffer(read.sequences[0], np.uint8) != expected).sum())
        bases += expected.size
    assert differing / bases == pytest.approx(0.1, rel=0.03)


@pytest.mark.parametrize(("mix", "expected"), [((0, 1, 0), 150 / 1.1), ((0, 0, 1), 150 / 0.9), ((0, 1, 1), 150)])
def test_indels_come_at_the_rate_asked_for(
    make_genome: MakeGenome, mix: tuple[float, float, float], expected: float
) -> None:
    rate = 0.1 * sum(mix)
    spans = []
    for read in simulate_reads(make_genome(**CONTIGS), ReadModel(divergence=rate, mix=mix, seed=4), count=3000):
        place = parse_name(read.name).places[0]
        spans.append(place.end - place.start)
        assert len(read.sequences[0]) == 150
    assert np.mean(spans) == pytest.approx(expected, rel=0.01)


def test_deleted_bases_are_missing_and_the_ends_of_the_place_are_in_the_read(make_genome: MakeGenome) -> None:
    for read in simulate_reads(make_genome(**CONTIGS), ReadModel(divergence=0.1, mix=(0, 0, 1), seed=6), count=300):
        bases = template(parse_name(read.name).places[0])
        assert read.sequences[0][0] == bases[0]
        assert read.sequences[0][-1] == bases[-1]
        rest = iter(bases)
        assert all(base in rest for base in read.sequences[0])  # a subsequence of the template


def test_inserted_bases_are_extra(make_genome: MakeGenome) -> None:
    for read in simulate_reads(make_genome(**CONTIGS), ReadModel(divergence=0.1, mix=(0, 1, 0), seed=6), count=300):
        rest = iter(read.sequences[0])
        assert all(base in rest for base in template(parse_name(read.name).places[0]))


def test_sequencing_errors_fall_on_bases_of_low_quality(make_genome: MakeGenome) -> None:
    wrong, right = [], []
    for read in simulate_reads(make_genome(**CONTIGS), ReadModel(errors=0.02, seed=4), count=3000):
        bases = template(parse_name(read.name).places[0])
        for base, expected, quality in zip(read.sequences[0], bases, read.qualities[0], strict=True):
            (right if base == expected else wrong).append(quality - 33)
    assert len(wrong) / (len(wrong) + len(right)) == pytest.approx(0.02, rel=0.08)
    assert np.mean(wrong) < np.mean(right) - 2


def test_mates_face_each_other_and_the_outer_ends_are_the_insert(make_genome: MakeGenome) -> None:
    model = ReadModel(paired=True, insert_mean=400, insert_sd=30, seed=5)
    inserts, first_reverse = [], 0
    for read in simulate_reads(make_genome(**CONTIGS), model, count=3000):
        one, two = parse_name(read.name).places
        left, right = (two, one) if one.reverse else (one, two)
        assert not left.reverse
        assert right.reverse
        assert left.contig == right.contig
        assert left.start <= right.start
        assert read.sequences == (template(one), template(two))
        inserts.append(right.end - left.start)
        first_reverse += one.reverse
    assert np.mean(inserts) == pytest.approx(400, abs=3)
    assert np.std(inserts) == pytest.approx(30, abs=2)
    assert first_reverse == pytest.approx(1500, abs=150)


def test_an_insert_is_never_shorter_than_a_mate(make_genome: MakeGenome) -> None:
    model = ReadModel(paired=True, insert_mean=100, insert_sd=10, seed=5)
    for read in simulate_reads(make_genome(**CONTIGS), model, count=50):
        one, two = parse_name(read.name).places
        assert (one.start, one.end) == (two.start, two.end)


def test_each_read_has_one_of_the_lengths(make_genome: MakeGenome) -> None:
    model = ReadModel(lengths=(100, 250), divergence=0.05, errors=0.01, seed=5)
    sizes = [len(read.sequences[0]) for read in simulate_reads(make_genome(**CONTIGS), model, count=1000)]
    assert set(sizes) == {100, 250}
    assert sizes.count(100) == pytest.approx(500, abs=80)


def test_no_read_touches_an_unknown_base(make_genome: MakeGenome) -> None:
    genome = make_genome(holey=CONTIGS["one"][:2000] + "N" * 500 + "R" + CONTIGS["one"][2501:5000])
    for read in simulate_reads(genome, ReadModel(divergence=0.1, seed=2), count=2000):
        place = parse_name(read.name).places[0]
        assert place.end <= 2000 or place.start > 2500
        assert set(read.sequences[0]) <= set(b"ACGT")


def test_a_genome_without_room_is_an_error_that_says_so(make_genome: MakeGenome) -> None:
    with pytest.raises(InputError, match="longest contig 100 bp"):
        list(simulate_reads(make_genome(short="ACGT" * 25), ReadModel(), count=1))


def test_files_are_the_same_bytes_and_gzip_holds_the_plain_text(make_genome: MakeGenome, tmp_path: Path) -> None:
    genome, model = make_genome(**CONTIGS), ReadModel(divergence=0.02, errors=0.002, seed=7)
    plain, packed, again = tmp_path / "a.fq", tmp_path / "a.fq.gz", tmp_path / "b.fq.gz"
    for path in (plain, packed, again):
        write_reads(genome, model, [path], count=500)
    assert packed.read_bytes() == again.read_bytes()
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    lines = plain.read_text().splitlines()
    assert len(lines) == 2000
    assert lines[0].startswith("@s1!")
    assert {len(line) for line in lines[1::2]} == {150}


def test_pairs_go_to_two_files_or_interleaved_to_one(make_genome: MakeGenome, tmp_path: Path) -> None:
    genome, model = make_genome(**CONTIGS), ReadModel(paired=True, seed=7)
    one, two, both = tmp_path / "1.fq", tmp_path / "2.fq", tmp_path / "both.fq"
    write_reads(genome, model, [one, two], count=20)
    write_reads(genome, model, [both], count=20)
    records = [tuple(chunk) for path in (one, two) for chunk in _records(path)]
    mixed = _records(both)
    assert [tuple(record) for record in mixed[0::2] + mixed[1::2]] == records
    assert [record[0] for record in mixed[0::2]] == [record[0] for record in mixed[1::2]]


def _records(path: Path) -> list[list[str]]:
    lines = path.read_text().splitlines()
    return [lines[at : at + 4] for at in range(0, len(lines), 4)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lengths": ()}, "read lengths"),
        ({"lengths": (10,)}, "read lengths"),
        ({"divergence": 0.9}, "divergence"),
        ({"mix": (0, 0, 0)}, "mix"),
        ({"paired": True, "insert_mean": -1}, "insert"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ReadModel(**settings)  # type: ignore[arg-type]


def test_two_files_for_single_reads_are_refused(make_genome: MakeGenome, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 output files for single reads"):
        write_reads(make_genome(**CONTIGS), ReadModel(), [tmp_path / "a.fq", tmp_path / "b.fq"], count=1)
    assert not list(tmp_path.glob("*.fq"))
