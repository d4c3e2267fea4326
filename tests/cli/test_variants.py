"""`genoseq variants`: every option shows its effect, and bad input is told."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pysam
import pytest
import torch
from runs import Done, Runner
from saved_models import LIMIT, loaded, saved
from tiny_nets import drawn

from genoseq.infer import Reference, Variant, score_variants

Write = Callable[[str, bytes], Path]
Run = Callable[..., Done]
CHROMOSOMES = {"chr1": drawn(400, 1) + "N" * 5 + drawn(200, 2), "chr2": drawn(150, 3)}
HEADER = (
    "##fileformat=VCFv4.2\n"
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    + "".join(f"##contig=<ID={name},length={len(text)}>\n" for name, text in CHROMOSOMES.items())
    + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)


def other(base: str, shift: int = 1) -> str:
    return "ACGT"[("ACGT".index(base) + shift) % 4]


def sites() -> list[tuple[str, int, str, str]]:
    one, two = CHROMOSOMES["chr1"], CHROMOSOMES["chr2"]
    return [
        ("chr1", 1, one[0], other(one[0])),
        ("chr1", 100, one[99], f"{other(one[99])},{other(one[99], 2)}"),
        ("chr1", 150, one[149:153], one[149]),
        ("chr1", 200, one[199], f"{one[199]}ACGACG,<DEL>,*"),
        ("chr1", 398, one[397], other(one[397])),
        ("chr2", 75, two[74], other(two[74])),
        ("chr2", 150, two[149], "."),
    ]


def vcf(rows: list[tuple[str, int, str, str]]) -> bytes:
    lines = (f"{contig}\t{position}\t.\t{ref}\t{alt}\t30\tPASS\tDP=5\n" for contig, position, ref, alt in rows)
    return (HEADER + "".join(lines)).encode()


@pytest.fixture
def genome(write: Write) -> Path:
    """A genome of two chromosomes."""
    return write("genome.fa", "".join(f">{name}\n{text.lower()}\n" for name, text in CHROMOSOMES.items()).encode())


@pytest.fixture
def calls(write: Write) -> Path:
    """Variants of every kind on it."""
    return write("calls.vcf", vcf(sites()))


@pytest.fixture
def run(genoseq: Runner) -> Run:
    """Score with small windows and one thread."""

    def scored(*arguments: object, kind: str = "causal") -> Done:
        given = [str(argument) for argument in arguments]
        extra = [] if "--context" in given or "--left" in given else ["--context", "41"]
        return genoseq("variants", *given, "-m", saved(kind), *extra, *([] if "-t" in given else ["-t", "1"]))

    return scored


def values(text: str, field: str = "GS_LLR") -> list[list[float | None]]:
    """A field of each record."""
    found = []
    for line in text.splitlines():
        if not line.startswith("#"):
            info = dict(item.partition("=")[::2] for item in line.split("\t")[7].split(";"))
            found.append([None if value == "." else float(value) for value in info[field].split(",")] if field in info else [])
    return found


def expected(kind: str = "causal", **options: object) -> list[list[float | None]]:
    variants = [Variant(contig, at - 1, ref, tuple(alt.split(",")) if alt != "." else ()) for contig, at, ref, alt in sites()]
    options = {"context": 41} | options if "left" not in options else options
    scores = score_variants(*loaded(kind), Reference.of(CHROMOSOMES), variants, **options)  # type: ignore[arg-type]
    found = [[alt.llr for alt in scored.alts] for scored in scores]
    return [llrs if any(llr is not None for llr in llrs) else [] for llrs in found]


def same(found: list[list[float | None]], wanted: list[list[float | None]]) -> None:
    assert len(found) == len(wanted)
    for one, two in zip(found, wanted, strict=True):
        assert [None if value is None else pytest.approx(value, rel=1e-4, abs=1e-4) for value in two] == one


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_scores_are_those_of_the_api(run: Run, genome: Path, calls: Path, kind: str) -> None:
    done = run(genome, calls, kind=kind)
    text = done.out.decode()
    same(values(text), expected(kind))
    assert [len(row) for row in values(text)] == [1, 2, 1, 3, 1, 1, 0]
    told = json.loads(next(line for line in done.lines if line.startswith("##genoseq_variants=")).partition("=")[2])
    assert (told["format"], told["options"]["context"], told["options"]["strand"]) == ("genoseq.variant-scores", 41, "both")
    assert told["options"]["stride"] == (None if kind == "causal" else 8)
    assert done.status == 0
    assert "7 records: 7 alleles scored, 1 spanning_deletion, 1 symbolic" in done.err
    for ref, alt, llr in zip(values(text, "GS_REF_LL"), values(text, "GS_ALT_LL"), values(text), strict=True):
        for a, b, c in zip(ref, alt, llr, strict=True):
            assert (a is None and b is None and c is None) or (b or 0) - (a or 0) == pytest.approx(c, abs=2e-3)


def test_everything_else_of_a_record_stays(run: Run, genome: Path, calls: Path) -> None:
    rows = [line.split("\t") for line in run(genome, calls).lines if not line.startswith("#")]
    before = [line.split("\t") for line in calls.read_text().splitlines() if not line.startswith("#")]
    assert [row[:7] for row in rows] == [row[:7] for row in before]
    assert all(row[7].startswith("DP=5") for row in rows)


def test_output_compressed_and_indexed(run: Run, genome: Path, calls: Path, tmp_path: Path) -> None:
    plain = run(genome, calls).out
    for name in ("o.vcf", "o.vcf.gz"):
        done = run(genome, calls, "-o", tmp_path / name)
        assert (done.status, done.out) == (0, b"")
    assert (tmp_path / "o.vcf").read_bytes() == gzip.decompress((tmp_path / "o.vcf.gz").read_bytes()) == plain
    with pysam.VariantFile(str(tmp_path / "o.vcf.gz")) as file:
        assert [record.pos for record in file.fetch("chr1", 90, 160)] == [100, 150]
        record = next(iter(file.fetch("chr1", 99, 100)))
        assert record.info["GS_LLR"] == pytest.approx(values(plain.decode())[1], rel=1e-5)


def test_region(run: Run, genome: Path, calls: Path, tmp_path: Path) -> None:
    packed = pysam.tabix_index(str(calls), preset="vcf", keep_original=True, force=True)
    wanted = expected()
    same(values(run(genome, packed, "--region", "chr2").out.decode()), wanted[5:])
    same(values(run(genome, packed, "--region", "chr1:100-160").out.decode()), wanted[1:3])
    done = run(genome, packed, "--region", "chr9")
    assert (done.status, done.err.count("has no records on contig 'chr9'")) == (0, 1)
    assert run(genome, packed, "--region", "chr1:9-3").status == 2
    missing = run(genome, calls, "--region", "chr1")
    assert (missing.status, "has no index, which --region needs" in missing.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [([], "causal", 1024), ([], "limited", LIMIT), (["--left", 3, "--right", 5], "causal", 9), (["--context", 21], "causal", 21)],
)
def test_the_header_says_how_long_windows_were(
    genoseq: Runner, genome: Path, calls: Path, arguments: list[object], kind: str, told: int
) -> None:
    done = genoseq("variants", genome, calls, "-m", saved(kind), "-t", 1, *arguments)
    (line,) = (line for line in done.out.decode().splitlines() if line.startswith("##genoseq_variants="))
    assert json.loads(line.partition("=")[2])["options"]["context"] == told


def test_context_left_and_right(run: Run, genome: Path, calls: Path) -> None:
    same(values(run(genome, calls, "--context", 21).out.decode()), expected(context=21))
    same(values(run(genome, calls, "--left", 30, "--right", 10).out.decode()), expected(left=30, right=10))
    assert run(genome, calls, "--left", 30).status == 2
    assert run(genome, calls, "--left", 3, "--right", 3, "--context", 7).status == 2
    too_long = run(genome, calls, "--context", LIMIT + 1, kind="limited")
    assert (too_long.status, f"give --context {LIMIT} or less" in too_long.err) == (2, True)
    assert run(genome, calls, "--context", LIMIT, kind="limited").status == 0


def test_strand(run: Run, genome: Path, calls: Path) -> None:
    found = {strand: values(run(genome, calls, "--strand", strand).out.decode()) for strand in ("both", "forward", "reverse")}
    for strand, scores in found.items():
        same(scores, expected(strand=strand))
    assert found["forward"] != found["reverse"]
    mean = (found["forward"][0][0] + found["reverse"][0][0]) / 2  # type: ignore[operator]
    assert found["both"][0][0] == pytest.approx(mean, abs=1e-3)


def test_method_and_stride(run: Run, genome: Path, calls: Path) -> None:
    same(values(run(genome, calls, "--method", "marginal", kind="masked").out.decode()), expected("masked", method="marginal"))
    same(values(run(genome, calls, "--stride", 3, kind="masked").out.decode()), expected("masked", stride=3))
    same(values(run(genome, calls, "--stride", "exact", kind="masked").out.decode()), expected("masked", stride=None))
    assert run(genome, calls, "--method", "marginal").status == 2
    assert run(genome, calls, "--stride", 3).status == 2


def test_bos(run: Run, genome: Path, calls: Path) -> None:
    same(values(run(genome, calls, "--bos").out.decode()), expected(begin=True))
    assert values(run(genome, calls, "--bos").out.decode()) != values(run(genome, calls).out.decode())


def test_batch_tokens_change_nothing(run: Run, genome: Path, calls: Path) -> None:
    one, many = (values(run(genome, calls, "--batch-tokens", size).out.decode()) for size in (1, 100_000))
    same(one, many)


def test_dtype_device_and_threads(run: Run, genome: Path, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, rough = (
        values(run(genome, calls, "--dtype", dtype, "--device", "cpu").out.decode()) for dtype in ("float32", "bfloat16")
    )
    assert exact != rough
    if not torch.cuda.is_available():
        assert run(genome, calls, "--device", "cuda").status == 2
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    assert run(genome, calls, "-t", 3).status == 0
    assert used[0] == 3


def test_inputs_in_other_forms(
    run: Run, genome: Path, calls: Path, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = run(genome, calls).lines[-7:]
    assert run(genome, write("calls.vcf.gz", gzip.compress(calls.read_bytes()))).lines[-7:] == wanted
    pysam.faidx(str(genome))
    assert run(genome, calls).lines[-7:] == wanted
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(calls.read_bytes())))
    assert run(genome, "-").lines[-7:] == wanted
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(genome.read_bytes())))
    assert run("-", calls).lines[-7:] == wanted
    assert run("-", "-").status == 2
    with (
        pysam.VariantFile(str(calls)) as source,
        pysam.VariantFile(str(tmp_path / "c.bcf"), "wb", header=source.header) as target,
    ):
        for record in source:
            if "<DEL>" not in (record.alts or ()):  # pysam writes one without END wrongly
                target.write(record)
    binary = run(genome, tmp_path / "c.bcf")
    same(values(binary.out.decode()), [row for number, row in enumerate(expected()) if number != 3])


def test_no_records(run: Run, genome: Path, write: Write) -> None:
    done = run(genome, write("e.vcf", HEADER.encode()))
    assert (done.status, "e.vcf: no records" in done.err) == (0, True)
    assert done.lines[-1].startswith("#CHROM")


WRONG = [("chr1", 50, "A" if CHROMOSOMES["chr1"][49] != "A" else "C", "G"), ("chr9", 5, "A", "C"), ("chr1", 700, "A", "C")]


def test_disagreement_with_the_genome_is_an_error_before_anything_is_scored(
    run: Run, genome: Path, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("bad.vcf", vcf([*sites()[:2], *WRONG]))
    done = run(genome, path, "-o", tmp_path / "o.vcf")
    assert done.status == 1
    assert "record 3 (chr1:50): REF is" in done.err
    assert "record 4 (chr9:5): the FASTA file has no contig 'chr9'" in done.err
    assert "record 5 (chr1:700): the position is outside the contig of 605 bp" in done.err
    assert "bad.vcf: of 5 records, 2 disagree with the FASTA file and 1 are on contigs that it does not have" in done.err
    assert "--skip-mismatch writes such records without scores" in done.err
    assert not (tmp_path / "o.vcf").exists()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    streamed = run(genome, "-", "-o", tmp_path / "o.vcf")
    assert (streamed.status, "of 5 records" in streamed.err, (tmp_path / "o.vcf").exists()) == (1, True, False)


def test_skip_mismatch_writes_them_without_scores(run: Run, genome: Path, write: Write) -> None:
    done = run(genome, write("bad.vcf", vcf([*sites()[:2], *WRONG])), "--skip-mismatch")
    assert done.status == 0
    same(values(done.out.decode()), [*expected()[:2], [], [], []])
    assert [line.rpartition(";")[2] for line in done.lines[-3:]] == [
        "GS_NOTE=ref_mismatch",
        "GS_NOTE=no_contig",
        "GS_NOTE=ref_mismatch",
    ]
    assert done.err.count("genoseq: warning: ") == 3
    assert "5 records: 3 alleles scored, 1 no_contig, 2 ref_mismatch" in done.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello\n", "is no VCF file: expected ##fileformat"),
        (b"", "is empty or ends inside its header"),
        (HEADER.encode() + b"chr1\t5\n", "record 1: has 2 columns, expected at least 8"),
        (gzip.compress(vcf(sites() * 9))[:-12], "the gzip data are truncated"),
        (HEADER.encode() + b"chr1\t5\t.\tA\tG,!\t.\t.\t.\n", "record 1: has the allele '!'"),
    ],
)
def test_bad_vcf(run: Run, genome: Path, write: Write, tmp_path: Path, content: bytes, message: str) -> None:
    for extra in ([], ["--skip-mismatch"]):
        done = run(genome, write("bad.vcf", content), "-o", tmp_path / "o.vcf.gz", *extra)
        assert (done.status, message in done.err) == (1, True), done.err
        assert sorted(os.listdir(tmp_path)) == ["bad.vcf", "genome.fa"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["missing.fa", "calls.vcf"], 1, "missing.fa: no such file"),
        (["genome.fa", "missing.vcf"], 1, "missing.vcf: no such file"),
        (["genome.fa", "calls.vcf", "-o", "calls.vcf"], 2, "is an input"),
        (["genome.fa", "calls.vcf", "-o", "o.bcf"], 2, "VCF is written as .vcf or .vcf.gz"),
        (["calls.vcf", "genome.fa"], 1, "is neither FASTA nor FASTQ"),
        (["genome.fa"], 2, "Missing argument 'VCF'"),
    ],
)
def test_wrong_usage(
    run: Run, genome: Path, calls: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(genome.parent)
    done = run(*arguments)
    assert (done.status, message in done.err) == (status, True), done.err


def test_models_that_predict_no_tokens(run: Run, genome: Path, calls: Path) -> None:
    done = run(genome, calls, kind="classifier")
    assert (done.status, "predicts no tokens" in done.err) == (2, True)


def test_quiet_says_nothing(genoseq: Runner, genome: Path, calls: Path) -> None:
    assert genoseq("-q", "variants", genome, calls, "-m", saved("causal"), "--context", 9, "-t", 1).err == ""
