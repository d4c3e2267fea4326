"""The table of assays against scorers, ProteinGym's means, and where assays and alignments are found."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest
from small_family import coupled_family, write_a3m
from tiny_proteins import save_esm2

from genoseq.errors import InputError, UsageError
from genoseq.families.assays.benchmark import (
    AssayScorer,
    Case,
    ColumnScorer,
    FittedScorer,
    MaskedAssayScorer,
    ModelScorer,
    Result,
    aggregate,
    benchmark,
    find_cases,
    result_fields,
)
from genoseq.families.assays.tables import Assay, read_reference
from genoseq.families.language.masked import load_masked
from genoseq.families.models.fitting import fit_model
from genoseq.families.variants.notation import all_single_variants, format_variant
from genoseq.report.assay_figures import draw_benchmark


def result(assay: str, uniprot: str, kind: str, value: float, scorer: str = "s") -> Result:
    return Result("assay", assay, uniprot, kind, scorer, "spearman", value, math.nan, math.nan, 10, 1, 1, 1, 1)


def test_means_are_those_of_proteingym() -> None:
    rows = [
        result("a1", "P1", "Activity", 0.2),
        result("a2", "P1", "Activity", 0.4),  # P1: 0.3
        result("a3", "P2", "Activity", 0.7),  # Activity: 0.5
        result("s1", "P1", "Stability", 0.9),  # Stability: 0.9
        result("s2", "P3", "Stability", math.nan),
    ]
    found = {(one.level, one.uniprot, one.selection_type): one for one in aggregate(rows)}
    assert found["protein", "P1", "Activity"].value == pytest.approx(0.3)
    assert found["selection type", "", "Activity"].value == pytest.approx(0.5)
    assert found["all", "", ""].value == pytest.approx(0.7)
    whole = found["all", "", ""]
    assert (whole.assays, whole.proteins, whole.types, whole.variants, whole.missing) == (4, 2, 2, 40, 4)
    assert ("protein", "P3", "Stability") not in found
    assert whole.low < whole.value < whole.high  # Activity has two proteins
    assert math.isnan(found["selection type", "", "Stability"].low)  # one protein: nothing to draw from
    assert aggregate(rows[::-1])[-1] == aggregate(rows)[-1]


def test_means_by_hand_over_three_types() -> None:
    """A protein in two types counts in both; many assays of one protein count as one; types count alike."""
    rows = [
        *(result(f"a{number}", "P1", "Activity", value) for number, value in enumerate([0.1, 0.2, 0.6])),  # 0.3
        result("a9", "P2", "Activity", 0.5),  # Activity: 0.4
        result("b1", "P1", "Binding", 0.2),
        result("b2", "P3", "Binding", 0.4),
        result("b3", "P4", "Binding", 0.9),  # Binding: 0.5
        result("e1", "P5", "Expression", 0.9),
    ]
    found = {(one.level, one.uniprot, one.selection_type): one for one in aggregate(rows)}
    assert [found["selection type", "", kind].value for kind in ("Activity", "Binding", "Expression")] == pytest.approx(
        [0.4, 0.5, 0.9]
    )
    assert found["all", "", ""].value == pytest.approx(0.6)  # the mean of all eight assays would be .475, of the six proteins .55
    assert (found["all", "", ""].proteins, found["all", "", ""].types) == (5, 3)


def test_the_interval_of_a_mean_is_that_of_proteins_within_their_type() -> None:
    rows = [result(f"a{number}", f"P{number}", "Activity", value) for number, value in enumerate([0.2, 0.6])]
    rows.append(result("b", "P9", "Binding", 0.5))
    whole = next(one for one in aggregate(rows, resamples=4000) if one.level == "all")
    # Activity is .2 (a quarter of the draws), .4 or .6 (a quarter), Binding always .5
    assert (whole.low, whole.high) == (pytest.approx(0.35), pytest.approx(0.55))


def toy(name: str, number: int = 60, *, kind: str = "", seed: int = 0, **columns: np.ndarray) -> Case:
    random = np.random.default_rng(seed)
    measured = random.normal(size=number)
    known = {"good": measured + 0.3 * random.normal(size=number), "bad": random.normal(size=number), **columns}
    return Case(Assay(name, "", tuple(map(str, range(number))), None, None, measured, None, known, name, kind))


def test_the_table(caplog: pytest.LogCaptureFixture) -> None:
    holes = np.arange(60.0)
    holes[:7] = np.nan
    cases = [toy("b", seed=1, holes=holes), toy("a", seed=2, holes=holes)]
    scorers: list[AssayScorer] = [ColumnScorer("good"), ColumnScorer("bad"), ColumnScorer("holes", -1)]
    with caplog.at_level(logging.WARNING, "genoseq"):
        found = benchmark(cases, scorers, metrics=("spearman", "auc"), resamples=50)
    assert "a: 7 of 60 variants have no score by holes" in caplog.text
    rows = [one for one in found if one.level == "assay"]
    assert [(one.assay, one.scorer, one.metric) for one in rows[:3]] == [
        ("a", "good", "spearman"), ("a", "good", "auc"), ("a", "bad", "spearman"),
    ]  # fmt: skip
    assert rows[0].value > 0.8 > abs(rows[2].value) + 0.4
    assert rows[4].missing == 7
    assert rows[4].variants == 53
    assert rows[0].selection_type == "unknown"
    again = benchmark(cases[::-1], scorers[::-1], metrics=("auc", "spearman"), resamples=50)
    assert {result_fields(one)[0] + str(one[1:8]) for one in found} == {result_fields(one)[0] + str(one[1:8]) for one in again}
    fields = result_fields(rows[0])
    assert fields[6] == f"{rows[0].value:.4f}"
    assert result_fields(rows[0]._replace(low=math.nan))[7] == ""


def test_a_sign_turns_a_column() -> None:
    case = toy("a")
    plain, turned = (benchmark([case], [ColumnScorer("good", sign)], metrics=("spearman",))[0].value for sign in (1, -1))
    assert plain == -turned


def test_what_cannot_be_compared() -> None:
    case = toy("a")
    with pytest.raises(UsageError, match="'r2' is no metric"):
        benchmark([case], [ColumnScorer("good")], metrics=("r2",))
    with pytest.raises(UsageError, match="nothing to compare"):
        benchmark([case], [])
    with pytest.raises(UsageError, match="two scorers are called good"):
        benchmark([case], [ColumnScorer("good"), ColumnScorer("good")])
    with pytest.raises(UsageError, match="two assays are called a"):
        benchmark([case, case], [ColumnScorer("good")])
    with pytest.raises(InputError, match="assay a has no column 'x' of numbers; those are good, bad"):
        benchmark([case], [ColumnScorer("x")])
    with pytest.raises(InputError, match="the assay a has no alignment"):
        benchmark([case], [FittedScorer("pssm")])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two assays of one family, their alignment under a name of its own and the assay's, and a table of assays."""
    family = coupled_family(120)
    wild = family.query
    assert wild is not None
    (tmp_path / "assays").mkdir()
    (tmp_path / "alignments").mkdir()
    random = np.random.default_rng(1)
    for name, shift in (("TOY_ECOLI_A", 0), ("TOY_ECOLI_B", 1)):
        variants = all_single_variants("MM" + wild)[38::7]
        lines = [f"{format_variant(one)},{random.normal() + shift}" for one in variants]
        (tmp_path / "assays" / f"{name}.csv").write_text("mutant,DMS_score\n" + "\n".join(lines) + "\n")
    (tmp_path / "assays" / "notes.md").write_text("nothing")
    write_a3m(family, tmp_path / "alignments" / "toy.a3m")
    write_a3m(family, tmp_path / "alignments" / "TOY_ECOLI_B.a3m")
    (tmp_path / "reference.csv").write_text(
        "DMS_id,target_seq,coarse_selection_type,MSA_filename,MSA_start,MSA_end\n"
        f"TOY_ECOLI_A,MM{wild},Activity,toy.a3m,3,14\nTOY_ECOLI_B,MM{wild},Stability,,3,14\nOTHER_HUMAN,MK,Stability,,,\n"
    )
    return tmp_path


def test_assays_and_alignments_are_found(folder: Path) -> None:
    reference = read_reference(folder / "reference.csv")
    cases = find_cases(folder / "assays", reference=reference, alignments=folder / "alignments")
    assert [(one.assay.name, one.assay.selection_type) for one in cases] == [
        ("TOY_ECOLI_A", "Activity"), ("TOY_ECOLI_B", "Stability"),
    ]  # fmt: skip
    assert [one.alignment and one.alignment.name for one in cases] == ["toy.a3m", "TOY_ECOLI_B.a3m"]
    found = benchmark(cases, [FittedScorer("pssm"), FittedScorer("site")], metrics=("spearman",), resamples=20)
    model = fit_model(cases[0].read_alignment(), "pssm")
    own = benchmark(cases[:1], [ModelScorer(model, "saved")], metrics=("spearman",), resamples=20)
    assert own[0].value == next(one.value for one in found if (one.assay, one.scorer) == ("TOY_ECOLI_A", "pssm"))
    assert next(one for one in found if one.level == "all").types == 2
    with pytest.raises(InputError, match="holds no assays that the table"):
        find_cases(folder / "assays", reference=reference[2:])


def test_an_assay_without_wild_type_takes_the_query(folder: Path) -> None:
    family = coupled_family(120, seed=3)
    wild = family.query
    assert wild is not None
    path = folder / "one.csv"
    path.write_text("mutant,score\n" + "".join(f"{wild[at]}{at + 1}W,{at}\n" for at in range(8)))
    (case,) = find_cases(path, alignments=write_a3m(family, folder / "one.a3m"))
    assert case.assay.wild_type == wild
    assert np.isfinite(benchmark([case], [FittedScorer("site")], metrics=("spearman",))[0].value)
    (bare,) = find_cases(path)
    with pytest.raises(InputError, match="the wild type of the assay one is not known"):
        benchmark([bare], [ModelScorer(fit_model(family, "site"), "m")])
    (given,) = find_cases(path, wild_type=wild)
    assert given.assay.wild_type == wild


def test_masked_models_score_assays(folder: Path) -> None:
    model = load_masked(save_esm2(folder / "tiny-esm"))
    cases = find_cases(folder / "assays", reference=read_reference(folder / "reference.csv"))
    scorer = MaskedAssayScorer(model)
    assert scorer.name == "tiny-esm masked-marginal"
    found = benchmark(cases, [scorer], metrics=("spearman",), resamples=0)
    assert np.isfinite(found[0].value)
    assert found[0].missing == 0


def test_folders_that_are_not_clear(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UsageError, match="that of one assay"):
        find_cases(folder / "assays", wild_type="MK")
    with pytest.raises(InputError, match="holds no assays"):
        find_cases(folder / "alignments")
    (folder / "alignments" / "TOY_ECOLI_B.a2m").write_text("")
    with pytest.raises(InputError, match=r"several alignments for TOY_ECOLI_B: TOY_ECOLI_B\.a2m, TOY_ECOLI_B\.a3m"):
        find_cases(folder / "assays", alignments=folder / "alignments", reference=read_reference(folder / "reference.csv"))
    (folder / "alignments" / "TOY_ECOLI_B.a2m").unlink()
    with caplog.at_level(logging.WARNING, "genoseq"):
        find_cases(folder / "assays" / "TOY_ECOLI_A.csv", alignments=folder / "alignments")
    assert "no alignment for TOY_ECOLI_A" in caplog.text


@pytest.mark.parametrize("number", [1, 3, 12])
def test_figures_are_drawn(tmp_path: Path, number: int) -> None:
    cases = [toy(f"assay_{one}", seed=one, kind="Activity") for one in range(number)]
    found = benchmark(cases, [ColumnScorer("good"), ColumnScorer("bad")], metrics=("auc",), resamples=20)
    draw_benchmark(found, "auc", tmp_path / "figure.svg", form="svg", title="a $ title")
    text = (tmp_path / "figure.svg").read_text()
    assert text.startswith("<?xml")
    assert len(text) > 5000
