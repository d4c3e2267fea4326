"""The mapper as its users call it: reads in, alignments out, the same whatever the threads and batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sam_rules
from sam_rules import reverse_complement
from small_genome import Read, letters, paired_reads, single_reads, with_edits, write_fasta

import genoseq
from genoseq.align import aligner as aligner_module
from genoseq.align.aligner import Aligner
from genoseq.align.index import Index, build_index
from genoseq.align.place import MAX_LENGTH
from genoseq.align.scoring import AMBIGUOUS, GAP_EXTEND, GAP_OPEN, MATCH, MISMATCH
from genoseq.errors import InputError, UsageError
from genoseq.seqs.batch import ReadBatch, batch_of
from genoseq.seqs.record import Record


def records(reads: Iterable[Read]) -> list[Record]:
    return [Record(name, "", sequence, quality) for name, sequence, quality in reads]


def batches(reads: list[Read], size: int) -> Iterator[ReadBatch]:
    source = iter(records(reads))
    first = 0
    while part := list(islice(source, size)):
        has_quality = part[0].quality is not None
        yield batch_of(part, first_record=first, has_quality=has_quality, keep_comments=False)
        first += len(part)


def sam_text(aligner: Aligner, reads: list[Read], *, size: int = 4096, paired: bool = False) -> str:
    mapped = aligner.map_batches(batches(reads, size), paired=paired)
    return "".join(part.text.tobytes().decode() for part in mapped)


def whole_text(aligner: Aligner, reads: list[Read], *, paired: bool = False) -> str:
    group = f"@RG\tID:{aligner.read_group}" if aligner.read_group else None
    return aligner.header(command="test", read_group=group) + sam_text(aligner, reads, paired=paired)


def write_fastq(path: Path, reads: list[Read]) -> Path:
    path.write_text("".join(f"@{name}\n{sequence}\n+\n{quality}\n" for name, sequence, quality in reads))
    return path


def test_five_lines_of_a_notebook(index: Index, genome: dict[str, str]) -> None:
    aligner = genoseq.Aligner.open(index.folder)
    (hit,) = aligner.map([("read", genome["one"][1000:1100])])
    assert (hit.name, hit.contig, hit.start, hit.end, hit.strand) == ("read", "one", 1000, 1100, "+")
    assert (hit.cigar, hit.edits, hit.mapq) == ("100M", 0, 60)
    assert hit.is_mapped and not hit.is_secondary and not hit.is_proper_pair


@pytest.mark.parametrize("secondary", [0, 3])
@pytest.mark.parametrize("quality", [True, False])
def test_single_reads_make_a_valid_file(index: Index, genome: dict[str, str], secondary: int, quality: bool) -> None:
    aligner = Aligner(index, secondary=secondary, read_group="lane.1")
    reads = single_reads(genome, 300, rate=0.08, quality=quality)
    sam = sam_rules.check(whole_text(aligner, reads), genome=genome, reads=reads)
    mapped = [line for line in sam.lines if not line.flag & (sam_rules.UNMAPPED | sam_rules.SECONDARY)]
    assert len(mapped) > 230
    assert any(line.has(sam_rules.REVERSE) for line in mapped)
    assert any("I" in line.cigar for line in mapped) and any("D" in line.cigar for line in mapped)
    assert any(line.has(sam_rules.SECONDARY) for line in sam.lines) == bool(secondary)
    counts = [line.name for line in sam.lines if line.has(sam_rules.SECONDARY)]
    assert all(counts.count(name) <= secondary for name in counts)


@pytest.mark.parametrize("secondary", [0, 2])
def test_pairs_make_a_valid_file(index: Index, genome: dict[str, str], secondary: int) -> None:
    aligner = Aligner(index, secondary=secondary, read_group="g")
    reads = paired_reads(genome, 200)
    sam = sam_rules.check(whole_text(aligner, reads, paired=True), genome=genome, reads=reads, paired=True)
    proper = sum(line.has(sam_rules.PROPER) for line in sam.lines)
    assert proper > 280
    assert any(line.has(sam_rules.UNMAPPED) and line.contig != "*" for line in sam.lines)
    assert any(line.has(sam_rules.UNMAPPED) and line.contig == "*" for line in sam.lines)
    assert aligner.inserts is not None and aligner.inserts.learned
    assert abs(aligner.inserts.mean - 300) < 15 and 15 < aligner.inserts.deviation < 45


def test_score_is_that_of_the_cigar(aligner: Aligner, genome: dict[str, str]) -> None:
    reads = single_reads(genome, 200, rate=0.1)
    with_second = 0
    for line in sam_rules.parse(whole_text(aligner, reads)).lines:
        if line.has(sam_rules.UNMAPPED):
            continue
        score, i, j = 0, 0, line.position - 1
        for size, code in line.operations:
            if code == "M":
                for a, b in zip(line.sequence[i : i + size], genome[line.contig][j : j + size], strict=True):
                    known = a in "ACGT" and b in "ACGT"
                    score += MATCH if known and a == b else -MISMATCH if known else -AMBIGUOUS
            elif code in "ID":
                score -= GAP_OPEN + size * GAP_EXTEND
            i += size if code in "MIS" else 0
            j += size if code in "MD" else 0
        assert int(line.tags["AS"]) == score, line.text
        if "XS" in line.tags:
            with_second += 1
    assert with_second > 0  # reads from the repeat have a second place


def test_a_unique_read_has_no_second_score(aligner: Aligner, genome: dict[str, str]) -> None:
    (hit,) = aligner.map([("r", genome["one"][20_000:20_200])])
    assert hit.tags.get("XS", 0) < hit.score / 2
    (hit,) = aligner.map([("r", genome["one"][5_100:5_300])])
    assert hit.tags["XS"] == hit.score and hit.mapq <= 3


@pytest.mark.parametrize("paired", [False, True])
def test_output_depends_on_neither_threads_nor_batches(index: Index, genome: dict[str, str], paired: bool) -> None:
    reads = paired_reads(genome, 150) if paired else single_reads(genome, 300)
    expected = sam_text(Aligner(index), reads, paired=paired)
    for size, threads in [(8 if paired else 7, 1), (8 if paired else 7, 2), (64, 2), (4096, 2)]:
        assert sam_text(Aligner(index, threads=threads), reads, size=size, paired=paired) == expected, (size, threads)


@pytest.mark.parametrize("paired", [False, True])
def test_map_does_not_depend_on_its_batch_size(
    aligner: Aligner, genome: dict[str, str], paired: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = paired_reads(genome, 40) if paired else single_reads(genome, 80)
    expected = [hit.sam for hit in aligner.map(records(reads), paired=paired)]
    assert expected == sam_text(aligner, reads, paired=paired).splitlines()
    for size in (2, 26):
        monkeypatch.setattr(aligner_module, "BATCH", size)
        assert [hit.sam for hit in aligner.map(records(reads), paired=paired)] == expected


def test_insert_sizes_are_learned_from_the_first_pairs_however_they_are_cut(
    index: Index, genome: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aligner_module, "LEARNING_PAIRS", 60)
    reads = paired_reads(genome, 120, rate=0.01)
    expected = sam_text(aligner := Aligner(index), reads, paired=True)
    model = aligner.inserts
    assert model is not None and 25 <= model.pairs <= 60
    for size in (2, 34, 90, 240):
        again = Aligner(index, threads=2)
        assert sam_text(again, reads, size=size, paired=True) == expected
        assert again.inserts == model


def test_a_reads_alignment_does_not_depend_on_its_company_or_order(aligner: Aligner, genome: dict[str, str]) -> None:
    reads = single_reads(genome, 60)
    together = {hit.name: hit.sam for hit in aligner.map(records(reads))}
    backwards = {hit.name: hit.sam for hit in aligner.map(records(reads[::-1]))}
    alone = {name: next(aligner.map(records([(name, *rest)]))).sam for name, *rest in reads[:20]}
    assert together == backwards
    assert alone == {name: together[name] for name in alone}


@pytest.mark.parametrize("paired", [False, True])
def test_files_records_and_tuples_map_alike(
    aligner: Aligner, genome: dict[str, str], tmp_path: Path, paired: bool
) -> None:
    reads = paired_reads(genome, 30) if paired else single_reads(genome, 60)
    path = write_fastq(tmp_path / "reads.fq", reads)
    expected = [hit.sam for hit in aligner.map(records(reads), paired=paired)]
    assert [hit.sam for hit in aligner.map(path, paired=paired)] == expected
    assert [hit.sam for hit in aligner.map(str(path), paired=paired)] == expected
    tuples = [(name, sequence) for name, sequence, _ in reads]
    bare = [hit.sam for hit in aligner.map(records((n, s, None) for n, s in tuples), paired=paired)]
    assert [hit.sam for hit in aligner.map(tuples, paired=paired)] == bare
    assert [row.split("\t")[:9] for row in bare] == [row.split("\t")[:9] for row in expected]


def test_reads_with_and_without_qualities_may_be_mixed(aligner: Aligner, genome: dict[str, str]) -> None:
    given = [Record(f"r{i}", "", genome["one"][100 * i : 100 * i + 80], None if i % 3 else "I" * 80) for i in range(12)]
    hits = list(aligner.map(given))
    assert [hit.name for hit in hits] == [record.name for record in given]
    assert [hit.quality for hit in hits] == ["*" if record.quality is None else record.quality for record in given]


def test_no_reads_give_no_alignments(aligner: Aligner, tmp_path: Path) -> None:
    for paired in (False, True):
        assert list(aligner.map([], paired=paired)) == []
        assert list(aligner.map(iter(()), paired=paired)) == []


def test_reads_that_cannot_be_placed_are_written_unmapped(aligner: Aligner, genome: dict[str, str]) -> None:
    rng = np.random.default_rng(5)
    given = [("empty", ""), ("n", 100 * "N"), ("short", "ACG"), ("random", letters(rng, 150)), ("long", genome["one"][: MAX_LENGTH + 1])]
    for hit, (name, sequence) in zip(aligner.map(given), given, strict=True):
        assert (hit.name, hit.flag, hit.contig, hit.start, hit.end, hit.mapq, hit.cigar) == (name, 4, None, -1, -1, 0, "*")
        assert hit.sequence == (sequence or "*")
    (hit,) = aligner.map([("longest", genome["one"][:MAX_LENGTH])])
    assert hit.cigar == f"{MAX_LENGTH}M"


def test_pairs_of_unusual_reads_are_valid(aligner: Aligner, genome: dict[str, str]) -> None:
    good = genome["one"][3000:3100]
    odd = ["", 90 * "N", "ACG", genome["one"][: MAX_LENGTH + 1], good, genome["tiny"][:60]]
    reads: list[Read] = [
        (f"p{i}.{j}", sequence, None)
        for i, one in enumerate(odd)
        for j, other in enumerate(odd)
        for sequence in (one, other)
    ]
    sam_rules.check(whole_text(aligner, reads, paired=True), genome=genome, reads=reads, paired=True)


def test_mates_share_one_name(index: Index, genome: dict[str, str]) -> None:
    fragment = genome["one"][7000:7300]
    mates = [("p/1", fragment[:100], None), ("p/2", reverse_complement(fragment[-100:]), None)]
    assert [hit.name for hit in Aligner(index).map(records(mates), paired=True)] == ["p", "p"]
    assert [row.split("\t")[0] for row in sam_text(Aligner(index), mates, paired=True).splitlines()] == ["p", "p"]
    assert [hit.name for hit in Aligner(index).map(records(mates))] == ["p/1", "p/2"]


def test_a_read_without_its_mate_is_an_error(aligner: Aligner, genome: dict[str, str], tmp_path: Path) -> None:
    reads = paired_reads(genome, 2)[:3]
    with pytest.raises(InputError, match="has no mate"):
        list(aligner.map(records(reads), paired=True))
    with pytest.raises(InputError, match="has no mate"):
        list(aligner.map(write_fastq(tmp_path / "odd.fq", reads), paired=True))
    with pytest.raises(ValueError, match="even number"):
        list(aligner.map_batches(batches(reads, 3), paired=True))
    with pytest.raises(InputError, match="one mate of 'a' has qualities"):
        list(aligner.map([Record("a", "", "ACGT", "IIII"), Record("a", "", "ACGT")], paired=True))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record("", "", "ACGT"), "read name ''"),
        (Record("two words", "", "ACGT"), "read name 'two words'"),
        (Record("tab\there", "", "ACGT"), "read name"),
        (Record("@header", "", "ACGT"), "read name '@header'"),
        (Record("é", "", "ACGT"), "read name"),
        (Record("a", "", "AC GT"), "no bases"),
        (Record("a", "", "ACé"), "no bases"),
        (Record("a", "", "ACGT", "III"), "quality has 3 characters, sequence has 4"),
        (Record("a", "", "ACGT", "II\tI"), "qualities outside"),
    ],
)
def test_records_that_would_damage_the_file_are_refused(aligner: Aligner, record: Record, message: str) -> None:
    with pytest.raises(InputError, match=f"record 2: .*{message}"):
        list(aligner.map([Record("fine", "", "ACGTACGT"), record]))


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (["ACGT", "AG"], r"record 1: found 'ACGT' \(str\); expected genoseq.Record objects or \(name, sequence\) tuples"),
        ([("fine", "ACGT"), "AG"], r"record 2: found 'AG' \(str\)"),
        ([("x", b"ACGT")], r"record 1: found \('x', b'ACGT'\) \(tuple\); .* with text in them"),
        ([("x", None)], r"found \('x', None\)"),
        ([("x", "ACGT", "IIII")], r"found \('x', 'ACGT', 'IIII'\) \(tuple\)"),
        ([Record("x", "", None)], "with text in them"),
        ([7], r"found 7 \(int\)"),
        ({"x": "ACGT" * 30}, r"found 'x' \(str\)"),
        (42, r"reads is 42 \(int\); expected the path of a FASTA or FASTQ file, or genoseq.Record objects"),
        (None, "reads is None"),
        (b"reads.fq", "reads is b'reads.fq'"),
    ],
)
def test_what_is_no_read_is_named_with_what_is_expected(aligner: Aligner, reads: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(aligner.map(reads))


def test_what_is_no_iterable_is_refused_before_the_first_record(aligner: Aligner) -> None:
    with pytest.raises(InputError, match="reads is 42"):
        aligner.map(42)  # type: ignore[arg-type]


def test_an_alignment_is_shown_on_one_short_line(aligner: Aligner, genome: dict[str, str]) -> None:
    mapped, unmapped = aligner.map([("r", reverse_complement(genome["one"][3000:3100])), ("n", "N" * 60)])
    assert repr(mapped) == f"<Alignment r one:3000-3100 - mapq={mapped.mapq} 100M>"
    assert repr(unmapped) == "<Alignment n unmapped>"


@pytest.mark.parametrize(
    ("pairs", "text"),
    [(200, "facing each other; learned from "), (3, "inserts: 350 +- 150 bp (1 to 1200), facing each other; assumed, with only ")],
)
def test_the_insert_sizes_are_a_detail_of_the_log(
    aligner: Aligner, genome: dict[str, str], caplog: pytest.LogCaptureFixture, pairs: int, text: str
) -> None:
    with caplog.at_level("DEBUG", logger="genoseq"):
        list(aligner.map(records(paired_reads(genome, pairs)), paired=True))
    (message,) = caplog.messages
    assert message.startswith("inserts: ") and text in message


def test_damaged_file_is_reported_behind_the_reads_before_it(index: Index, genome: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligner_module, "BATCH", 2)
    path = tmp_path / "bad.fq"
    reads = single_reads(genome, 8)
    write_fastq(path, reads)
    path.write_text(path.read_text() + "@bad\nACGT\n+\nIII\n")
    for threads in (1, 2):
        seen = []
        with pytest.raises(InputError, match="quality"):
            for hit in Aligner(index, threads=threads).map(path):
                seen.append(hit.name)
        assert seen == [name for name, *_ in reads]


def test_leaving_early_closes_the_file(aligner: Aligner, genome: dict[str, str], tmp_path: Path) -> None:
    path = write_fastq(tmp_path / "reads.fq", single_reads(genome, 30))
    hits = aligner.map(path)
    assert next(hits).name == "r0"
    hits.close()  # an open file would be a ResourceWarning, which is an error here
    del hits


def test_unknown_presets_are_refused_and_known_ones_agree_on_good_reads(index: Index, genome: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no preset 'fats'; there are default, fast, sensitive"):
        Aligner(index, preset="fats")
    reads = [(f"r{i}", genome["one"][500 * i + 11_000 : 500 * i + 11_150], None) for i in range(20)]
    for preset in ("fast", "sensitive"):
        assert sam_text(Aligner(index, preset=preset), reads) == sam_text(Aligner(index), reads)


def test_tie_is_drawn_by_read_and_seed(index: Index, genome: dict[str, str]) -> None:
    sequence = genome["one"][5_200:5_350]
    reads = [(f"t{i}", sequence, None) for i in range(40)]
    drawn = [row.split("\t")[2:4] for row in sam_text(Aligner(index, seed=1), reads).splitlines()]
    assert len({tuple(place) for place in drawn}) == 3  # every copy of the repeat is drawn at times
    assert drawn == [row.split("\t")[2:4] for row in sam_text(Aligner(index, seed=1), reads, size=3).splitlines()]
    assert drawn != [row.split("\t")[2:4] for row in sam_text(Aligner(index, seed=2), reads).splitlines()]


@pytest.mark.parametrize("apart", [0.0, 0.01])
@pytest.mark.parametrize("gap", [5, 16, 17, 20, 30, 50])
def test_long_gaps_leave_copies_of_a_repeat_tied(tmp_path: Path, gap: int, apart: float) -> None:
    """Which copy is tried in the wide band first says nothing about which is right."""
    rng = np.random.default_rng(5)
    first = letters(rng, 6000)
    second = "".join("ACGT"["ACGT".index(c) ^ 2] if rng.random() < apart else c for c in first)
    genome = {"first": first, "second": second}
    write_fasta(genome, tmp_path / "g.fa")
    aligner = Aligner(build_index(tmp_path / "g.fa", tmp_path / "index"))
    reads = []
    for i in range(40):
        name, start = ("first", "second")[i % 2], int(rng.integers(0, 5700))
        left = genome[name][start : start + 75]
        right = genome[name][start + 75 + gap : start + 150 + gap]
        if i % 4 < 2:
            left, right = left[: 75 - gap // 2], letters(rng, gap) + genome[name][start + 75 - gap // 2 : start + 150 - gap]
        reads.append((f"{name}!{i}", left + right, None))
    rows = [row.split("\t") for row in sam_text(aligner, reads).splitlines()]
    sure = [row for row in rows if int(row[4]) >= 20]
    assert all(row[0].startswith(row[2]) for row in sure)
    if apart == 0:
        assert all(int(row[4]) <= 3 for row in rows)
        assert {row[2] for row in rows} == {"first", "second"}


def test_read_group_is_on_every_line(index: Index, genome: dict[str, str]) -> None:
    rows = sam_text(Aligner(index, read_group="x y"), single_reads(genome, 20)).splitlines()
    assert all(row.endswith("\tRG:Z:x y") for row in rows)


def test_pysam_reads_what_is_written(aligner: Aligner, genome: dict[str, str]) -> None:
    header = aligner.pysam_header()
    assert header.references == tuple(genome)
    assert header.lengths == tuple(len(bases) for bases in genome.values())
    for hit in aligner.map(records(single_reads(genome, 60))):
        segment = hit.to_pysam(header)
        assert segment.to_string() == hit.sam
        assert segment.is_unmapped == (not hit.is_mapped)
        if hit.is_mapped:
            assert (segment.reference_name, segment.reference_start, segment.reference_end) == (hit.contig, hit.start, hit.end)


def test_divergent_mates_are_found_beside_their_partners(index: Index, genome: dict[str, str]) -> None:
    rng = np.random.default_rng(9)
    reads: list[Read] = []
    for i in range(100):
        start = 300 * i + 12_000 if i < 90 else 11_000 + 30 * i
        fragment = genome["one"][start : start + 300]
        poor = with_edits(rng, reverse_complement(fragment[-100:]), 0.2)
        reads += [(f"p{i}", fragment[:100], None), (f"p{i}", poor, None)]
    text = sam_text(Aligner(index), reads, paired=True)
    found = sum(int(row.split("\t")[1]) & 2 > 0 for row in text.splitlines()[1::2])
    alone = sum(int(row.split("\t")[1]) & 4 == 0 for row in sam_text(Aligner(index), reads[1::2]).splitlines())
    assert found >= 95
    assert found >= alone


def test_long_use_does_not_leak(aligner: Aligner, genome: dict[str, str]) -> None:
    reads = single_reads(genome, 150)
    pairs = paired_reads(genome, 60)

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def work() -> None:
        sam_text(aligner, reads, size=50)
        sam_text(aligner, pairs, paired=True)

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    for _ in range(3):
        work()
    before = resident()
    for _ in range(30):
        work()
    assert resident() - before < 20 << 20
