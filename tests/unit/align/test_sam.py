"""SAM text: the header, the read group, and single lines as a user reads them."""

from __future__ import annotations

import re

import pytest
import sam_rules
from sam_rules import reverse_complement

from genoseq import __version__
from genoseq.align.aligner import Aligner
from genoseq.align.alignment import Alignment
from genoseq.align.sam import header_text, read_group_line
from genoseq.errors import UsageError
from genoseq.seqs.batch import batch_of
from genoseq.seqs.record import Record

QUALITY = "".join(chr(33 + n % 40) for n in range(100))


def test_header_says_what_the_specification_wants(aligner: Aligner) -> None:
    line, name = read_group_line(r"@RG\tID:lane1\tSM:sample\tPL:ILLUMINA")
    assert name == "lane1"
    rows = aligner.header(command="genoseq align reads.fq", read_group=line).splitlines()
    assert rows[0] == "@HD\tVN:1.6\tSO:unsorted\tGO:query"
    names, lengths, md5 = aligner.index.names, aligner.index.lengths, aligner.index.md5
    assert rows[1:4] == [f"@SQ\tSN:{n}\tLN:{size}\tM5:{m}" for n, size, m in zip(names, lengths, md5, strict=True)]
    assert rows[4] == "@RG\tID:lane1\tSM:sample\tPL:ILLUMINA"
    assert rows[5] == f"@PG\tID:genoseq\tPN:genoseq\tVN:{__version__}\tCL:genoseq align reads.fq"
    assert len(rows) == 6


def test_sorted_header_does_not_claim_a_grouping() -> None:
    text = header_text(["c"], [5], ["0" * 32], version="1", command="x", sorted_by="coordinate")
    assert text.startswith("@HD\tVN:1.6\tSO:coordinate\n")
    assert "@RG" not in text


def test_command_line_with_tabs_keeps_the_header_whole() -> None:
    text = header_text(["c"], [5], ["0" * 32], version="1", command="genoseq align -R '@RG\tID:a'\nx")
    rows = text.splitlines()
    assert len(rows) == 3
    assert rows[2].endswith(r"CL:genoseq align -R '@RG\tID:a' x")
    sam_rules.parse(text)


@pytest.mark.parametrize(
    ("given", "line", "name"),
    [
        (r"@RG\tID:a\tSM:b", "@RG\tID:a\tSM:b", "a"),
        ("@RG\tID:x y\tDS:free text: yes", "@RG\tID:x y\tDS:free text: yes", "x y"),
        (r"@RG\tSM:s\tID:z", "@RG\tSM:s\tID:z", "z"),
    ],
)
def test_read_group_is_taken_as_typed_or_with_real_tabs(given: str, line: str, name: str) -> None:
    assert read_group_line(given) == (line, name)


@pytest.mark.parametrize(
    "given",
    ["", "ID:a", r"@RG\tSM:a", r"@RG\tID:", r"@RG\tID:a\tID:b", r"@RG ID:a", r"@RG\tID:a\tsample", r"@RG\tID:a\t1X:b", "@RG\tID:é", "@RG\tID:a\nb", r"@SQ\tID:a"],
)
def test_read_groups_that_are_none_are_refused(given: str) -> None:
    with pytest.raises(UsageError, match=r"expected '@RG"):
        read_group_line(given)


def test_forward_read(aligner: Aligner, genome: dict[str, str]) -> None:
    sequence = genome["two"][15_000:15_100]
    (hit,) = aligner.map([Record("name", "comment", sequence, QUALITY)])
    expected = ["name", "0", "two", "15001", "60", "100M", "*", "0", "0", sequence, QUALITY, "NM:i:0", "MD:Z:100", "AS:i:200"]
    assert [field for field in hit.sam.split("\t") if not field.startswith("XS")] == expected


def test_reverse_read_is_written_as_the_reference_reads(aligner: Aligner, genome: dict[str, str]) -> None:
    sequence = genome["two"][15_000:15_100]
    (hit,) = aligner.map([Record("name", "", reverse_complement(sequence).lower(), QUALITY)])
    assert (hit.flag, hit.strand, hit.start, hit.sequence, hit.quality) == (16, "-", 15_000, sequence, QUALITY[::-1])


def test_ambiguity_codes_are_kept_and_complemented(aligner: Aligner, genome: dict[str, str]) -> None:
    sequence = genome["two"][15_000:15_100]
    given = sequence[:50] + "R" + sequence[51:]
    (hit,) = aligner.map([Record("name", "", reverse_complement(given))])
    assert (hit.strand, hit.sequence, hit.edits) == ("-", given, 1)
    assert hit.tags["MD"] == f"50{sequence[50]}49"


def test_pair_of_known_place(aligner: Aligner, genome: dict[str, str]) -> None:
    fragment = genome["two"][15_000:15_300]
    mates = [Record("p", "", fragment[:100]), Record("p", "", reverse_complement(fragment[-100:]))]
    one, other = aligner.map(mates, paired=True)
    assert (one.flag, one.start, one.mate_start, one.template_length) == (1 + 2 + 32 + 64, 15_000, 15_200, 300)
    assert (other.flag, other.start, other.mate_start, other.template_length) == (1 + 2 + 16 + 128, 15_200, 15_000, -300)
    assert one.mate_contig == other.mate_contig == "two"
    assert one.is_proper_pair and other.is_proper_pair
    assert (one.tags["MC"], other.tags["MQ"]) == (other.cigar, one.mapq)
    other, one = aligner.map(mates[::-1], paired=True)  # the mate to the right comes first
    assert (other.flag, other.template_length) == (1 + 2 + 16 + 64, -300)
    assert (one.flag, one.template_length) == (1 + 2 + 32 + 128, 300)


def test_unmapped_mate_lies_beside_the_mapped_one(aligner: Aligner, genome: dict[str, str]) -> None:
    mates = [Record("p", "", "N" * 80), Record("p", "", genome["two"][15_000:15_100])]
    one, other = aligner.map(mates, paired=True)
    assert (one.flag, one.contig, one.start, one.mate_start, one.cigar) == (1 + 4 + 64, "two", -1, 15_000, "*")
    assert one.sam.split("\t")[3] == "15001"
    assert (other.flag, other.contig, other.start, other.mate_start) == (1 + 8 + 128, "two", 15_000, 15_000)
    assert (one.template_length, other.template_length) == (0, 0)
    one, other = aligner.map([mates[0], mates[0]], paired=True)
    assert (one.flag, other.flag) == (1 + 4 + 8 + 64, 1 + 4 + 8 + 128)
    assert one.contig is one.mate_contig is None


def test_mates_on_different_contigs(aligner: Aligner, genome: dict[str, str]) -> None:
    mates = [Record("p", "", genome["one"][30_000:30_100]), Record("p", "", genome["two"][15_000:15_100])]
    one, other = aligner.map(mates, paired=True)
    assert (one.contig, one.mate_contig, one.template_length) == ("one", "two", 0)
    assert (other.contig, other.mate_contig, other.template_length) == ("two", "one", 0)
    assert not one.is_proper_pair and one.flag & 1


def test_secondary_lines_follow_their_primary_one(aligner: Aligner, genome: dict[str, str]) -> None:
    sequence = genome["one"][5_200:5_350]
    hits = list(Aligner(aligner.index, secondary=5).map([("a", sequence), ("b", genome["one"][30_000:30_150])]))
    assert [(hit.name, hit.is_secondary) for hit in hits[:3]] == [("a", False), ("a", True), ("a", True)]
    assert len({(hit.contig, hit.start) for hit in hits[:3]}) == 3
    assert {hit.score for hit in hits[:3]} == {300}
    assert hits[1].sequence == hits[1].quality == "*"
    assert "b" in {hit.name for hit in hits if not hit.is_secondary}
    limited = list(Aligner(aligner.index, secondary=1).map([("a", sequence)]))
    assert [hit.is_secondary for hit in limited] == [False, True]


def test_the_last_read_of_a_batch_has_room_for_a_rival_that_is_not_written(aligner: Aligner, genome: dict[str, str]) -> None:
    batch = batch_of([Record("a", "", genome["one"][5_200:5_350])], first_record=0, has_quality=False, keep_comments=False)
    (mapped,) = aligner.map_batches([batch])
    assert mapped.records.n[0] == 1 and mapped.records.second[0] == 300  # the rival was traced behind the only record
    assert all(len(column) >= 2 for column in mapped.records[1:14])


def test_alignment_holds_what_the_line_says() -> None:
    line = "r1\t163\tchr1\t101\t37\t5S20M2I10M3D8M1S\tchr2\t201\t-345\tACGT\tIIII\tNM:i:5\tMD:Z:30^ACG8\tXA:Z:a:b"
    hit = Alignment.from_sam(line)
    assert (hit.name, hit.flag, hit.contig, hit.start, hit.end) == ("r1", 163, "chr1", 100, 141)
    assert (hit.mapq, hit.cigar, hit.mate_contig, hit.mate_start) == (37, "5S20M2I10M3D8M1S", "chr2", 200)
    assert (hit.template_length, hit.sequence, hit.quality, hit.sam) == (-345, "ACGT", "IIII", line)
    assert hit.tags == {"NM": 5, "MD": "30^ACG8", "XA": "a:b"}
    assert (hit.edits, hit.score, hit.strand, hit.is_mapped, hit.is_proper_pair) == (5, None, "+", True, True)


def test_unmapped_alignment_has_no_place() -> None:
    hit = Alignment.from_sam("r\t4\t*\t0\t0\t*\t*\t0\t0\t*\t*")
    assert (hit.contig, hit.start, hit.end, hit.mate_contig, hit.mate_start) == (None, -1, -1, None, -1)
    assert not hit.is_mapped and hit.edits is None and hit.tags == {}


def test_lines_of_a_batch_are_as_long_as_they_need(aligner: Aligner, genome: dict[str, str]) -> None:
    """Much text a line: long names, a long read group, an edit at every few bases."""
    sequence = list(genome["two"][15_000:15_240])
    for at in range(3, 240, 10):
        sequence[at] = "ACGT"[("ACGT".index(sequence[at]) + 1) % 4]
    reads = [("n" * 254, "".join(sequence))] * 30
    rows = [hit.sam for hit in Aligner(aligner.index, secondary=8, read_group="g" * 200).map(reads)]
    primary = [row for row in rows if not int(row.split("\t")[1]) & 256]
    assert len(primary) == 30 and len(set(primary)) == 1
    assert primary[0].endswith("\tRG:Z:" + "g" * 200)
    assert re.search(r"\tNM:i:\d+\t", primary[0])
