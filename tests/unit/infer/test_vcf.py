"""VCF in and out: what is read, what is refused, and that a record keeps all that it had."""

from __future__ import annotations

import functools
import gzip
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pysam
import pytest

from genoseq.errors import InputError, UsageError
from genoseq.infer import vcf as module
from genoseq.infer.reference import Reference
from genoseq.infer.variants import AltScore, Variant, VariantScore, allele_note, compare_reference
from genoseq.infer.vcf import FIELDS, Annotation, annotate, check_records, check_vcf_name, vcf_output
from genoseq.infer.vcf_source import open_vcf

Write = Callable[[str, bytes], Path]
GENOME = Reference.of({"chr1": "ACGTACGTAC" * 20, "chr2": "GGCC" * 20})
HEADER = (
    "##fileformat=VCFv4.3\n"
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    "##contig=<ID=chr1,length=200>\n##contig=<ID=chr2,length=80>\n"
)
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
LINES = [
    "chr1\t1\trs1\tA\tC\t29.50\tPASS\tDP=3;UNDEFINED=x y",
    "chr1\t2\t.\tC\tG,<DEL>,*\t.\tweird\t.",
    "chr1\t5\t.\tACG\tA\t.\t.\tGS_LLR=9;DP=1;GS_NOTE=old",
    "chr1\t5\t.\tA\t.\t.\t.\tDP=7",
    "chr2\t3\t.\tC\tG[chr1:5[\t.\t.\t.",
]
TEXT = f"{HEADER}{COLUMNS}\n" + "".join(f"{line}\n" for line in LINES)


def scores(variants: Iterable[Variant]) -> Iterator[VariantScore]:
    """Stands in for a model: the log-likelihood ratio is minus the position."""
    for given in variants:
        wrong = compare_reference(given, GENOME)
        notes = [wrong[0] if wrong else allele_note(alt) for alt in given.alts]
        llr = -float(given.start + 1)
        yield VariantScore(
            given, tuple(AltScore(None if n else llr, None if n else -20.25, None if n else llr - 20.25, 9, n) for n in notes)
        )


def annotated(path: Path, **options: bool) -> tuple[Annotation, list[str]]:
    sink = io.BytesIO()
    with open_vcf(path) as source:
        done = annotate(source, GENOME, scores, sink, metadata='{"format": "x"}', **options)  # type: ignore[arg-type]
    return done, sink.getvalue().decode().splitlines()


def test_records_keep_what_they_had_and_get_scores(write: Write) -> None:
    done, lines = annotated(write("a.vcf", TEXT.encode()))
    header = [line for line in lines if line.startswith("#")]
    assert header[:4] == HEADER.splitlines()
    assert header[4:-2] == [
        f'##INFO=<ID={name},Number=A,Type={kind},Description="{text}">' for name, (kind, text) in FIELDS.items()
    ]
    assert header[-2:] == ['##genoseq_variants={"format": "x"}', COLUMNS]
    assert [line.split("\t")[:7] for line in lines[len(header) :]] == [line.split("\t")[:7] for line in LINES]
    assert [line.split("\t")[7] for line in lines[len(header) :]] == [
        "DP=3;UNDEFINED=x y;GS_LLR=-1;GS_REF_LL=-20.25;GS_ALT_LL=-21.25",
        "GS_LLR=-2,.,.;GS_REF_LL=-20.25,.,.;GS_ALT_LL=-22.25,.,.;GS_NOTE=.,symbolic,spanning_deletion",
        "DP=1;GS_LLR=-5;GS_REF_LL=-20.25;GS_ALT_LL=-25.25",
        "DP=7",
        "GS_NOTE=breakend",
    ]
    assert done == (5, {"scored": 3, "symbolic": 1, "spanning_deletion": 1, "breakend": 1})


def test_other_programs_can_read_what_is_written(write: Write, tmp_path: Path) -> None:
    lines = annotated(write("a.vcf", TEXT.replace(";UNDEFINED=x y", "").replace("weird", "PASS").encode()))[1]
    path = write("out.vcf", ("\n".join(lines) + "\n").encode())
    with pysam.VariantFile(str(path)) as file:
        records = list(file)
        assert [record.info.get("GS_LLR") for record in records] == [(-1,), (-2, None, None), (-5,), None, None]
        assert records[1].info["GS_NOTE"] == (".", "symbolic", "spanning_deletion")
        assert file.header.info["GS_ALT_LL"].number == "A"


def test_writing_scores_twice_leaves_one_of_each(write: Write) -> None:
    once = "\n".join(annotated(write("a.vcf", TEXT.encode()))[1]) + "\n"
    assert "\n".join(annotated(write("b.vcf", once.encode()))[1]) + "\n" == once


def test_samples_line_ends_and_compression(write: Write, tmp_path: Path) -> None:
    rows = [f"{line}\tGT:XX\t0|1:é" for line in LINES[:1]]
    text = f"{HEADER}{COLUMNS}\tFORMAT\ts1\n{rows[0]}\n"
    for name, content in {
        "a.vcf": text.encode(),
        "b.vcf.gz": gzip.compress(text.encode()),
        "c.vcf": text.replace("\n", "\r\n").encode(),
        "d.vcf": text.rstrip("\n").encode(),
        "e.vcf": (text + "\n").encode(),
    }.items():
        lines = annotated(write(name, content))[1]
        assert lines[-1].endswith("GS_ALT_LL=-21.25\tGT:XX\t0|1:é")
        assert lines[-2].endswith("FORMAT\ts1")


def bcf(path: Path, text: str) -> Path:
    """BCF of VCF text."""
    plain = path.with_suffix(".in.vcf")
    plain.write_text(text)
    with pysam.VariantFile(str(plain)) as source, pysam.VariantFile(str(path), "wb", header=source.header) as target:
        for record in source:
            target.write(record)
    return path


GOOD = (
    HEADER
    + COLUMNS
    + "\n"
    + "\n".join(["chr1\t1\t.\tA\tC\t.\tPASS\tDP=3", "chr1\t150\t.\tC\tG\t.\tPASS\tDP=1", "chr2\t3\t.\tC\tG\t.\t.\tDP=2"])
    + "\n"
)


def test_bcf_is_read(tmp_path: Path) -> None:
    lines = annotated(bcf(tmp_path / "a.bcf", GOOD))[1]
    assert [line.split("\t")[7].split(";")[:2] for line in lines if line[0] != "#"] == [
        ["DP=3", "GS_LLR=-1"], ["DP=1", "GS_LLR=-150"], ["DP=2", "GS_LLR=-3"],
    ]  # fmt: skip


def indexed(tmp_path: Path, kind: str) -> Path:
    if kind == "bcf":
        path = bcf(tmp_path / "a.bcf", GOOD)
        pysam.tabix_index(str(path), preset="bcf", force=True)
        return path
    plain = tmp_path / "a.vcf"
    plain.write_text(GOOD)
    return Path(pysam.tabix_index(str(plain), preset="vcf", force=True))


@pytest.mark.parametrize("kind", ["vcf", "bcf"])
@pytest.mark.parametrize(
    ("region", "places"),
    [
        ("chr1", [0, 149]),
        ("chr1:100-200", [149]),
        ("chr1:2", [149]),
        ("chr1:150-150", [149]),
        ("chr1:1-", [0, 149]),
        ("chr2", [2]),
    ],
)
def test_regions(tmp_path: Path, kind: str, region: str, places: list[int]) -> None:
    with open_vcf(indexed(tmp_path, kind), region=region) as source:
        assert source.header[0].startswith("##fileformat")
        assert [line.variant.start for line in source] == places


@pytest.mark.parametrize("kind", ["vcf", "bcf"])
def test_a_region_without_records(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    path = indexed(tmp_path, kind)
    with caplog.at_level(logging.WARNING), open_vcf(path, region="chrX") as source:
        assert list(source) == []
    assert "has no records on contig 'chrX'" in caplog.text


@pytest.mark.parametrize("region", ["chr1:0-5", "chr1:9-3"])
def test_regions_that_make_no_sense(tmp_path: Path, region: str) -> None:
    with pytest.raises(UsageError, match="positions count from 1"), open_vcf(indexed(tmp_path, "vcf"), region=region):
        pass


def test_a_region_needs_an_index(write: Write) -> None:
    path = write("a.vcf", GOOD.encode())
    with (
        pytest.raises(InputError, match=r"has no index, which --region needs; make one: bgzip .*a.vcf; tabix -p vcf"),
        open_vcf(path, region="chr1"),
    ):
        pass
    with pytest.raises(UsageError, match="not standard input"), open_vcf("-", region="chr1"):
        pass
    with pytest.raises(InputError, match="no such file"), open_vcf("missing.vcf", region="chr1"):
        pass


def test_a_damaged_index_is_told(tmp_path: Path) -> None:
    path = indexed(tmp_path, "vcf")
    Path(f"{path}.tbi").write_bytes(b"nothing")
    with (
        pytest.raises(InputError, match=r"cannot be read .*it or its index may be damaged"),
        open_vcf(path, region="chr1") as source,
    ):
        list(source)


WRONG = {
    "no vcf": (b"hello\n", "is no VCF file: expected ##fileformat=VCFv4..., found 'hello'"),
    "empty": (b"", "is empty or ends inside its header"),
    "header only": (HEADER.encode(), "is empty or ends inside its header"),
    "no columns": ((HEADER + LINES[0] + "\n").encode(), "has no line of column names"),
    "spaces": ((HEADER + COLUMNS + "\nchr1 1 . A C . . .\n").encode(), "record 1: has 1 columns, expected at least 8"),
    "short": ((TEXT + "chr1\t9\t.\tA\n").encode(), "record 6: has 4 columns, expected at least 8"),
    "position": ((HEADER + COLUMNS + "\nchr1\tx\t.\tA\tC\t.\t.\t.\n").encode(), "record 1: has the position 'x', expected a number"),
    "reference": ((HEADER + COLUMNS + "\nchr1\t1\t.\t<X>\tC\t.\t.\t.\n").encode(), "has the reference allele '<X>', expected bases"),
    "allele": ((HEADER + COLUMNS + "\nchr1\t1\t.\tA\tC,5\t.\t.\t.\n").encode(), "has the allele '5', expected bases or a symbolic allele"),
    "truncated": (gzip.compress((TEXT + "chr1\t1\t.\tA\tC\t.\t.\t.\n" * 99).encode())[:-12], "the gzip data are truncated"),
    "bzip2": (b"BZh91AY&SY", "is compressed with bzip2"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_vcf(write: Write, kind: str) -> None:
    content, message = WRONG[kind]
    with pytest.raises(InputError) as caught, open_vcf(write("bad.vcf", content)) as source:
        list(source)
    assert message in str(caught.value)
    assert "bad.vcf" in str(caught.value)


def test_a_damaged_bcf_is_told(tmp_path: Path) -> None:
    path = bcf(tmp_path / "a.bcf", GOOD * 1)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-20]))
    with pytest.raises(InputError, match=r"a.bcf: cannot be read"), open_vcf(path) as source:
        list(source)


MISMATCH = HEADER + COLUMNS + "\n" + "".join(
    f"{contig}\t{position}\t.\t{ref}\tT\t.\t.\t.\n"
    for contig, position, ref in [("chr1", 1, "A"), ("chr1", 2, "A"), ("chrZ", 3, "A"), ("chr1", 4, "T"), ("chr1", 999, "A")]
)  # fmt: skip


def test_records_that_disagree_are_each_reported_and_then_an_error(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = write("bad.vcf", MISMATCH.encode())
    asked: list[Variant] = []

    def score(variants: Iterable[Variant]) -> Iterator[VariantScore]:
        for given in variants:
            asked.append(given)
            yield from scores([given])

    with pytest.raises(InputError) as caught, open_vcf(path) as source:
        annotate(source, GENOME, score, io.BytesIO(), metadata="")
    assert "bad.vcf: of 5 records, 2 disagree with the FASTA file and 1 are on contigs that it does not have; " in str(
        caught.value
    )
    assert "--skip-mismatch" in str(caught.value)
    assert [given.start for given in asked] == [0]  # nothing is scored after the first
    assert [(record.levelname, record.getMessage().partition(", ")[2]) for record in caplog.records] == [
        ("ERROR", "record 2 (chr1:2): REF is A, the FASTA file has C"),
        ("ERROR", "record 3 (chrZ:3): the FASTA file has no contig 'chrZ'"),
        ("ERROR", "record 5 (chr1:999): the position is outside the contig of 200 bp"),
    ]
    with pytest.raises(InputError, match="of 5 records"), open_vcf(path) as source:
        check_records(source, GENOME)


def test_records_that_disagree_can_be_kept_without_scores(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    done, lines = annotated(write("bad.vcf", MISMATCH.encode()), skip_mismatch=True)
    assert [line.split("\t")[7].partition(";")[0] for line in lines[-5:]] == [
        "GS_LLR=-1", "GS_NOTE=ref_mismatch", "GS_NOTE=no_contig", "GS_LLR=-4", "GS_NOTE=ref_mismatch",
    ]  # fmt: skip
    assert done == (5, {"scored": 2, "ref_mismatch": 2, "no_contig": 1})
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


def test_very_many_disagreements_are_counted(
    write: Write, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORTED", 2)
    path = write("bad.vcf", (HEADER + COLUMNS + "\n" + "chr1\t2\t.\tA\tT\t.\t.\t.\n" * 9).encode())
    with pytest.raises(InputError, match="of 9 records, 9 disagree"), open_vcf(path) as source:
        check_records(source, GENOME)
    assert len(caplog.records) == 3
    assert "further records that disagree with the reference are only counted" in caplog.text


@pytest.mark.parametrize("longest", [200, 1 << 29])
def test_compressed_output_has_an_index(tmp_path: Path, longest: int) -> None:
    path = tmp_path / "out.vcf.gz"
    with vcf_output(path, longest=longest) as sink:
        sink.write(GOOD.encode())
    index = "out.vcf.gz.csi" if longest > 200 else "out.vcf.gz.tbi"
    assert sorted(found.name for found in tmp_path.iterdir()) == ["out.vcf.gz", index]
    with pysam.VariantFile(str(path)) as file:
        assert [record.pos for record in file.fetch("chr1", 100, 200)] == [150]
    with open_vcf(path, region="chr2") as source:
        assert [line.variant.contig for line in source] == ["chr2"]


def test_unsorted_output_has_no_index(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "out.vcf.gz"
    Path(f"{path}.tbi").write_bytes(b"of an older file")
    with vcf_output(path) as sink:
        sink.write((GOOD + "chr1\t1\t.\tA\tC\t.\tPASS\tDP=3\n").encode())
    assert [found.name for found in tmp_path.iterdir()] == ["out.vcf.gz"]
    assert "not sorted by position, so it has no index (bcftools sort)" in caplog.text
    assert gzip.decompress(path.read_bytes()).decode().startswith(GOOD)


def test_output_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    for name in ("out.vcf.gz", "out.vcf"):
        path = tmp_path / name
        path.write_bytes(b"before")
        with pytest.raises(ZeroDivisionError), vcf_output(path) as sink:
            sink.write(GOOD.encode())
            raise ZeroDivisionError
        assert path.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_error_of_the_reader_of_the_lines_stays_what_it_is(tmp_path: Path) -> None:
    for region in (None, "chr1"):
        with pytest.raises(BrokenPipeError), open_vcf(indexed(tmp_path, "bcf"), region=region):
            raise BrokenPipeError


@pytest.mark.parametrize("name", ["a.bcf", "a.gz", "a.vcf.zst"])
def test_names_of_other_formats(name: str) -> None:
    with pytest.raises(UsageError, match=r"VCF is written as .vcf or .vcf.gz"):
        check_vcf_name(name)
    for good in (None, "a.vcf", "a.vcf.gz", "a.txt"):
        check_vcf_name(good)


def test_progress_is_told(write: Write) -> None:
    told: list[int] = []
    with open_vcf(write("a.vcf", TEXT.encode())) as source:
        annotate(source, GENOME, functools.partial(scores), io.BytesIO(), metadata="", report=told.append)
    assert sum(told) == 5
