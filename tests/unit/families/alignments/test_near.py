"""Nearest sequences by embeddings, and the file they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_proteins import save_esm2

import genoseq
from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.near import DatabaseEmbeddings, read_database_embeddings
from genoseq.infer.embedding import Embedded, embed
from genoseq.infer.embedding_files import embedding_file
from genoseq.infer.provenance import provenance_of

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
DRAW = np.random.default_rng(3)
PROTEINS = ["".join(DRAW.choice(list(LETTERS), 50)) for _ in range(12)]
OPTIONS = {
    "pool": "mean", "layer": None, "keep_special": False, "strand": "forward", "window": None, "overlap": 0, "dtype": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_esm2(tmp_path_factory.mktemp("near") / "esm")


@pytest.fixture(scope="module")
def file(net: Path) -> Path:
    """Embeddings of the proteins, and of one without letters."""
    model, tokenizer = genoseq.load(str(net))
    path = net.parent / "db.npz"
    with embedding_file(path, provenance_of(model, tokenizer, name=str(net), options=OPTIONS), pooled=True) as sink:
        for number, values in enumerate(embed(model, tokenizer, PROTEINS).values):
            sink.add(Embedded(f"p{number}", 50, values))
        sink.add(Embedded("empty", 0, np.full(16, np.nan, np.float32)))
    return path


def test_the_nearest_are_those_of_plain_cosines(file: Path) -> None:
    database = read_database_embeddings(file)
    query = database.embed(PROTEINS[4])
    np.testing.assert_allclose(query, database.values[4], atol=1e-5)
    values = database.values[:12]
    centred, asked = values - values.mean(axis=0), query - values.mean(axis=0)
    cosines = [float(one @ asked / np.linalg.norm(one) / np.linalg.norm(asked)) for one in centred]
    ranked = sorted(range(12), key=lambda i: -cosines[i])
    for number in (1, 3, 12, 50):
        assert database.nearest(query, number) == {f"p{i}" for i in ranked[:number]}


def test_another_net_is_refused(file: Path, tmp_path: Path) -> None:
    other = save_esm2(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match=r"is not the net that .*db\.npz was made with"):
        read_database_embeddings(file).embed(PROTEINS[0], model=str(other))


def test_another_tokenizer_is_refused(file: Path) -> None:
    database = read_database_embeddings(file)._replace(tokenizer_sha256="0" * 64)
    with pytest.raises(UsageError, match="was made with another tokenizer than lies beside"):
        database.embed(PROTEINS[0])


def test_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; make it with `genoseq embed"):
        read_database_embeddings(tmp_path / "none.npz")
    np.savez(tmp_path / "x.npz", a=np.zeros(2))
    with pytest.raises(InputError, match="holds no embeddings"):
        read_database_embeddings(tmp_path / "x.npz")
    (tmp_path / "cut.npz").write_bytes(file.read_bytes()[:400])
    with pytest.raises(InputError, match=r"cut\.npz: holds no embeddings, or is damaged"):
        read_database_embeddings(tmp_path / "cut.npz")
    with np.load(file) as archive:
        np.savez(tmp_path / "t.npz", **(dict(archive) | {"embeddings": archive["embeddings"][:3]}))
    with pytest.raises(InputError, match="vectors of tokens"):
        read_database_embeddings(tmp_path / "t.npz")


def test_vectors_are_centred() -> None:
    values = np.array([[10, 10.1], [10, 9.9], [10.2, 10]], np.float32)  # all but equal by the plain cosine
    database = DatabaseEmbeddings("x", ("up", "down", "right"), values, "net", "", "", {})
    assert database.nearest(np.array([10, 10.2], np.float32), 1) == {"up"}
    assert database.nearest(np.array([10.4, 10], np.float32), 1) == {"right"}
