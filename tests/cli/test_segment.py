"""`genoseq segment`: every option shows its effect, and bad input is told."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from runs import Done, Runner
from saved_models import loaded, saved
from tiny_nets import drawn

from genoseq.infer import segmenter
from genoseq.tokenizers.merge import Segmentation

Write = Callable[[str, bytes], Path]
Run = Callable[..., Done]
SEQUENCES = [("a", drawn(40)), ("b", drawn(70, 2)), ("c", "A")]
FASTA = "".join(f">{name} text\n{text}\n" for name, text in SEQUENCES).encode()


@pytest.fixture
def run(genoseq: Runner) -> Run:
    """Cut by a model of some kind, on one thread."""

    def cut(*arguments: object, kind: str = "chunking") -> Done:
        return genoseq("segment", *arguments, "-m", saved(kind), *(() if "-t" in arguments else ("-t", 1)))

    return cut


@pytest.fixture
def sequences(write: Write) -> Path:
    """Three sequences."""
    return write("s.fa", FASTA)


def expected(stage: int = 0) -> list[tuple[str, Segmentation]]:
    cut = segmenter(*loaded("chunking"), stage=stage)
    return [(name, cut.segment(text)) for name, text in SEQUENCES]


def bed(text: str, *, stage: int = 0, dtype: str = "float32") -> list[str]:
    """Lines of BED after the line that says where it comes from."""
    first, *lines = text.splitlines()
    told = json.loads(first.removeprefix("#"))
    assert (told["format"], told["version"]) == ("genoseq.segments", 1)
    assert told["options"] == {"stage": stage, "dtype": dtype}
    return lines


@pytest.mark.parametrize("stage", [0, 1])
def test_bed_of_each_stage(run: Run, sequences: Path, tmp_path: Path, stage: int) -> None:
    wanted = [line for name, cut in expected(stage) for line in cut.bed_lines(name)]
    assert len(wanted) > 3
    assert bed(run(sequences, "--stage", stage).out.decode(), stage=stage) == wanted
    assert run(sequences, "--stage", stage, "-o", tmp_path / "t.bed").out == b""
    assert bed((tmp_path / "t.bed").read_text(), stage=stage) == wanted
    assert [line for name, cut in expected(1 - stage) for line in cut.bed_lines(name)] != wanted


def test_text(run: Run, sequences: Path, tmp_path: Path) -> None:
    wanted = []
    for name, cut in expected():
        wanted += [f">{name}  {cut.summary()}", *cut.render().splitlines()]
    assert bed(run(sequences, "--output-format", "text").out.decode()) == wanted
    for arguments in (["-o", tmp_path / "t.txt"], ["-o", tmp_path / "t.out", "--output-format", "text"]):
        assert run(sequences, *arguments).status == 0
        assert bed(Path(arguments[1]).read_text()) == wanted


def test_lower_case_and_uracil_are_read_as_bases(run: Run, write: Write, sequences: Path) -> None:
    other = write("u.fa", FASTA.replace(b"T", b"u").lower())
    assert bed(run(other).out.decode()) == bed(run(sequences).out.decode())


def test_device_type_and_threads(run: Run, sequences: Path) -> None:
    assert bed(run(sequences, "--device", "cpu", "-t", 2).out.decode()) == bed(run(sequences).out.decode())
    assert bed(run(sequences, "--dtype", "bfloat16").out.decode(), dtype="bfloat16")


def test_words_of_mergedna(genoseq: Runner, sequences: Path, tmp_path: Path) -> None:
    import torch

    from genoseq.checkpoints.saving import save
    from genoseq.nets.models.mergedna import MergeDNAConfig, MergeDNAForMaskedLM
    from genoseq.tokenizers import make

    torch.manual_seed(4)
    config = MergeDNAConfig(d_model=16, n_heads=2, local_encoder=2, latent_encoder=1, latent_decoder=1, local_decoder=1)
    net, tokenizer = MergeDNAForMaskedLM(config), make("nucleotide")
    save(net, tokenizer, tmp_path / "net")
    cut = segmenter(net, tokenizer)
    wanted = [line for name, text in SEQUENCES for line in cut.segment(text).bed_lines(name)]
    assert bed(genoseq("segment", sequences, "-m", tmp_path / "net", "-t", 1).out.decode()) == wanted


def test_standard_input_and_compressed_files(run: Run, write: Write, sequences: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = bed(run(sequences).out.decode())
    assert bed(run(write("s.fa.gz", gzip.compress(FASTA))).out.decode()) == wanted
    assert bed(run(write("s.fa.zst", zstandard.compress(FASTA))).out.decode()) == wanted
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FASTA)))
    assert bed(run("-").out.decode()) == wanted


def test_empty_sequences_and_files(run: Run, write: Write) -> None:
    done = run(write("e.fa", b">a\n\n>b\nACGT\n"))
    assert [line.split("\t")[0] for line in bed(done.out.decode())][:1] == ["b"]
    assert "1 of 2 sequences are empty and left out" in done.err
    done = run(write("n.fa", b""))
    assert bed(done.out.decode()) == [] and "no sequences" in done.err


@pytest.mark.parametrize(
    ("arguments", "kind", "status", "message"),
    [
        (["s.fa"], "causal", 2, "MambaForCausalLM does not choose its own tokens: H-Net and MergeDNA do"),
        (["s.fa", "--stage", "2"], "chunking", 2, "this net has the stages 0 to 1"),
        (["s.fa", "--stage", "-1"], "chunking", 2, "--stage"),
        (["s.fa", "-o", "t.gff"], "chunking", 2, "ends in .bed or .txt, or give --output-format"),
        (["s.fa", "-o", "t.bed", "--output-format", "text"], "chunking", 2, "--output-format text contradicts the ending"),
        (["none.fa"], "chunking", 1, "none.fa"),
        (["p.fa"], "chunking", 1, "p.fa, record 1 (line 2): illegal character 'I'"),
        (["s.fa", "-o", "s.fa", "--output-format", "bed"], "chunking", 2, "s.fa"),
    ],
)
def test_refusals(
    run: Run, write: Write, sequences: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], kind: str, status: int,
    message: str,
) -> None:  # fmt: skip
    write("p.fa", b">p\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ\n")
    monkeypatch.chdir(sequences.parent)
    done = run(*arguments, kind=kind)
    assert (done.status, done.out) == (status, b"")
    assert message in done.err
    assert not (sequences.parent / "t.gff").exists() and not (sequences.parent / "t.bed").exists()
    assert sequences.read_bytes() == FASTA
