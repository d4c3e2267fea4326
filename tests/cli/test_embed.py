"""`genoseq embed`: every option shows its effect, and bad input is told."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pyarrow.parquet
import pytest
import torch
from runs import Runner
from saved_models import LIMIT, copied, loaded, saved

from genoseq.infer import embed
from genoseq.infer.embedding import POOLINGS
from genoseq.seqs.alphabet import decode
from genoseq.seqs.fastx import read_fastx

Write = Callable[[str, bytes], Path]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def drawn(length: int, seed: int = 1) -> str:
    return decode(np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8)).decode()


def fasta(*lengths: int) -> bytes:
    return "".join(f">r{i} of {n}\n{drawn(n, i)}\n" for i, n in enumerate(lengths)).encode()


@pytest.fixture
def sequences(write: Write) -> Path:
    """Five sequences of different lengths."""
    return write("s.fa", fasta(40, 7, 100, 1, 63))


@pytest.fixture
def run(genoseq: Runner, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Embed into a .npz file; gives its arrays."""

    def embedded(*arguments: object, kind: str = "causal") -> dict[str, Any]:
        out = tmp_path / "out.npz"
        threads = () if "-t" in arguments else ("-t", 1)  # small nets: on a busy machine several threads wait for each other
        done = genoseq("embed", *arguments, "-m", saved(kind), "-o", out, *threads)
        assert (done.status, done.out) == (0, b""), done.err
        with np.load(out) as found:
            return dict(found)

    return embedded


def test_the_vectors_are_those_of_the_api(run: Callable[..., dict[str, Any]], sequences: Path) -> None:
    found = run(sequences)
    expected = embed(*loaded("causal"), read_fastx(sequences))
    assert found["names"].tolist() == [f"r{i}" for i in range(5)]
    assert found["lengths"].tolist() == [40, 7, 100, 1, 63]
    np.testing.assert_allclose(found["embeddings"], expected.values, **CLOSE)
    told = json.loads(str(found["metadata"]))
    assert told["format"] == "genoseq.embeddings"
    assert told["model"] == str(saved("causal"))
    assert told["options"] == {
        "strand": "forward",
        "pool": "mean",
        "layer": None,
        "keep_special": False,
        "window": None,
        "overlap": 0,
        "dtype": "float32",
    }
    assert len(told["model_sha256"]) == len(told["tokenizer_sha256"]) == 64


def test_formats_hold_the_same(genoseq: Runner, run: Callable[..., dict[str, Any]], sequences: Path, tmp_path: Path) -> None:
    expected = run(sequences)
    for ending in ("parquet", "h5ad"):
        assert genoseq("embed", sequences, "-m", saved("causal"), "--output", tmp_path / f"o.{ending}").status == 0
    table = pyarrow.parquet.read_table(tmp_path / "o.parquet")
    data = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert table["name"].to_pylist() == data.obs_names.tolist() == expected["names"].tolist()
    np.testing.assert_allclose(np.array(table["embedding"].to_pylist()), expected["embeddings"], **CLOSE)
    np.testing.assert_allclose(data.X, expected["embeddings"], **CLOSE)


@pytest.mark.parametrize("pool", [pool for pool in POOLINGS if pool != "cls"])
def test_pool(run: Callable[..., dict[str, Any]], sequences: Path, pool: str) -> None:
    found = run(sequences, "--pool", pool)
    expected = embed(*loaded("causal"), read_fastx(sequences), pool=pool).values
    np.testing.assert_allclose(found["embeddings"], np.concatenate(expected) if pool == "none" else expected, **CLOSE)
    if pool == "none":
        assert found["offsets"].tolist() == [0, 40, 47, 147, 148, 211]


def test_pool_cls_needs_a_token_in_front(run: Callable[..., dict[str, Any]], genoseq: Runner, write: Write) -> None:
    path = write("p.fa", b">p\nMKVLAAEF\n")
    found = run(path, "--pool", "cls", kind="protein")
    expected = embed(*loaded("protein"), ["MKVLAAEF"], pool="none", special=True).values[0][0]
    np.testing.assert_allclose(found["embeddings"][0], expected, **CLOSE)
    done = genoseq("embed", write("s.fa", fasta(9)), "-m", saved("masked"), "--pool", "cls", "-o", "x.npz")
    assert (done.status, "puts no special token in front of a sequence" in done.err) == (2, True)


def test_layer(run: Callable[..., dict[str, Any]], genoseq: Runner, sequences: Path) -> None:
    layers = {layer: run(sequences, "--layer", layer)["embeddings"] for layer in (0, 1, -3, -2)}
    np.testing.assert_allclose(layers[0], layers[-3], **CLOSE)
    np.testing.assert_allclose(layers[1], layers[-2], **CLOSE)
    assert not np.allclose(layers[0], layers[1])
    np.testing.assert_allclose(layers[1], embed(*loaded("causal"), read_fastx(sequences), layer=1).values, **CLOSE)
    done = genoseq("embed", sequences, "-m", saved("causal"), "--layer", 9, "-o", "x.npz")
    assert (done.status, "layer 9 does not exist: this net has the layers 0 (embeddings) to 2" in done.err) == (2, True)


def test_keep_special(run: Callable[..., dict[str, Any]], sequences: Path) -> None:
    found = run(sequences, "--pool", "none", "--keep-special")
    assert found["offsets"].tolist() == [0, 41, 49, 150, 152, 216]  # with [SEP]


def test_strand(run: Callable[..., dict[str, Any]], sequences: Path) -> None:
    found = {strand: run(sequences, "--strand", strand)["embeddings"] for strand in ("forward", "reverse", "both")}
    np.testing.assert_allclose(found["both"], (found["forward"] + found["reverse"]) / 2, **CLOSE)
    assert not np.allclose(found["forward"], found["reverse"], atol=1e-4)
    np.testing.assert_allclose(found["forward"], run(sequences)["embeddings"], **CLOSE)


def test_window_and_overlap(run: Callable[..., dict[str, Any]], genoseq: Runner, sequences: Path, write: Write) -> None:
    limited = run(sequences, "--window", 30, "--overlap", 10, kind="limited")
    expected = embed(*loaded("limited"), read_fastx(sequences), window=30, overlap=10).values
    np.testing.assert_allclose(limited["embeddings"], expected, **CLOSE)
    assert not np.allclose(run(sequences, "--window", 30, kind="limited")["embeddings"], limited["embeddings"])
    long = write("long.fa", fasta(200))
    done = genoseq("embed", long, "-m", saved("limited"), "-o", "x.npz", "--keep-special")
    assert done.status == 2
    assert f"sequence 'r0' has 201 tokens (1 of them special), this net takes at most {LIMIT}: cut it into windows" in done.err
    assert f"(--window {LIMIT - 1}, with --overlap)" in done.err
    done = genoseq("embed", long, "-m", saved("limited"), "-o", "x.npz", "--window", LIMIT + 1)
    assert (done.status, f"give --window {LIMIT} or less" in done.err) == (2, True)
    assert run(long, "--window", LIMIT, "--overlap", 20, kind="limited")["embeddings"].shape == (1, 16)
    assert genoseq("embed", long, "-m", saved("limited"), "-o", "x.npz", "--overlap", 3).status == 2


def test_batch_tokens_change_nothing_but_the_batches(
    run: Callable[..., dict[str, Any]], sequences: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genoseq.infer import embedding

    sizes: list[int] = []
    compute = embedding._Embedder.compute
    monkeypatch.setattr(embedding._Embedder, "compute", lambda self, batch: sizes.append(len(batch)) or compute(self, batch))  # type: ignore[func-returns-value]
    one = run(sequences, "--batch-tokens", 1)["embeddings"]
    assert sizes == [1] * 5
    np.testing.assert_allclose(one, run(sequences)["embeddings"], **CLOSE)
    assert sizes == [1] * 5 + [5]


def test_device_dtype_and_threads(
    run: Callable[..., dict[str, Any]], genoseq: Runner, sequences: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(sequences, "--device", "cpu")["embeddings"]
    found = run(sequences, "--dtype", "bfloat16")
    assert json.loads(str(found["metadata"]))["options"]["dtype"] == "bfloat16"
    assert found["embeddings"].dtype == np.float32
    assert 1e-4 < np.abs(found["embeddings"] - expected).max() < 0.5
    if not torch.cuda.is_available():
        done = genoseq("embed", sequences, "-m", saved("causal"), "-o", "x.npz", "--device", "cuda")
        assert (done.status, "PyTorch finds no CUDA device here" in done.err) == (2, True)
    before = torch.get_num_threads()
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    run(sequences, "-t", 3)
    assert used == [3, before]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same(run: Callable[..., dict[str, Any]], sequences: Path) -> None:
    found = run(sequences, "--device", "cuda")["embeddings"]
    np.testing.assert_allclose(found, run(sequences, "--device", "cpu")["embeddings"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("content", [gzip.compress(fasta(20, 30)), b"@a\nACGT\n+\nIIII\n", b">a\r\nAC\r\nGT\r\n"])
def test_compressed_fastq_and_wrapped_input(run: Callable[..., dict[str, Any]], write: Write, content: bytes) -> None:
    path = write("in", content)
    np.testing.assert_allclose(run(path)["embeddings"], embed(*loaded("causal"), read_fastx(path)).values, **CLOSE)


def test_standard_input(run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(fasta(20, 30))))
    assert run("-")["names"].tolist() == ["r0", "r1"]


def test_no_sequences_give_an_empty_file_and_a_warning(genoseq: Runner, write: Write, tmp_path: Path) -> None:
    for ending in ("npz", "parquet", "h5ad"):
        done = genoseq("embed", write("e.fa", b""), "-m", saved("causal"), "-o", tmp_path / f"o.{ending}")
        assert (done.status, "e.fa: no sequences" in done.err) == (0, True)
    with np.load(tmp_path / "o.npz") as found:
        assert found["embeddings"].shape == (0, 0)


def test_only_unknown_bases_are_told(genoseq: Runner, write: Write, tmp_path: Path) -> None:
    path = write("n.fa", b">a\nNNNNN\n>b\nACGT\n>c\nnnnRy\n")
    done = genoseq("embed", path, "-m", saved("causal"), "-o", tmp_path / "o.npz")
    assert (done.status, "2 of 3 sequences hold ambiguity codes only" in done.err) == (0, True)
    assert genoseq("-q", "embed", path, "-m", saved("causal"), "-o", tmp_path / "o.npz").err == ""


def test_empty_sequences_keep_their_rows(
    genoseq: Runner, run: Callable[..., dict[str, Any]], write: Write, tmp_path: Path
) -> None:
    path = write("e.fa", b">a\nACGT\n>b\n\n")
    for ending in ("npz", "parquet", "h5ad"):
        for pool in ("mean", "none"):
            done = genoseq("embed", path, "-m", saved("causal"), "-o", tmp_path / f"o.{ending}", "--pool", pool)
            assert (done.status, "1 of 2 sequences are empty" in done.err) == (0, True)
    found = run(path)
    assert (found["names"].tolist(), found["lengths"].tolist()) == (["a", "b"], [4, 0])
    assert np.isnan(found["embeddings"]).all(axis=1).tolist() == [False, True]
    assert run(path, "--pool", "none")["offsets"].tolist() == [0, 4, 4]


def test_tokenizer_is_chosen_or_asked_for(genoseq: Runner, sequences: Path, tmp_path: Path) -> None:
    """A folder without a tokenizer is refused with the remedy, which works."""
    import genoseq as package

    net, _ = loaded("causal")
    package.save(net, None, tmp_path / "bare")
    out = tmp_path / "o.npz"
    done = genoseq("embed", sequences, "-m", tmp_path / "bare", "-o", out)
    assert (done.status, "no tokenizer lies beside this model" in done.err, "--tokenizer" in done.err) == (2, True, True)
    name = "hyenadna"
    chosen = package.tokenizers.make(name)
    assert genoseq("embed", sequences, "-m", tmp_path / "bare", "-o", out, "--tokenizer", name).status == 0
    with np.load(out) as found:
        np.testing.assert_allclose(found["embeddings"], embed(net, chosen, read_fastx(sequences)).values, **CLOSE)
    done = genoseq("embed", sequences, "-m", tmp_path / "bare", "-o", out, "--tokenizer", "evo")
    assert (done.status, "EvoTokenizer gives letters ids up to 84" in done.err) == (2, True)
    done = genoseq("embed", sequences, "-m", tmp_path / "bare", "-o", out, "--tokenizer", "nucleotid")
    assert (done.status, "did you mean 'nucleotide'" in done.err) == (2, True)


WRONG = {
    "protein": (b">a\nMKVLAAEF\n", 1, "record 1 (line 2): illegal character 'L'"),
    "protein of nucleotide letters": (b">a\nMKVWAHDGRSYKM\n", 1, "this may be a protein; this model reads DNA"),
    "truncated": (gzip.compress(fasta(400))[:-30], 1, "the gzip data are truncated"),
    "no sequences but text": (b"hello\n", 1, "is neither FASTA nor FASTQ"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_bad_sequences(genoseq: Runner, write: Write, tmp_path: Path, kind: str) -> None:
    content, status, message = WRONG[kind]
    path = write("bad.fa", content)
    for ending in ("npz", "h5ad"):
        done = genoseq("embed", path, "-m", saved("causal"), "-o", tmp_path / f"o.{ending}")
        assert (done.status, done.out) == (status, b"")
        assert message in done.err
        assert [found.name for found in tmp_path.iterdir()] == ["bad.fa"]


def test_a_protein_model_reads_proteins(run: Callable[..., dict[str, Any]], genoseq: Runner, write: Write) -> None:
    assert run(write("p.fa", b">p\nMKVLAAEF*\n"), kind="protein")["lengths"].tolist() == [9]
    done = genoseq("embed", write("q.fa", b">p\nMK1\n"), "-m", saved("protein"), "-o", "x.npz")
    assert (done.status, "illegal character '1' in the sequence, expected amino acids" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["missing.fa", "-o", "o.npz"], 1, "missing.fa: no such file"),
        (["s.fa", "-o", "o.csv"], 2, "end the name in .npz, .parquet or .h5ad"),
        (["s.fa", "-o", "no/o.npz"], 1, "does not exist"),
        (["s.fa", "-o", "s.npz"], 2, "is an input: writing it would destroy it"),
        (["s.fa"], 2, "Missing option '-o'"),
        (["s.fa", "-o", "o.npz", "--pool", "max"], 2, "'max' is not one of"),
        (["s.fa", "-o", "o.npz", "--window", "0"], 2, "--window"),
    ],
)
def test_wrong_usage(
    genoseq: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.fa").write_bytes(fasta(9))
    if "s.npz" in arguments:
        os.link("s.fa", "s.npz")
    before = sorted(os.listdir())
    done = genoseq("embed", *arguments, "-m", saved("causal"))
    assert (done.status, sorted(os.listdir())) == (status, before)
    assert message in done.err


def test_models_that_cannot_be_used(genoseq: Runner, sequences: Path, tmp_path: Path) -> None:
    missing = genoseq("embed", sequences, "-m", tmp_path / "nothing", "-o", tmp_path / "o.npz")
    assert missing.status in (1, 2)
    assert "nothing" in missing.err
    broken = copied("causal", tmp_path)
    (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:-100])
    done = genoseq("embed", sequences, "-m", broken, "-o", tmp_path / "o.npz")
    assert done.status == 1
    assert "model.safetensors" in done.err
    assert not (tmp_path / "o.npz").exists()


def test_any_net_can_embed(run: Callable[..., dict[str, Any]], sequences: Path) -> None:
    assert run(sequences, kind="classifier")["embeddings"].shape == (5, 16)
