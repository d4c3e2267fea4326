"""Members are found, strangers are not; blocks, threads and order change nothing; jackhmmer finds the same."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aligned_families import LETTERS, family_rows, public_protein_file

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments import homologues
from genoseq.families.alignments.a3m import alignment_of_a3m
from genoseq.families.alignments.homologues import Inclusion, search_homologues
from genoseq.families.alignments.protein_records import read_proteins

NEAR = family_rows(30, 90, seed=7)  # about 3 of 4 residues are those of the first


def strangers(count: int, seed: int = 2) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(LETTERS[code] for code in rng.integers(0, 20, rng.integers(60, 200))) for _ in range(count)]


def far(seed: int = 9) -> list[str]:
    """Members whose every residue was drawn anew in 6 of 10 cases."""
    rng = np.random.default_rng(seed)
    return [
        "".join(NEAR[rng.integers(0, 30)][i] if rng.random() < 0.4 else LETTERS[rng.integers(0, 20)] for i in range(90))
        for _ in range(15)
    ]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 near members (two of them in one sequence, one with flanks), 15 far ones and 150 strangers."""
    path = tmp_path_factory.mktemp("search") / "db.fa"
    records = [(f"near{i}", row) for i, row in enumerate(NEAR[1:18])]
    records += [("double", NEAR[18] + "GSGSGSGSGSGS" + NEAR[19]), ("flanked", "MKTAYIAKQR" + NEAR[20] + "*")]
    records += [(f"far{i}", row) for i, row in enumerate(far())]
    records += [(f"stranger{i}", row) for i, row in enumerate(strangers(150))]
    order = np.random.default_rng(0).permutation(len(records))
    path.write_text("".join(f">{records[i][0]} some words\n{records[i][1]}\n" for i in order))
    return path


def test_members_are_found_and_aligned(database: Path) -> None:
    found = search_homologues(NEAR[0], database, name="wt", start=5)
    alignment = found.aligned.alignment
    assert (alignment.names[0], alignment.query, alignment.start, alignment.length) == ("wt", NEAR[0], 5, 90)
    names = {hit.name for hit in found.hits}
    assert {f"near{i}" for i in range(17)} <= names
    assert not any(name.startswith("stranger") for name in names)
    assert sum(hit.name == "double" for hit in found.hits) == 2
    flanked = next(i for i, hit in enumerate(found.hits) if hit.name == "flanked")
    assert alignment.names[1 + flanked] == f"flanked/{found.hits[flanked].start + 1}-{found.hits[flanked].stop}"
    assert abs(found.hits[flanked].start - 10) <= 3 and found.searched == 184
    sequences = {one.name: one.sequence for one in read_proteins(database)}
    for hit, sequence in zip(found.hits, alignment.sequences[1:], strict=True):
        assert sequences[hit.name][hit.start : hit.stop] == sequence
    assert [hit.evalue for hit in found.hits] == sorted(hit.evalue for hit in found.hits)


def test_iterations_find_more_and_end(database: Path) -> None:
    one = search_homologues(NEAR[0], database, iterations=1)
    more = search_homologues(NEAR[0], database, iterations=8)
    assert {hit.name for hit in one.hits} < {hit.name for hit in more.hits}
    assert more.converged and more.iterations < 8 and not one.converged and one.iterations == 1


def test_blocks_and_threads_change_nothing(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = search_homologues(NEAR[0], database)
    for settings in ({"block": 500}, {"block": 5000, "threads": 3}, {"block": 1}):
        parts = search_homologues(NEAR[0], database, **settings)  # type: ignore[arg-type]
        assert parts.hits == whole.hits and parts.aligned.rows == whole.aligned.rows
    monkeypatch.setattr(homologues, "IN_MEMORY", 2000)
    assert search_homologues(NEAR[0], database, block=700).hits == whole.hits


def test_the_order_of_the_file_changes_nothing(database: Path, tmp_path: Path) -> None:
    whole = search_homologues(NEAR[0], database)
    records = database.read_text().split(">")[1:]
    (tmp_path / "back.fa").write_text("".join(f">{record}" for record in records[::-1]))
    back = search_homologues(NEAR[0], tmp_path / "back.fa")
    assert {(hit.name, hit.start, hit.stop) for hit in back.hits} == {(hit.name, hit.start, hit.stop) for hit in whole.hits}
    assert {hit.name: pytest.approx(hit.bits, abs=0.3) for hit in back.hits} == {hit.name: hit.bits for hit in whole.hits}


def test_inclusion(database: Path) -> None:
    strict = search_homologues(NEAR[0], database, inclusion=Inclusion(evalue=1e-30))
    default = search_homologues(NEAR[0], database)
    bits = search_homologues(NEAR[0], database, inclusion=Inclusion(bits_per_residue=1.0), iterations=1)
    assert 0 < len(strict.hits) < len(default.hits)
    assert bits.hits and all(hit.part_bits >= 90 for hit in bits.hits)
    for wrong in ({"evalue": 0}, {"bits_per_residue": 0}, {"bits_per_residue": 11}):
        with pytest.raises(UsageError, match="expected above 0"):
            Inclusion(**wrong)


def test_an_alignment_as_the_query(database: Path) -> None:
    reference = alignment_of_a3m(["wt/6-95", *(f"x{i}" for i in range(9))], [NEAR[0], *NEAR[21:30]], query=True, start=5)
    found = search_homologues(reference, database, iterations=1)
    alone = search_homologues(NEAR[0], database, iterations=1)
    assert (found.aligned.alignment.names[0], found.aligned.alignment.start) == ("wt/6-95", 5)
    assert len({hit.name for hit in found.hits}) > len({hit.name for hit in alone.hits})  # a profile finds more than a sequence
    masked = replace(reference, modelled=np.arange(90) > 9)
    assert search_homologues(masked, database, iterations=1).aligned.alignment.modelled.sum() == 80
    bare = search_homologues(alignment_of_a3m(reference.names, [NEAR[0], *NEAR[21:30]], query=False), database, iterations=2)
    assert bare.aligned.alignment.query is None and len(bare.aligned.rows) == len(bare.hits)


def test_nothing_found(tmp_path: Path) -> None:
    (tmp_path / "db.fa").write_text("".join(f">s{i}\n{row}\n" for i, row in enumerate(strangers(20))))
    found = search_homologues(NEAR[0], tmp_path / "db.fa")
    assert found.aligned.rows == (NEAR[0],) and not found.hits and found.converged
    with pytest.raises(InputError, match="no homologue was found"):
        search_homologues(alignment_of_a3m(["a", "b"], NEAR[:2], query=False), tmp_path / "db.fa")


def test_odd_databases(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "db.fa"
    path.write_text(f">a\n{NEAR[1]}\n>a\n{NEAR[2]}\n>long\n{'A' * 100_001}\n>stop\n{NEAR[3]}*{NEAR[4]}\n>none\n")
    found = search_homologues(NEAR[0], path, iterations=1)
    names = found.aligned.alignment.names
    assert len(set(names)) == len(names) == 5
    assert "left out 1 sequence of more than 100,000 residues" in caplog.text
    path.write_text("")
    with pytest.raises(InputError, match="holds no sequences"):
        search_homologues(NEAR[0], path)
    with pytest.raises(UsageError, match="number of iterations is 0"):
        search_homologues(NEAR[0], path, iterations=0)


@pytest.mark.parametrize("iterations", [1, 3])
def test_as_jackhmmer_finds(iterations: int, tmp_path: Path) -> None:
    """The same parts of the same proteins, with the same E-values, as HMMER's program in a whole proteome."""
    if shutil.which("jackhmmer") is None:
        pytest.skip("jackhmmer is not installed")
    proteome = public_protein_file("ecoli_k12_mg1655_proteome.faa.gz")
    (tmp_path / "db.fa").write_bytes(gzip.decompress(proteome.read_bytes()))
    query = next(one for one in read_proteins(proteome) if one.name == "NP_414608.1")
    (tmp_path / "q.fa").write_text(f">q\n{query.sequence}\n")
    subprocess.run(
        ["jackhmmer", "--cpu", "1", "-N", str(iterations), "--incdomE", "1e-3", "-A", "a.sto", "--tblout", "t", "q.fa", "db.fa"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    theirs = set(re.findall(r"^(\S+/\d+-\d+) ", (tmp_path / "a.sto").read_text(), re.MULTILINE))
    found = search_homologues(query.sequence, proteome, iterations=iterations)
    assert set(found.aligned.alignment.names[1:]) == theirs and len(theirs) > 90
    scores = {line.split()[0]: float(line.split()[5]) for line in (tmp_path / "t").read_text().splitlines() if line[0] != "#"}
    assert all(abs(scores[hit.name] - hit.bits) < 0.06 for hit in found.hits)
