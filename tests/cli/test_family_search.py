"""``genoseq family search``: every option shows its effect; wrong input is told in a sentence."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from aligned_families import LETTERS, family_rows
from runs import Runner
from tiny_proteins import save_esm2

ROWS = family_rows(30, 80, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A query, an alignment, and a database of near, far, short and other proteins."""
    made = tmp_path_factory.mktemp("search")
    rng = np.random.default_rng(1)
    far = ["".join(one if rng.random() < 0.36 else LETTERS[rng.integers(0, 20)] for one in row) for row in ROWS[:12]]
    other = ["".join(LETTERS[code] for code in rng.integers(0, 20, 120)) for _ in range(60)]
    records = [(f"near{i}", row) for i, row in enumerate(ROWS[1:15])] + [(f"far{i}", row) for i, row in enumerate(far)]
    records += [("short", ROWS[16][:30])] + [(f"other{i}", row) for i, row in enumerate(other)]
    (made / "db.fa").write_text("".join(f">{name}\n{row}\n" for name, row in records))
    (made / "db.fa.gz").write_bytes(gzip.compress((made / "db.fa").read_bytes()))
    (made / "genes.fa").write_text(f">gene\n{'ATGGCACGTTAA' * 20}\n")
    (made / "wt.fa").write_text(f">wt/21-100 my protein\n{ROWS[0]}\n")
    (made / "family.a3m").write_text("".join(f">r{i}\n{row}\n" for i, row in enumerate([ROWS[0], *ROWS[15:30]])))
    (made / "family.fa").write_text((made / "family.a3m").read_text().replace("r0", "r0/5-84"))
    return made


def names(text: str) -> list[str]:
    return [line[1:] for line in text.splitlines() if line.startswith(">")]


def test_an_alignment_and_a_table(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    done = genoseq(
        "family", "search", folder / "wt.fa", folder / "db.fa.gz", "-o", tmp_path / "x.a3m", "--hits", tmp_path / "x.tsv"
    )
    assert done.status == 0 and done.out == b"", done.err
    text = (tmp_path / "x.a3m").read_text()
    assert text.startswith(f">wt/21-100\n{ROWS[0]}\n")
    found = names(text)
    assert {name.split("/")[0] for name in found} >= {f"near{i}" for i in range(14)}
    assert not any(name.startswith("other") for name in found)
    head, columns, *rows = (tmp_path / "x.tsv").read_text().splitlines()
    metadata = json.loads(head[1:])
    assert (metadata["format"], metadata["version"], metadata["query"]) == ("genoseq.family-hits", 2, "wt/21-100")
    assert columns.split("\t")[:4] == ["name", "start", "end", "evalue"]
    assert ["{}/{}-{}".format(*row.split("\t")[:3]) for row in rows] == found[1:]
    best = rows[0].split("\t")
    assert float(best[3]) < 1e-20 and 0.9 < float(best[8]) <= 1 and float(best[9]) > 0.6
    assert columns.split("\t")[5:7] == ["part_c_evalue", "part_i_evalue"]
    assert all(float(row.split("\t")[5]) <= 1e-3 for row in rows)  # what --evalue is about
    assert all(float(row.split("\t")[5]) <= float(row.split("\t")[6]) for row in rows)
    assert "there is no wild type" not in done.err
    assert "hits among 87 sequences" in done.err


def test_standard_output_and_input(genoseq: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = genoseq("family", "search", folder / "wt.fa", folder / "db.fa")
    assert plain.status == 0
    with open(folder / "wt.fa") as given:
        monkeypatch.setattr("sys.stdin", given)
        assert genoseq("family", "search", "-", folder / "db.fa", "-o", "-").out == plain.out


def test_a_profile_without_a_wild_type(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    out, hits = tmp_path / "x.a3m", tmp_path / "x.tsv"
    done = genoseq("family", "search", folder / "family.fa", folder / "db.fa", "-o", out, "--hits", hits)
    assert done.status == 0, done.err
    assert f"{out}: there is no wild type, the first row is none: read it with --wild-type none" in done.err
    assert json.loads(hits.read_text().split("\n")[0][1:])["query"] == "family.fa"
    assert names(out.read_text())[0] == "{}/{}-{}".format(*hits.read_text().split("\n")[2].split("\t")[:3])
    rows = out.read_text().split("\n")[1::2]
    assert {sum(not letter.islower() for letter in row) for row in rows} == {80}


def test_options(genoseq: Runner, folder: Path) -> None:
    def found(*options: object, query: str = "wt.fa") -> set[str]:
        done = genoseq("family", "search", folder / query, folder / "db.fa", *options)
        assert done.status == 0, done.err
        return set(names(done.out.decode()))

    default = found()
    assert len(found("--iterations", 1)) < len(default)
    assert len(found("--evalue", 1e-25)) < len(default)
    assert len(found("--bits-per-residue", 1.0)) < len(default)
    assert "short/1-30" in default or any(name.startswith("short/") for name in default)
    assert not any(name.startswith("short/") for name in found("--min-coverage", 0.7))
    assert found("--threads", 2) == default
    assert "r0" in found(query="family.a3m")
    assert not found("--wild-type", "none", query="family.a3m") & {"r0", "r5"}
    assert "r5" in found("--wild-type", "r5", query="family.a3m")
    assert "r0/5-84" not in found(query="family.fa")
    assert "r0/5-84" in found("--alignment-format", "a2m", query="family.fa")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["wt.fa", "absent.fa"], 1, "no such file"),
        (["db.fa", "db.fa"], 1, "sequences of different lengths and no gaps"),
        (["wt.fa", "db.fa", "--evalue", "0"], 2, "--evalue"),
        (["wt.fa", "db.fa", "--evalue", "1", "--bits-per-residue", "1"], 2, "contradict each other"),
        (["wt.fa", "db.fa", "-o", "no/x.a3m"], 1, "does not exist"),
        (["wt.fa", "db.fa", "-o", "db.fa"], 2, "is an input"),
        (["wt.fa", "db.fa", "-o", "x", "--hits", "x"], 2, "two outputs have the same name"),
        (["wt.fa", "db.fa", "--hits", "-"], 2, "both"),
        (["-", "-"], 2, "only one of QUERY and DATABASE"),
        (["wt.fa", "genes.fa"], 1, "genes.fa: holds nucleotides, expected proteins; translate the sequences first"),
        (["genes.fa", "db.fa"], 1, "genes.fa: holds nucleotides, expected proteins"),
        (["family.a3m", "db.fa", "--wild-type", "nobody"], 1, "no row is named 'nobody'"),
    ],
)
def test_bad_input(
    genoseq: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(folder)
    done = genoseq("family", "search", *arguments)
    assert done.status == status and message in done.err and "Traceback" not in done.err


def test_only_the_nearest_by_embeddings(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    net = save_esm2(tmp_path / "esm")
    assert genoseq("embed", folder / "db.fa", "-m", net, "-o", tmp_path / "db.npz", "-t", 1).status == 0
    base = ("family", "search", folder / "wt.fa", folder / "db.fa", "--iterations", 1)
    assert genoseq(*base, "-o", tmp_path / "all.a3m", "--hits", tmp_path / "all.tsv").status == 0
    near = ("--near", tmp_path / "db.npz")
    every = genoseq(*base, *near, "-t", 1)
    assert every.out == (tmp_path / "all.a3m").read_bytes()
    some = genoseq(*base, *near, "--nearest", 20, "--hits", tmp_path / "some.tsv", "-o", tmp_path / "some.a3m")
    assert some.status == 0 and "looking at 20 sequences nearest to the query, of 87" in some.err
    assert "among 87 sequences" in some.err
    head, _, *rows = (tmp_path / "some.tsv").read_text().splitlines()
    assert json.loads(head[1:])["nearest"] == 20
    lines = (tmp_path / "all.tsv").read_text().splitlines()
    # the same E-values, but for the conditional one, which HMMER gives among what was looked at and passed
    assert 0 < len(rows) <= 20 and {_unconditional(row) for row in rows} < {_unconditional(row) for row in lines[2:]}
    moved = net.rename(tmp_path / "moved")
    failed = genoseq(*base, *near)
    assert failed.status == 1 and str(net) in failed.err
    again = genoseq(*base, *near, "--nearest", 20, "--near-model", moved, "-o", tmp_path / "again.a3m")
    assert again.status == 0 and (tmp_path / "again.a3m").read_bytes() == (tmp_path / "some.a3m").read_bytes()


def _unconditional(row: str) -> tuple[str, ...]:
    fields = row.split("\t")
    return tuple(fields[:5] + fields[6:])


def test_what_near_does_not_go_with(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    done = genoseq("family", "search", folder / "wt.fa", folder / "db.fa", "--nearest", 5)
    assert done.status == 2 and "are about --near" in done.err
    net = save_esm2(tmp_path / "esm")
    (tmp_path / "x.fa").write_text(">x\nMKTAYIAKQR\n")
    assert genoseq("embed", tmp_path / "x.fa", "-m", net, "-o", tmp_path / "x.npz", "-t", 1).status == 0
    done = genoseq("family", "search", folder / "wt.fa", folder / "db.fa", "--near", tmp_path / "x.npz")
    assert done.status == 1 and "db.fa: has no sequence 'x', which is to be looked at" in done.err
    done = genoseq(
        "family", "search", folder / "family.a3m", folder / "db.fa", "--wild-type", "none", "--near", tmp_path / "x.npz"
    )
    assert done.status == 2 and "say which row it is" in done.err
