from __future__ import annotations

from pathlib import Path

import pytest

from genoseq.errors import InputError
from genoseq.evaluate.placements import read_placements

SAM = """@HD\tVN:1.6
@SQ\tSN:one\tLN:1000
r1\t0\tone\t101\t60\t5H10S85M\t*\t0\t0\t*\t*
r2\t16\tone\t201\t7\t90M10S\t*\t0\t0\t*\t*
r3\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\tIIII
r4\t129\tone\t1\t60\t20S50M\t*\t0\t0\t*\t*
r1\t2048\tone\t501\t60\t85H15M\t*\t0\t0\t*\t*
r1\t256\tone\t701\t0\t100M\t*\t0\t0\t*\t*
"""
TAB = """# LAST version 1447
#
40\tone\t10\t50\t+\t1000\tr1\t5\t50\t+\t100\t50\tEG2=1\tE=1
90\tone\t300\t95\t+\t1000\tr1\t3\t95\t-\t100\t95\tEG2=1\tE=1
90\tone\t700\t95\t+\t1000\tr1\t0\t95\t+\t100\t95\tEG2=1\tE=1
# batch 0
"""
MAF = """# LAST version 1447
a score=40 EG2=1 E=1
s one 10 5 + 1000 ACGTA
s r1   5 5 +  100 ACGTA

a score=90 EG2=1 E=1
s one 300 5 + 1000 ACGTA
s r1    3 5 -  100 ACGTA
q r1               IIIII

"""


def test_the_start_of_a_sam_record_is_moved_back_by_the_clipped_bases(tmp_path: Path) -> None:
    path = tmp_path / "a.sam"
    path.write_text(SAM)
    found = list(read_placements(path))
    assert [(p.name, p.start, p.position) for p in found if p.contig and p.rank == "primary"] == [
        ("r1", 85, 100),
        ("r2", 200, 200),
        ("r4", -20, 0),
    ]
    assert [p.rank for p in found] == ["primary"] * 4 + ["supplementary", "secondary"]
    assert [p.reverse for p in found[:2]] == [False, True]
    assert [p.mate for p in found[:4]] == [0, 0, 0, 1]
    assert [p.quality for p in found[:2]] == [60, 7]
    assert found[2].contig is None


@pytest.mark.parametrize(("name", "text"), [("a.tab", TAB), ("a.maf", MAF)])
def test_the_best_last_hit_of_a_read_counts_the_first_among_equals(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    (found,) = read_placements(path)
    assert (found.contig, found.start, found.position, found.reverse) == ("one", 297, 300, True)
    assert found.quality is None


def test_a_broken_last_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tab"
    path.write_text("# LAST version 1447\n40\tone\tten\n")
    with pytest.raises(InputError, match=r"a\.tab.*line 2"):
        list(read_placements(path))


def test_what_is_no_alignment_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bam"
    path.write_text("hello\n")
    with pytest.raises(InputError, match=r"a\.bam: cannot be read as SAM, BAM or CRAM"):
        list(read_placements(path))
    with pytest.raises(InputError, match=r"none\.sam: cannot be opened"):
        read_placements(tmp_path / "none.sam")


def test_a_truncated_bam_is_an_error(tmp_path: Path) -> None:
    import pysam

    whole, cut = tmp_path / "whole.bam", tmp_path / "cut.bam"
    with pysam.AlignmentFile(str(whole), "wb", reference_names=["one"], reference_lengths=[100000]) as out:
        for number in range(20000):
            record = pysam.AlignedSegment(out.header)
            record.query_name = f"read{number}"
            record.query_sequence = "ACGT" * 10
            record.reference_id, record.reference_start, record.cigartuples = 0, number, [(0, 40)]
            out.write(record)
    assert sum(1 for _ in read_placements(whole)) == 20000
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cut\.bam"):
        list(read_placements(cut))
