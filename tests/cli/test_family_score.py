"""``genoseq family fit`` and ``genoseq family score``: every option has its effect, bad input has its message."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import re
import sys
import threading
from pathlib import Path

import pytest
from runs import Done, Runner
from small_family import coupled_family, write_a3m
from tiny_poet import TOKENIZER, tiny_poet
from tiny_proteins import save_esm2

import genoseq as package
from genoseq.families.models.model_file import load_model

QUICK = ("--iterations", "4")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    family = coupled_family(120)
    write_a3m(family, tmp_path / "family.a3m")
    (tmp_path / "wt.fa").write_text(f">wt\n{family.query}\n")
    wild = family.query
    assert wild is not None
    (tmp_path / "variants.csv").write_text(
        f'mutant,note,DMS_score\n{wild[2]}3K,"a, b",1.5\n{wild[2]}3K:{wild[9]}10W,c,\n{wild[0]}1W,,-1\n{wild[2]}3K,again,2\n'
    )
    return tmp_path


def rows_of(text: str, delimiter: str = "\t") -> tuple[dict[str, object], list[dict[str, str]]]:
    first, rest = text.split("\n", 1)
    assert first.startswith("#")
    return json.loads(first[1:]), list(csv.DictReader(rest.splitlines(), delimiter=delimiter))


def failed(done: Done, status: int, *parts: str) -> None:
    assert done.status == status, done.err
    assert done.out == b""
    for part in parts:
        assert part in done.err


def test_columns_and_order_are_kept(genoseq: Runner, folder: Path) -> None:
    out = folder / "out.csv"
    done = genoseq(
        "family", "score", folder / "wt.fa", folder / "variants.csv", "--msa", folder / "family.a3m", "-o", out, *QUICK
    )
    assert done.status == 0, done.err
    metadata, rows = rows_of(out.read_text(), ",")
    assert metadata["format"] == "genoseq.family-scores"
    assert metadata["kind"] == "ensemble"
    assert list(rows[0]) == ["mutant", "note", "DMS_score", "score", "score_nearest", "score_potts", "score_pssm"]
    assert [row["note"] for row in rows] == ["a, b", "c", "", "again"]
    assert rows[0]["score"] == rows[3]["score"]
    assert float(rows[1]["score_potts"]) > float(rows[0]["score_potts"])  # the pair belongs together


def test_a_saved_model_scores_the_same(genoseq: Runner, folder: Path) -> None:
    model, kept = folder / "family.model", folder / "kept.model"
    done = genoseq("family", "fit", folder / "family.a3m", "-o", model, "--no-sampler", *QUICK)
    assert done.status == 0, done.err
    assert "ensemble, 12 columns" in done.err
    once = genoseq("family", "score", folder / "wt.fa", folder / "variants.csv", "-m", model)
    again = genoseq(
        "family", "score", folder / "wt.fa", folder / "variants.csv", "--msa", folder / "family.a3m", *QUICK,
        "--save-model", kept,
    )  # fmt: skip
    assert once.status == again.status == 0
    assert once.out == again.out
    assert kept.read_bytes() == model.read_bytes()


@pytest.mark.parametrize("kind", ["potts", "pssm", "nearest", "site", "profile"])
def test_kinds(genoseq: Runner, folder: Path, kind: str) -> None:
    model = folder / "a.model"
    assert genoseq("family", "fit", folder / "family.a3m", "-o", model, "--kind", kind, *QUICK).status == 0
    assert load_model(model).kind == kind
    done = genoseq("family", "score", folder / "wt.fa", folder / "variants.csv", "-m", model, "--kind", kind)
    metadata, rows = rows_of(done.out.decode())
    assert metadata["kind"] == kind
    assert list(rows[0])[-1] == "score"
    other = "site" if kind != "site" else "pssm"
    failed(
        genoseq("family", "score", folder / "wt.fa", folder / "variants.csv", "-m", model, "--kind", other),
        1, f"holds a model of kind {kind}, expected {other}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        (("--min-coverage", "1"), "site"),
        (("--weight-identity", "0.4"), "site"),
        (("--pssm-identity", "0.8"), "pssm"),
        (("--gap-state",), "potts"),
        (("--couplings-penalty", "1"), "potts"),
        (("--fields-penalty", "50"), "potts"),
        (("--iterations", "1"), "potts"),
    ],
)
def test_every_option_of_the_fit_matters(genoseq: Runner, folder: Path, option: tuple[str, ...], kind: str) -> None:
    plain, other = folder / "plain.model", folder / "other.model"
    base = ("family", "fit", folder / "family.a3m", "--kind", kind)
    assert genoseq(*base, "-o", plain, *(QUICK if option[0] != "--iterations" else ())).status == 0
    assert genoseq(*base, "-o", other, *(QUICK if option[0] != "--iterations" else ()), *option).status == 0
    assert plain.read_bytes() != other.read_bytes()


def test_threads_change_nothing_and_devices_are_checked(genoseq: Runner, folder: Path) -> None:
    one, two = folder / "one.model", folder / "two.model"
    base = ("family", "fit", folder / "family.a3m", "--kind", "potts", *QUICK)
    assert genoseq(*base, "-o", one, "-t", "1").status == 0
    assert genoseq(*base, "-o", two, "-t", "3").status == 0
    assert one.read_bytes() == two.read_bytes()
    failed(genoseq(*base, "-o", one, "--device", "cuda:99"), 2, "torch has no device 'cuda:99'")


def test_which_row_and_which_format(genoseq: Runner, folder: Path) -> None:
    model = folder / "a.model"
    base = ("family", "fit", folder / "family.a3m", "-o", model, "--kind", "potts", *QUICK)
    assert genoseq(*base, "--wild-type", "none").status == 0
    assert load_model(model).wild_type == ""
    failed(genoseq("family", "score", folder / "wt.fa", folder / "variants.csv", "-m", model), 2, "the model has no wild type")
    failed(genoseq(*base, "--alignment-format", "stockholm"), 1, "not in Stockholm format")
    failed(
        genoseq(
            "family", "score", folder / "wt.fa", folder / "variants.csv", "--msa", folder / "family.a3m",
            "--alignment-format", "stockholm",
        ),
        1, "not in Stockholm format",
    )  # fmt: skip


def test_all_singles_and_figure(genoseq: Runner, folder: Path) -> None:
    figure = folder / "map.png"
    done = genoseq(
        "family", "score", folder / "wt.fa", "--all-singles", "--msa", folder / "family.a3m", "--kind", "pssm",
        "--figure", figure, "--offset", "23",
    )  # fmt: skip
    assert done.status == 0, done.err
    _, rows = rows_of(done.out.decode())
    assert len(rows) == 12 * 19
    assert (rows[0]["position"], rows[0]["mutant"][1:3]) == ("24", "24")
    assert figure.read_bytes().startswith(b"\x89PNG")
    failed(
        genoseq("family", "score", folder / "wt.fa", "--all-singles", "--msa", folder / "family.a3m", "--figure", "x.gif"),
        2, "end the name in .png, .pdf or .svg",
    )  # fmt: skip


def test_offsets_come_from_names_or_the_option(genoseq: Runner, folder: Path) -> None:
    wild = (folder / "wt.fa").read_text().split()[1]
    shifted = folder / "shifted.txt"
    shifted.write_text("".join(f"{letter}{position + 24}W\n" for position, letter in enumerate(wild)))
    score = ("family", "score")
    rest = ("--msa", folder / "family.a3m", "--kind", "site")
    failed(
        genoseq(*score, folder / "wt.fa", shifted, *rest),
        1, "12 of 12 variants disagree with the wild type", "did you mean --offset 23?",
    )  # fmt: skip
    by_option = genoseq(*score, folder / "wt.fa", shifted, *rest, "--offset", "23")
    assert by_option.status == 0, by_option.err
    (folder / "named.fa").write_text(f">wt/24-35\n{wild}\n")
    by_name = genoseq(*score, folder / "named.fa", shifted, *rest)
    assert rows_of(by_name.out.decode())[1] == rows_of(by_option.out.decode())[1]


def test_columns_by_name_and_names_that_are_taken(genoseq: Runner, folder: Path) -> None:
    wild = (folder / "wt.fa").read_text().split()[1]
    table = folder / "t.tsv"
    table.write_text(f"change\tscore\n{wild[0]}1W\t7\n")
    rest = ("--msa", folder / "family.a3m", "--kind", "site")
    failed(genoseq("family", "score", folder / "wt.fa", table, *rest), 1, "has no column 'mutant'", "change, score")
    done = genoseq("family", "score", folder / "wt.fa", table, *rest, "--column", "change")
    _, rows = rows_of(done.out.decode())
    assert list(rows[0]) == ["change", "score", "score_2"]
    assert rows[0]["score"] == "7"
    assert "the new one is score_2" in done.err


def test_stop_codons(genoseq: Runner, folder: Path) -> None:
    wild = (folder / "wt.fa").read_text().split()[1]
    table = folder / "t.csv"
    table.write_text(f"mutant,n\n{wild[0]}1*,1\n{wild[0]}1W,2\n{wild[1]}2*,3\n{wild[0]}1W,4\n")
    rest = ("--msa", folder / "family.a3m", "--kind", "site")
    failed(genoseq("family", "score", folder / "wt.fa", table, *rest), 1, "has a stop codon")
    done = genoseq("family", "score", folder / "wt.fa", table, *rest, "--skip-stops")
    assert done.status == 0, done.err
    assert [row["n"] for row in rows_of(done.out.decode())[1]] == ["2", "4"]
    assert "left out 2 variants with a stop codon" in done.err


def test_insertions_and_deletions(genoseq: Runner, folder: Path) -> None:
    wild = (folder / "wt.fa").read_text().split()[1]
    (folder / "some.fa").write_text(f">same\n{wild}\n>shorter\n{wild[1:]}\n>longer\n{wild[:4]}GG{wild[4:]}\n")
    base = ("family", "score", folder / "wt.fa", folder / "some.fa", "--msa", folder / "family.a3m")
    done = genoseq(*base, *QUICK)
    _, rows = rows_of(done.out.decode())
    assert [row["name"] for row in rows] == ["same", "shorter", "longer"]
    assert rows[0]["score"] == "0"
    assert float(rows[1]["score"]) < 0 > float(rows[2]["score"])
    assert rows[1]["score_potts"] == ""
    done = genoseq(*base, "--kind", "site")
    assert "2 sequences of another length than the wild type got no score" in done.err
    assert [row["score"] for row in rows_of(done.out.decode())[1]] == ["0", "", ""]


def test_variants_outside_the_alignment_are_counted(genoseq: Runner, folder: Path) -> None:
    wild = (folder / "wt.fa").read_text().split()[1]
    (folder / "long.fa").write_text(f">long\nMK{wild}\n")
    (folder / "few.txt").write_text(f"M1A\n{wild[0]}3W\n")
    done = genoseq("family", "score", folder / "long.fa", folder / "few.txt", "--msa", folder / "family.a3m", "--kind", "site")
    assert done.status == 0, done.err
    assert "1 of 2 variants got no score: outside the alignment" in done.err
    assert rows_of(done.out.decode())[1][0]["score"] == ""


def test_bad_input(genoseq: Runner, folder: Path) -> None:
    msa = folder / "family.a3m"
    (folder / "two.fa").write_text(">a\nACD\n>b\nACD\n")
    failed(genoseq("family", "score", folder / "two.fa", folder / "variants.csv", "--msa", msa), 1, "holds 2 sequences")
    (folder / "other.fa").write_text(">o\nMKTAYIAKQRQISFVKSHFSRQ\n")
    (folder / "v.txt").write_text("M1A\n")
    failed(genoseq("family", "score", folder / "other.fa", folder / "v.txt", "--msa", msa), 1, "family.a3m")
    (folder / "empty.csv").write_text("")
    failed(genoseq("family", "score", folder / "wt.fa", folder / "empty.csv", "--msa", msa), 1, "is empty, expected variants")
    (folder / "alone.a3m").write_text(">wt\n" + (folder / "wt.fa").read_text().split()[1] + "\n")
    failed(
        genoseq("family", "score", folder / "wt.fa", folder / "variants.csv", "--msa", folder / "alone.a3m"),
        1, "holds one sequence: there is nothing to learn from",
    )  # fmt: skip
    wt, variants = folder / "wt.fa", folder / "variants.csv"
    failed(genoseq("family", "score", wt, variants), 2, "give either --msa or --model")
    failed(genoseq("family", "score", wt, "--msa", msa), 2, "give either VARIANTS or --all-singles")
    failed(genoseq("family", "score", "-", "-", "--msa", msa), 2, "standard input is read once")
    failed(
        genoseq("family", "score", wt, variants, "-m", folder / "x.model", "--iterations", "3"),
        2, "--iterations can be given only where --msa is fitted to",
    )  # fmt: skip
    failed(genoseq("family", "score", wt, "--all-singles", "--msa", msa, "--skip-stops"), 2, "are about VARIANTS")
    failed(genoseq("family", "score", wt, variants, "--msa", msa, "-o", variants), 2, "is an input")


@pytest.fixture(scope="module")
def poet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("poet") / "my-poet"
    package.save(tiny_poet(), TOKENIZER, path)
    return path


def test_language_models_join_by_mean_rank(genoseq: Runner, folder: Path, poet: Path) -> None:
    esm = save_esm2(folder / "esm")
    figure = folder / "map.svg"
    base = ("family", "score", folder / "wt.fa", folder / "variants.csv", "--msa", folder / "family.a3m", "--kind", "pssm")
    done = genoseq(*base, "-m", f"poet={poet}", "-m", f"masked={esm}", "--figure", figure)
    assert done.status == 0, done.err
    metadata, rows = rows_of(done.out.decode())
    assert metadata["kind"] == "pssm+poet+masked"
    assert list(rows[0])[3:] == ["score", "score_pssm", "score_poet", "score_masked"]
    assert set(metadata["members"]) == {"poet", "masked"}  # type: ignore[call-overload]
    assert metadata["members"]["poet"]["model"] == str(poet)  # type: ignore[index]
    assert metadata["prompts"][0]["sequences"] == 120  # type: ignore[index]
    assert "prompt of" in done.err
    assert figure.read_text().startswith("<?xml")
    alone = rows_of(genoseq(*base).out.decode())[1]
    assert [row["score_pssm"] for row in rows] == [row["score"] for row in alone]
    assert [row["score"] for row in rows] != [row["score"] for row in alone]
    model = folder / "pssm.model"
    assert genoseq("family", "fit", folder / "family.a3m", "-o", model, "--kind", "pssm").status == 0
    kept = genoseq(*base[:6], "-m", model, "-m", f"poet={poet}", "-m", f"masked={esm}")
    assert rows_of(kept.out.decode())[1] == rows
    other = genoseq(*base, "-m", f"poet={poet}", "-m", f"masked={esm}", "--prompts", "2", "--seed", "4")
    told, changed = rows_of(other.out.decode())
    assert (len(told["prompts"]), told["seed"]) == (2, 4)  # type: ignore[arg-type]
    assert [row["score_poet"] for row in changed] != [row["score_poet"] for row in rows]


def test_language_models_that_cannot_join(genoseq: Runner, folder: Path, poet: Path) -> None:
    wt, variants, msa = folder / "wt.fa", folder / "variants.csv", folder / "family.a3m"
    base = ("family", "score", wt, variants)
    failed(genoseq(*base, "-m", f"poet={poet}"), 2, "a PoET reads homologues: give them by --msa")
    failed(genoseq(*base, "-m", "masked=x/y"), 2, "give either --msa or --model beside the language model")
    failed(genoseq(*base, "--msa", msa, "-m", "poet="), 2, "name the folder or file of the model behind poet=")
    failed(genoseq(*base, "--msa", msa, "-m", "poet=nowhere"), 1, "nowhere: no such file or folder", "genoseq family poet train")
    failed(genoseq(*base, "--msa", msa, "-m", "masked=./no/where"), 1, "no such file or folder", "ESM-2")
    failed(genoseq(*base, "--msa", msa, "-m", f"masked={poet}"), 2, "expected a masked language model")
    failed(genoseq(*base, "--msa", msa, "-m", f"poet={save_esm2(folder / 'esm')}"), 2, "is not PoET")
    failed(genoseq(*base, "--msa", msa, "--prompts", "2"), 2, "are those of a PoET")
    failed(genoseq(*base, "-m", "a.model", "-m", "b.model"), 2, "are two models of a family")
    failed(genoseq(*base, "--msa", msa, "-m", "a.model"), 2, "give either --msa or --model")


def test_a_long_wait_is_told(folder: Path, poet: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    import logging

    from genoseq.cli.family import language_members
    from genoseq.families.poet.prompt import Prompt

    monkeypatch.setattr(language_members, "LONG", 0)
    member = language_members.open_member("poet", str(poet), device="cpu")
    with caplog.at_level(logging.WARNING, "genoseq"):
        member.scorer("MKTAYIAKQR", [Prompt(("MKTAYIAK",))], 1200)
    assert "poet: 1,200 sequences after 1 prompt will take 1 minutes or more on cpu" in caplog.text


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sequences a PoET is given in each call, a call for each prompt and direction."""
    from genoseq.families.poet import scoring

    calls: list[int] = []
    plain = scoring.log_likelihoods
    monkeypatch.setattr(
        scoring,
        "log_likelihoods",
        lambda *args, **more: calls.append(len(args[3])) or plain(*args, **more),  # type: ignore[func-returns-value]
    )
    return calls


@pytest.mark.parametrize("figure", [False, True])
def test_poet_reads_each_sequence_once(
    genoseq: Runner, folder: Path, poet: Path, monkeypatch: pytest.MonkeyPatch, figure: bool
) -> None:
    from genoseq.cli.family import language_members

    monkeypatch.setattr(language_members, "LONG", 0)
    calls = counted_reads(monkeypatch)
    base = ("family", "score", folder / "wt.fa", "--msa", folder / "family.a3m", "--kind", "site", "-m", f"poet={poet}")
    more = ("--figure", folder / "map.svg") if figure else ()
    done = genoseq(*base, "--all-singles", *more)
    assert done.status == 0, done.err
    unique = 12 * 19 + 1  # the wild type is read, too
    assert calls == [unique, unique]
    assert f"poet: {unique} sequences after 1 prompt will take" in done.err
    every = {row["mutant"]: row for row in rows_of(done.out.decode())[1]}
    calls.clear()
    done = genoseq(*base[:3], folder / "variants.csv", *base[3:], "--prompts", "2", *more)
    assert done.status == 0, done.err
    assert calls == [unique + 1] * 4  # one double variant, singles that ranks are among anyway
    assert f"poet: {unique + 1} sequences after 2 prompts will take" in done.err
    done = genoseq(*base[:3], folder / "variants.csv", *base[3:], *more)
    first = rows_of(done.out.decode())[1][0]
    assert float(first["score_poet"]) == pytest.approx(float(every[first["mutant"]]["score_poet"]), abs=1e-4)


def test_a_figure_of_joined_models_is_of_their_scores(
    genoseq: Runner, folder: Path, poet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from genoseq.families.alphabet import AMINO_ACIDS
    from genoseq.report import mutant_heatmap

    drawn = []

    def draw(table: np.ndarray, wild_type: str, path: Path, **more: object) -> None:
        drawn.append((table, more))
        Path(path).write_text("a figure")

    monkeypatch.setattr(mutant_heatmap, "draw_heatmap", draw)
    done = genoseq(
        "family", "score", folder / "wt.fa", "--all-singles", "--msa", folder / "family.a3m", "--kind", "nearest",
        "-m", f"poet={poet}", "--figure", folder / "map.svg", "--offset", "5",
    )  # fmt: skip
    assert done.status == 0, done.err
    ((table, more),) = drawn
    assert (more["unit"], more["start"]) == ("difference of mean ranks", 5)
    rows = rows_of(done.out.decode())[1]
    assert len(rows) == 12 * 19
    for row in rows:
        value = table[int(row["position"]) - 6, AMINO_ACIDS.index(row["letter"])]
        assert value == pytest.approx(float(row["score"]), rel=1e-4, abs=1e-5)
    assert (np.count_nonzero(table == 0, axis=1) >= 1).all()  # the wild type's own letters


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        ("site", "log ratio (nats)"),
        ("profile", "log ratio (nats)"),
        ("nearest", "score (no unit)"),
        ("ensemble", "difference of mean ranks"),
    ],
)
def test_a_heat_map_says_its_unit(genoseq: Runner, folder: Path, kind: str, unit: str) -> None:
    figure = folder / "map.svg"
    done = genoseq(
        "family", "score", folder / "wt.fa", "--all-singles", "--msa", folder / "family.a3m", "--kind", kind, "--figure", figure,
        *(QUICK if kind == "ensemble" else ()),
    )  # fmt: skip
    assert done.status == 0, done.err
    assert f"{unit}: red worse" in figure.read_text()


def test_the_header_says_where_prompts_come_from(genoseq: Runner, folder: Path, poet: Path) -> None:
    other = coupled_family(60)
    write_a3m(other, folder / "other.a3m")
    model = folder / "site.model"
    assert genoseq("family", "fit", folder / "family.a3m", "-o", model, "--kind", "site").status == 0
    words = ("family", "score", folder / "wt.fa", folder / "variants.csv", "-m", f"poet={poet}")
    same = rows_of(genoseq(*words, "--msa", folder / "family.a3m", "-m", model).out.decode())[0]
    told = rows_of(genoseq(*words, "--msa", folder / "other.a3m", "-m", model).out.decode())[0]
    assert same["prompts_alignment_sha256"] == same["alignment_sha256"] == told["alignment_sha256"]
    assert told["prompts_alignment_sha256"] == hashlib.sha256(other.matrix.tobytes()).hexdigest() != same["alignment_sha256"]
    plain = rows_of(genoseq(*words[:4], "-m", model).out.decode())[0]
    assert not {"prompts_alignment_sha256", "prompts", "seed", "members"} & set(plain)


def test_variants_from_standard_input(genoseq: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def piped(content: bytes, *more: object) -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return genoseq("family", "score", folder / "wt.fa", "-", "--msa", folder / "family.a3m", "--kind", "site", *more)

    variants = folder / "variants.csv"
    by_name = genoseq("family", "score", folder / "wt.fa", variants, "--msa", folder / "family.a3m", "--kind", "site")
    done = piped(variants.read_bytes())
    assert done.status == 0, done.err
    assert done.out == by_name.out
    done = piped((folder / "wt.fa").read_bytes())
    assert rows_of(done.out.decode())[1] == [{"name": "wt", "score": "0"}]
    done = piped((folder / "wt.fa").read_bytes().rstrip() + b"*\n")
    assert done.status == 0
    assert "warning: standard input: dropped the stop codon" in done.err
    assert "/tmp" not in done.err and ": -" not in done.err
    done = piped(variants.read_bytes() + b"A1*,,\n", "--skip-stops")
    assert "warning: standard input: left out 1 variant with a stop codon" in done.err
    failed(piped(b"mutant\nA1\n"), 1, "standard input, record 1 (line 2): ")
    failed(piped(b"mutant\nW1A\n"), 1, "standard input: ", "disagree")
    failed(piped(gzip.compress(b"mutant\n" * 9)[:-9]), 1, "standard input: the gzip data are truncated")
    failed(piped(b">a\nMK1\n"), 1, "standard input, record 1 (line 2): ")


def test_a_table_of_scores_is_scored_again(genoseq: Runner, folder: Path) -> None:
    words = ("family", "score", folder / "wt.fa")
    fitted = ("--msa", folder / "family.a3m", "--kind", "site")
    first = genoseq(*words, folder / "variants.csv", *fitted, "-o", folder / "scores.tsv")
    assert first.status == 0, first.err
    done = genoseq(*words, folder / "scores.tsv", *fitted)
    assert done.status == 0, done.err
    rows = rows_of(done.out.decode())[1]
    assert rows and all(row["score"] == row["score_2"] for row in rows)


def test_variants_from_a_pipe(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes((folder / "variants.csv").read_bytes()))
    writer.start()
    words = ("family", "score", folder / "wt.fa")
    fitted = ("--msa", folder / "family.a3m", "--kind", "site")
    done = genoseq(*words, pipe, *fitted)
    writer.join(10)
    assert done.status == 0, done.err
    assert done.out == genoseq(*words, folder / "variants.csv", *fitted).out


def test_what_the_sequences_are_worth_is_told(genoseq: Runner, folder: Path) -> None:
    done = genoseq(
        "family", "score", folder / "wt.fa", folder / "variants.csv", "--msa", folder / "family.a3m", "--kind", "potts"
    )
    assert re.search(r"Potts model: \d+ sequences, worth \d+\.\d at 80 % identity", done.err)


def test_other_scores_name_standard_input_too(genoseq: Runner, folder: Path, poet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wild = (folder / "wt.fa").read_text().split()[1]
    commands = (
        ("family", "masked", folder / "wt.fa", "-", "-m", save_esm2(folder / "esm")),
        ("family", "poet", "score", folder / "wt.fa", "-", "-m", poet, "--msa", folder / "family.a3m"),
    )
    for words in commands:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f">whole\n{wild}*\n".encode())))
        done = genoseq(*words)
        assert done.status == 0, done.err
        assert "warning: standard input: dropped the stop codon" in done.err
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"mutant\nA1\n")))
        failed(genoseq(*words), 1, "standard input, record 1 (line 2): ")
