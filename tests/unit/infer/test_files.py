"""Files of embeddings and scores: what is in them, that others can read them, and that memory does not grow with them."""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
from pathlib import Path

import anndata
import numpy as np
import pyarrow.parquet
import pytest
import torch
from tiny_nets import KmerTokens, LetterTokens, causal, drawn, masked

from genoseq.errors import UsageError
from genoseq.infer import embedding_files
from genoseq.infer.embedding import Embedded
from genoseq.infer.embedding_files import ENDINGS, FORMAT, check_format, embedding_file
from genoseq.infer.likelihood import Score
from genoseq.infer.npz import ArchiveWriter
from genoseq.infer.provenance import Provenance, model_hash, provenance_of, tokenizer_hash
from genoseq.infer.score_files import check_per_base_name, per_base_file, score_row, table
from genoseq.tokenizers.nucleotide import HyenaDNATokenizer

SOURCE = Provenance("a model", "0" * 64, "1" * 64, {"pool": "mean"})


def vectors(count: int, width: int = 5) -> list[Embedded]:
    values = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    return [Embedded(f"r{i % 4}", 10 * i, values[i]) for i in range(count)]


def tokens(counts: list[int], width: int = 5) -> list[Embedded]:
    values = np.random.default_rng(0).normal(size=(sum(counts), width)).astype(np.float32)
    ends = np.cumsum(counts)
    return [
        Embedded(f"r{i % 2}", 3 * n, values[end - n : end], 3 * np.arange(n), 3 * np.arange(n) + 3)
        for i, (n, end) in enumerate(zip(counts, ends, strict=True))
    ]


def written(path: Path, given: list[Embedded], *, pooled: bool) -> Path:
    with embedding_file(path, SOURCE, pooled=pooled) as sink:
        for one in given:
            sink.add(one)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    return path


def told(text: str) -> None:
    content = json.loads(text)
    assert (content["format"], content["version"], content["model"]) == (FORMAT, 1, "a model")
    assert (content["model_sha256"], content["tokenizer_sha256"]) == ("0" * 64, "1" * 64)
    assert content["options"] == {"pool": "mean"}


@pytest.fixture(params=[1 << 24, 1], ids=["one write", "a write for each"])
def gathered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_files, "GATHERED", request.param)


@pytest.mark.parametrize("count", [0, 9])
@pytest.mark.usefixtures("gathered")
def test_one_vector_per_sequence(tmp_path: Path, count: int) -> None:
    given = vectors(count)
    expected = np.array([one.values for one in given], np.float32).reshape(count, 5 if count else 0)
    names, lengths = [one.name for one in given], [one.length for one in given]

    with np.load(written(tmp_path / "a.npz", given, pooled=True)) as found:
        assert sorted(found) == ["embeddings", "lengths", "metadata", "names"]
        np.testing.assert_array_equal(found["embeddings"], expected)
        assert found["embeddings"].dtype == np.float32
        assert (found["names"].tolist(), found["lengths"].tolist()) == (names, lengths)
        told(str(found["metadata"]))
    (tmp_path / "a.npz").unlink()

    rows = pyarrow.parquet.read_table(written(tmp_path / "a.parquet", given, pooled=True))
    assert rows.column_names == ["name", "length", "embedding"]
    assert (rows["name"].to_pylist(), rows["length"].to_pylist()) == (names, lengths)
    assert np.array(rows["embedding"].to_pylist(), np.float32).reshape(expected.shape).tolist() == expected.tolist()
    told(rows.schema.metadata[b"genoseq"].decode())
    (tmp_path / "a.parquet").unlink()

    data = anndata.read_h5ad(written(tmp_path / "a.h5ad", given, pooled=True))
    np.testing.assert_array_equal(data.X, expected)
    assert (data.obs["name"].tolist(), data.obs["length"].tolist()) == (names, lengths)
    assert data.obs_names.tolist() == ["r0", "r1", "r2", "r3", "r0-1", "r1-1", "r2-1", "r3-1", "r0-2"][:count]
    assert data.var_names.tolist() == [f"dim_{i}" for i in range(expected.shape[1])]
    told(data.uns["genoseq"])


@pytest.mark.parametrize("counts", [[], [3, 1, 4]])
@pytest.mark.usefixtures("gathered")
def test_one_vector_per_token(tmp_path: Path, counts: list[int]) -> None:
    given = tokens(counts)
    expected = np.concatenate([one.values for one in given]) if given else np.zeros((0, 0), np.float32)
    records = [number for number, n in enumerate(counts) for _ in range(n)]
    starts = [3 * i for n in counts for i in range(n)]

    with np.load(written(tmp_path / "a.npz", given, pooled=False)) as found:
        assert sorted(found) == ["embeddings", "ends", "lengths", "metadata", "names", "offsets", "starts"]
        np.testing.assert_array_equal(found["embeddings"], expected)
        assert found["offsets"].tolist() == [0, *np.cumsum(counts).tolist()]
        assert (found["starts"].tolist(), found["ends"].tolist()) == (starts, [start + 3 for start in starts])
        assert found["names"].tolist() == [one.name for one in given]
        told(str(found["metadata"]))
    (tmp_path / "a.npz").unlink()

    rows = pyarrow.parquet.read_table(written(tmp_path / "a.parquet", given, pooled=False))
    assert rows.column_names == ["record", "name", "start", "end", "embedding"]
    assert (rows["record"].to_pylist(), rows["start"].to_pylist()) == (records, starts)
    assert rows["name"].to_pylist() == [f"r{number % 2}" for number in records]
    assert np.array(rows["embedding"].to_pylist(), np.float32).reshape(expected.shape).tolist() == expected.tolist()
    (tmp_path / "a.parquet").unlink()

    data = anndata.read_h5ad(written(tmp_path / "a.h5ad", given, pooled=False))
    np.testing.assert_array_equal(data.X, expected)
    assert (data.obs["record"].tolist(), data.obs["start"].tolist()) == (records, starts)
    assert data.obs["name"].tolist() == [f"r{number % 2}" for number in records]
    assert data.obs_names.tolist() == ["r0:0", "r0:1", "r0:2", "r1:0", "r0-1:0", "r0-1:1", "r0-1:2", "r0-1:3"][: len(records)]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_run_that_fails_leaves_what_was_there(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), embedding_file(path, SOURCE, pooled=True) as sink:
        sink.add(vectors(1)[0])
        raise ZeroDivisionError
    assert [found.read_bytes() for found in tmp_path.iterdir()] == [b"before"]


def test_names_of_other_formats_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"-o a.csv: end the name in .npz, .parquet or .h5ad"):
        check_format("a.csv")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for ending, package in ((".parquet", "pyarrow"), (".h5ad", "h5py")):
        with pytest.raises(
            UsageError, match=rf"writing {ending} needs {package}: pip install 'genoseq\[tables\]', or choose .npz"
        ):
            check_format(f"a{ending}")
    assert check_format("A.NPZ") == ".npz"


def test_arrays_in_pieces(tmp_path: Path) -> None:
    import contextlib

    with contextlib.ExitStack() as stack:
        archive = ArchiveWriter(tmp_path / "a.npz", stack)
        archive.append("x", np.arange(6, dtype=">i2").reshape(2, 3))
        archive.append("x", np.zeros((1, 3), np.int16))
        with pytest.raises(ValueError, match="rows of x have the shape"):
            archive.append("x", np.zeros((1, 2), np.int16))
        archive.finish(y=np.array(["a", "bc"]))
    with np.load(tmp_path / "a.npz") as found:
        assert found["x"].tolist() == [[0, 1, 2], [3, 4, 5], [0, 0, 0]]
        assert found["y"].tolist() == ["a", "bc"]


def scored(name: str, values: list[float], step: int = 1) -> Score:
    places = step * np.arange(len(values))
    known = sum(not math.isnan(value) for value in values)
    total = float(np.nansum(values)) if known else math.nan
    return Score(name, step * len(values), step * known, 0, 0, known, total, np.array(values, np.float32), places, places + step)


def test_rows_of_scores() -> None:
    assert score_row(scored("r", [-1.0, -2.0, math.nan])) == "r\t3\t2\t0\t0\t2\t-3.0000\t2.164043\t4.48169\n"
    assert score_row(scored("r", [])) == "r\t0\t0\t0\t0\t0\tNA\tNA\tNA\n"


def test_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.tsv"
    for target in (path, None):
        with table(target, '{"a": 1}', ("x", "y")) as file:
            file.write("1\t2\n")
    assert path.read_text() == capsys.readouterr().out == '#{"a": 1}\nx\ty\n1\t2\n'


@pytest.mark.parametrize("name", ["a.bedgraph", "a.bg", "a.bedGraph.gz"])
def test_bedgraph(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    check_per_base_name(str(path))
    with per_base_file(path, '{"a": 1}') as sink:
        sink.add(scored("r1", [math.nan, -1.5, -1.5, math.nan, math.nan, -0.1234567]))
        sink.add(scored("e", []))
        sink.add(scored("r2", [-3.0], step=3))
    content = path.read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    assert text == '#{"a": 1}\nr1\t1\t3\t-1.5\nr1\t5\t6\t-0.123457\nr2\t0\t3\t-1\n'


def test_archive_per_base(tmp_path: Path) -> None:
    for name, given in (
        ("a.npz", [scored("r1", [math.nan, -1.5]), scored("e", []), scored("r2", [-3.0], step=3)]),
        ("b.npz", []),
    ):
        with per_base_file(tmp_path / name, '{"a": 1}') as sink:
            for one in given:
                sink.add(one)
        with np.load(tmp_path / name) as found:
            assert found["names"].tolist() == [one.name for one in given]
            assert found["offsets"].tolist() == ([0, 2, 2, 5] if given else [0])
            np.testing.assert_array_equal(found["log_likelihoods"], [math.nan, -1.5, -1, -1, -1] if given else [])
            assert str(found["metadata"]) == '{"a": 1}'


def test_names_of_other_formats_per_base() -> None:
    with pytest.raises(UsageError, match=r"--per-base a.wig: end the name in .npz, .bedgraph, .bg, .bedgraph.gz or .bg.gz"):
        check_per_base_name("a.wig")


def test_hashes_tell_models_and_tokenizers_apart() -> None:
    net = causal()
    assert model_hash(net) == model_hash(causal())
    assert model_hash(net) != model_hash(causal(seed=1))
    assert model_hash(net) != model_hash(causal().to(torch.bfloat16))
    assert model_hash(net) != model_hash(masked())
    assert tokenizer_hash(LetterTokens()) == tokenizer_hash(LetterTokens())
    assert tokenizer_hash(LetterTokens()) != tokenizer_hash(KmerTokens())
    assert tokenizer_hash(HyenaDNATokenizer()) == HyenaDNATokenizer().digest
    made = provenance_of(net, LetterTokens(), name="n", options={"x": drawn(2)})
    assert (made.name if hasattr(made, "name") else made.model) == "n"
    assert made.model_sha256 == model_hash(net)
