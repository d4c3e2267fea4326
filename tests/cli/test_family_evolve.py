"""``genoseq family evolve``: every option has its effect, bad input has its message."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from runs import Done, Runner
from small_family import coupled_family
from tiny_proteins import save_esm2

from genoseq.families.models.fitting import fit_model
from genoseq.families.models.model_file import save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("evolve")
    family = coupled_family(100)
    save_model(fit_model(family, "site"), found / "site.model")
    save_model(fit_model(family, "pssm"), found / "pssm.model")
    save_esm2(found / "esm")
    (found / "wt.fa").write_text(f">wt/101-112\n{family.query}\n")
    return found


def run(genoseq: Runner, folder: Path, trajectory: Path, *more: object) -> tuple[Done, list[dict[str, str]]]:
    done = genoseq(
        "family", "evolve", folder / "wt.fa", "-m", folder / "site.model", "--budget", "60", "--trajectory", trajectory, *more
    )
    assert done.status == 0, done.err
    return done, list(csv.DictReader(trajectory.read_text().split("\n", 1)[1].splitlines(), delimiter="\t"))


def test_designs_and_trajectory(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "designs.fa"
    _, rows = run(genoseq, folder, tmp_path / "t.tsv", "-o", out, "-n", "3")
    assert list(rows[0]) == ["call", "round", "parent", "variant", "mutations", "score", "best", "kept"]
    assert len(rows) == 60
    assert (rows[0]["variant"], rows[0]["score"]) == ("WT", "0")
    headers = [line for line in out.read_text().splitlines() if line.startswith(">")]
    assert len(headers) == 3
    assert headers[0].startswith(">design_1 score=")
    best = max(float(row["score"]) for row in rows)
    assert f"score={best:.6g} " in headers[0]
    assert 101 <= int(headers[0].split("variant=")[1].split(":")[0].split()[0][1:-1]) <= 112
    metadata = json.loads((tmp_path / "t.tsv").read_text().split("\n", 1)[0][1:])
    assert (metadata["format"], metadata["offset"], metadata["budget"]) == ("genoseq.trajectory", 100, 60)


def test_the_search_repeats_and_its_options_have_effects(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    trajectory = tmp_path / "t.tsv"
    _, plain = run(genoseq, folder, trajectory)
    assert run(genoseq, folder, trajectory, "-t", "1", "--device", "cpu")[1] == plain
    for more in (
        ("--seed", "1"), ("--beam", "2"), ("--children", "2"), ("--edits", "1"), ("--temperature", "4"), ("--min-distance", "6"),
        ("--scorer", folder / "pssm.model"), ("--scorer", folder / "esm"), ("--budget", "30"), ("--min-distance", "6", "--elite", "4"),
    ):  # fmt: skip
        assert run(genoseq, folder, trajectory, *more)[1] != plain, more
    far = run(genoseq, folder, trajectory, "--min-distance", "6")[1]
    assert run(genoseq, folder, trajectory, "--min-distance", "6", "--elite", "4")[1] != far


def test_limits(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    _, rows = run(
        genoseq, folder, tmp_path / "t.tsv", "--fix", "101-103,105", "--max-mutations", "2", "--letters", "fghi", "--edits", "4"
    )
    changes = [part for row in rows[1:] for part in row["variant"].split(":")]
    assert all(int(row["mutations"]) <= 2 for row in rows)
    assert {int(one[1:-1]) for one in changes} <= {104, *range(106, 113)}
    assert {one[-1] for one in changes} <= set("FGHI")
    _, rows = run(genoseq, folder, tmp_path / "t.tsv", "--only", "104,106-107", "--offset", "100")
    assert {int(one[1:-1]) for row in rows[1:] for one in row["variant"].split(":")} == {104, 106, 107}


def test_letters_of_fixed_residues(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    wild = (folder / "wt.fa").read_text().split()[1]
    own = f"{wild[0]}101,102"
    _, rows = run(genoseq, folder, tmp_path / "t.tsv", "--fix", f"{own},104-112,103W")
    changes = {part for row in rows[1:] for part in row["variant"].split(":")}
    assert changes == {f"{wild[2]}103W"} and wild[2] != "W"


def test_a_masked_model_proposes_and_scores(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    words = ("family", "evolve", folder / "wt.fa", "-m", folder / "esm", "--budget", "12", "--beam", "2")
    plain = genoseq(*words)
    assert plain.status == 0, plain.err
    for more in (("--method", "pseudo-likelihood"), ("--dtype", "bfloat16")):
        other = genoseq(*words, *more)
        assert other.status == 0, other.err
        assert other.out != plain.out


def test_figure(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    figure = tmp_path / "course.svg"
    run(genoseq, folder, tmp_path / "t.tsv", "--figure", figure)
    assert figure.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (("--fix", "10"), 2, "--fix 10: residue 10 is outside of 101 to 112"),
        (("--fix", "a"), 2, "--fix a: 'a' is no position: expected 70, S70, 70A or 68-73"),
        (("--fix", "105-101"), 2, "'105-101' is no position"),
        (("--fix", "W101"), 2, "at position 101, not W"),
        (("--fix", "101-102,101W"), 2, "residue 101 both stays and has a new letter"),
        (("--only", "101W"), 2, "give positions without new letters"),
        (("--only", "102", "--fix", "101W"), 2, "--fix gives residue 101 a new letter, --only leaves it"),
        (("--only", "113"), 2, "residue 113 is outside of 101 to 112"),
        (("--letters", "B"), 2, "'B' is none of the 20"),
        (("--method", "masked-marginal"), 2, "--method is for a masked language model"),
        (("--figure", "x.gif"), 2, "end the name in .png"),
    ],
)
def test_bad_input(genoseq: Runner, folder: Path, more: tuple[str, ...], status: int, message: str) -> None:
    done = genoseq("family", "evolve", folder / "wt.fa", "-m", folder / "site.model", "--budget", "5", *more)
    assert (done.status, done.out) == (status, b"")
    assert message in done.err


def test_a_wild_type_that_is_not_the_models(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "wt.fa").write_text(">wt\nWWWWWWWWWWWW\n")
    done = genoseq("family", "evolve", tmp_path / "wt.fa", "-m", folder / "site.model")
    assert done.status == 1
    assert "the wild type is not that of the model" in done.err
