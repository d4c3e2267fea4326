from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from genoseq.cli.main import main
from genoseq.evaluate.truth import parse_name
from genoseq.seqs.alphabet import reverse_complement

BASES = "".join(np.random.default_rng(1).choice(list("ACGT"), 20000))


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(f">one\n{BASES[:12000]}\n")
    return path


def records(text: str) -> list[tuple[str, str, str]]:
    lines = text.splitlines()
    return [(lines[at][1:], lines[at + 1], lines[at + 3]) for at in range(0, len(lines), 4)]


def simulated(capfdbinary: pytest.CaptureFixture[bytes], *arguments: object) -> list[tuple[str, str, str]]:
    assert main(["simulate", *map(str, arguments)]) == 0
    return records(capfdbinary.readouterr().out.decode())


def test_reads_go_to_standard_output_with_defaults(reference: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    reads = simulated(capfdbinary, reference, "-n", 50)
    assert len(reads) == 50
    for name, sequence, quality in reads:
        place = parse_name(name).places[0]
        expected = BASES[place.start : place.end].encode()
        assert sequence.encode() == (reverse_complement(expected) if place.reverse else expected)
        assert quality == "I" * 150
    assert simulated(capfdbinary, reference, "-n", 50, "--seed", 1, "-o", "-") == reads
    assert simulated(capfdbinary, reference, "-n", 50, "--seed", 2) != reads


def test_every_option_changes_the_reads(reference: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    lengths = {len(read[1]) for read in simulated(capfdbinary, reference, "-n", 50, "-l", 80, "-l", 120)}
    assert lengths == {80, 120}
    deleted = simulated(capfdbinary, reference, "-n", 200, "-d", 0.2, "--mix", 0, 0, 1)
    spans = [parse_name(read[0]).places[0] for read in deleted]
    assert np.mean([place.end - place.start for place in spans]) == pytest.approx(150 / 0.8, rel=0.03)
    qualities = "".join(read[2] for read in simulated(capfdbinary, reference, "-n", 50, "--errors", 0.01))
    assert len(set(qualities)) > 10
    pairs = simulated(capfdbinary, reference, "-n", 100, "--paired", "--insert", 500, 5)
    assert len(pairs) == 200
    outer = []
    for name, _, _ in pairs[::2]:
        one, two = parse_name(name).places
        outer.append(max(one.end, two.end) - min(one.start, two.start))
    assert np.mean(outer) == pytest.approx(500, abs=3)


def test_files_pairs_and_several_references(reference: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.fa"
    other.write_text(f">two\n{BASES[12000:]}\n")
    one, two = tmp_path / "1.fq.gz", tmp_path / "2.fq.gz"
    arguments = ["simulate", str(reference), str(other), "-n", "100", "-p", "-o", str(one), "-o", str(two)]
    assert main(arguments) == 0
    first, second = (records(gzip.decompress(path.read_bytes()).decode()) for path in (one, two))
    assert [read[0] for read in first] == [read[0] for read in second]
    assert {parse_name(read[0]).places[0].contig for read in first} == {"one", "two"}


def test_wrong_use_and_wrong_data_have_their_exit_status(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", str(reference), "-d", "3"]) == 2
    assert "divergence 3.0" in capsys.readouterr().err
    assert main(["simulate", str(reference), "--mix", "nan", "1", "1"]) == 2
    assert main(["simulate", str(reference), "-p", "--insert", "nan", "1"]) == 2
    before = reference.read_bytes()
    assert main(["simulate", str(reference), "-o", str(reference)]) == 2
    assert main(["simulate", str(reference), "-p", "-o", str(tmp_path / "x.fq"), "-o", str(tmp_path / "x.fq")]) == 2
    assert reference.read_bytes() == before and not (tmp_path / "x.fq").exists()
    capsys.readouterr()
    assert main(["simulate", str(reference), str(reference)]) == 1
    assert "contig 'one' is also in an earlier file" in capsys.readouterr().err
    assert main(["simulate", str(tmp_path / "none.fa")]) == 1
    assert "none.fa" in capsys.readouterr().err


SAM = """@HD\tVN:1.6
@SQ\tSN:one\tLN:12000
s1!one!100!+!200\t0\tone\t101\t60\t100M\t*\t0\t0\t*\t*
s2!one!100!+!200\t0\tone\t151\t30\t100M\t*\t0\t0\t*\t*
s3!one!100!+!200\t4\t*\t0\t0\t*\t*\t0\t0\t*\t*
"""


def judged(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, list[str]]:
    assert main(["judge", *map(str, arguments)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line.split("\t")[0]: line.split("\t")[1:] for line in lines}


def test_judge_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.sam"
    path.write_text(SAM)
    table = judged(capsys, path)
    assert table["measure"] == ["count", "percent"]
    assert table["reads"] == ["3", "100.000"]
    assert table["correct"] == ["1", "33.333"]
    assert table["wrong"] == ["1", "33.333"]
    assert table["wrong_mapq20"] == ["1", "33.333"]
    assert table["lost"] == ["0", "0.000"]
    assert judged(capsys, path, "-n", 4)["lost"] == ["1", "25.000"]
    assert judged(capsys, path, "-n", 4, "--silent")["unmapped"] == ["2", "50.000"]
    assert judged(capsys, path, "--tolerance", 50)["correct"][0] == "2"
    assert judged(capsys, path, "--curve") == {
        "mapq": ["placed", "wrong", "error"],
        "60": ["1", "0", "0"],
        "30": ["2", "1", "0.5"],
    }


def test_judge_tells_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "s1!one!100!+!200!300!-!400"
    path = tmp_path / "a.sam"
    header = SAM.splitlines()[:2]
    pair = [
        f"{name}\t99\tone\t101\t60\t100M\t=\t301\t300\t*\t*",
        f"{name}\t147\tone\t301\t60\t100M\t=\t101\t-300\t*\t*",
    ]
    path.write_text("\n".join([*header, *pair]) + "\n")
    table = judged(capsys, path)
    assert table["pairs_correct"] == ["1", "100.000"]
    assert table["pairs_proper"] == ["1", "100.000"]


def test_judge_reads_cram_with_its_reference(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pysam

    pysam.faidx(str(reference))
    path = tmp_path / "a.cram"
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "one", "LN": 12000}]}
    with pysam.AlignmentFile(str(path), "wc", header=header, reference_filename=str(reference)) as out:
        record = pysam.AlignedSegment(out.header)
        record.query_name, record.query_sequence = "s1!one!100!+!200", BASES[100:200]
        record.reference_id, record.reference_start, record.cigartuples = 0, 100, [(0, 100)]
        record.mapping_quality = 60
        out.write(record)
    assert judged(capsys, path, "--reference", reference)["correct"][0] == "1"


def test_judge_refuses_what_it_cannot_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.sam"
    path.write_text(SAM.replace("s1!one!100!+!200", "SRR1"))
    assert main(["judge", str(path)]) == 1
    assert "'SRR1' carries no truth" in capsys.readouterr().err
