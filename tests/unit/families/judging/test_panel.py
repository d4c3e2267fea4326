"""The panel: what copies, noise and natural sequences measure, and what the verdict says of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clustered_family import clustered_family, write_rows

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.identity import identities_plainly
from genoseq.families.alignments.laid_out import read_rows_like
from genoseq.families.alignments.profile_alignment import profile_of
from genoseq.families.alphabet import GAP
from genoseq.families.judging.composition import divergence, low_complexity, tandem_repeat
from genoseq.families.judging.hmm_scores import DATABASE, null_log_likelihood, score_proteins
from genoseq.families.judging.panel import ANCHORS, Limits, Panel, Yardstick, judge, make_panel
from genoseq.families.judging.panel_files import panel_json, panel_table
from genoseq.families.judging.splits import split_family
from genoseq.families.models.autoregressive import fit_autoregressive
from genoseq.families.models.autoregressive_fit import AutoregressiveSettings
from genoseq.families.models.likelihoods import compare_likelihoods, per_residue, potts_likelihoods, site_likelihoods


@pytest.fixture(scope="module")
def parts() -> tuple[Alignment, Alignment]:
    whole = clustered_family()
    split = split_family(whole.matrix, identity=0.6)
    return whole.subset(split.train), whole.subset(split.held_out)


@pytest.fixture(scope="module")
def yardstick(parts: tuple[Alignment, Alignment]) -> Yardstick:
    return Yardstick.of(*parts, seed=0)


@pytest.fixture(scope="module")
def copied(yardstick: Yardstick) -> Panel:
    """A panel of copies."""
    return make_panel(yardstick, yardstick.train.matrix[:60], resamples=20)


def test_anchors_stand_beside_the_samples(copied: Panel) -> None:
    assert [one.name for one in copied.sets] == ["samples", *ANCHORS]
    natural, copies, substituted, columns, residues = copied.sets[1:]
    assert copies.values["nearest"] == 1 and copies.values["copies"] == 1
    assert natural.values["nearest"] < 0.6
    assert natural.values["hits"] == 1 and residues.values["hits"] < 0.1
    assert residues.values["composition"] < 1e-3 < substituted.values["composition"]
    assert abs(columns.values["r_train"]) < 0.2 < 0.6 < copies.values["r_train"]
    assert natural.values["recall"] > 0.9 > columns.values["recall"]
    assert columns.values["pairwise"] == pytest.approx(copies.values["pairwise"], abs=0.05)


def test_copies_fail_by_the_lines_about_copies(copied: Panel) -> None:
    failed = {line.measure for line in copied.verdict if not line.passed}
    assert {"nearest", "copies"} <= failed
    assert not copied.passed


def test_values_agree_with_plain_ones(yardstick: Yardstick, copied: Panel) -> None:
    rows = yardstick.train.matrix[:60]
    among = identities_plainly(rows, rows)[np.triu_indices(60, 1)]
    values = copied.sets[0].values
    assert values["pairwise"] == pytest.approx(float(among.mean()), abs=1e-5)
    to_held = identities_plainly(yardstick.held_out.matrix, rows)
    assert values["recall"] == pytest.approx(float((to_held >= 0.55 - 1e-6).any(axis=1).mean()))
    assert values["bits"] == pytest.approx(float(copied.sets[0].bits.mean()))


def test_intervals_hold_the_values(copied: Panel) -> None:
    for one in copied.sets:
        for name in ("bits", "pairwise", "copies", "hits"):
            low, high = one.intervals[name]
            assert low - 1e-9 <= one.values[name] <= high + 1e-9, (one.name, name)
    assert copied.sets[0].intervals["bits"][0] < copied.sets[0].intervals["bits"][1]


def test_no_resamples_no_intervals_and_the_seed_decides(yardstick: Yardstick, copied: Panel) -> None:
    again = make_panel(yardstick, yardstick.train.matrix[:60], resamples=0)
    assert all(not one.intervals for one in again.sets)
    assert again.sets[2].values == copied.sets[2].values
    other = make_panel(Yardstick.of(yardstick.train, yardstick.held_out, seed=1), yardstick.train.matrix[:60], resamples=0)
    assert other.sets[0].values["bits"] == again.sets[0].values["bits"]
    assert other.sets[3].values != again.sets[3].values


def test_a_sample_is_judged_whatever_stands_beside_it(yardstick: Yardstick, copied: Panel) -> None:
    part = make_panel(yardstick, yardstick.train.matrix[20:60], resamples=0)
    np.testing.assert_allclose(part.sets[0].bits, copied.sets[0].bits[20:], atol=1e-6)
    np.testing.assert_allclose(part.sets[0].e_value, copied.sets[0].e_value[20:], rtol=1e-5)


def test_the_reference_of_the_pairwise_identity_is_that_of_all_train_rows(yardstick: Yardstick, copied: Panel) -> None:
    part = make_panel(yardstick, yardstick.train.matrix[20:60], resamples=0)
    wanted = [next(line.wanted for line in panel.verdict if line.measure == "pairwise") for panel in (part, copied)]
    among = identities_plainly(yardstick.train.matrix, yardstick.train.matrix)
    number = len(among)
    mean = (among.sum(dtype=float) - np.trace(among)) / (number * (number - 1))
    assert wanted == [f"within 0.1 of train ({mean:.3f})"] * 2


def test_the_verdict_follows_the_limits(copied: Panel) -> None:
    samples, natural = copied.sets[:2]
    generous = Limits(bits=9, nearest=1, copies=2, pairwise=1, composition=1, r_train=-1, r_held_out=-1, recall=-1)
    assert all(line.passed for line in judge(samples, natural, 0.4, generous))
    for name, value in Limits()._asdict().items():
        strict = generous._replace(**{name: -2.0 if name not in ("r_train", "r_held_out", "recall") else 2.0})
        assert [line.measure for line in judge(samples, natural, 0.4, strict) if not line.passed] == [name], value
    blank = samples._replace(values={**samples.values, "r_train": float("nan")})
    assert not judge(blank, natural, 0.4, generous)[5].passed


def test_files(copied: Panel, parts: tuple[Alignment, Alignment]) -> None:
    model = fit_autoregressive(parts[0], settings=AutoregressiveSettings(passes=5, batch=64))
    likelihoods = compare_likelihoods(model, *parts)
    content = json.loads(panel_json(copied, likelihoods=likelihoods, about={"seed": 3}))
    assert content["format"] == "genoseq.family-panel" and content["version"] == 1 and content["seed"] == 3
    assert content["passed"] is False
    assert len(content["sets"][0]["each"]["nearest"]) == 60
    assert content["sets"][0]["values"]["copies"] == 1
    assert [one["model"] for one in content["held_out_nll"]] == ["autoregressive", "site-independent", "profile HMM"]
    table = panel_table(copied, likelihoods=likelihoods)
    for word in (*ANCHORS, "FAIL  copies", "95 % from", "nats per residue, profile HMM"):
        assert word in table


def test_the_likelihood_of_columns_is_proper_and_beaten(parts: tuple[Alignment, Alignment]) -> None:
    train, held_out = parts
    rows = np.stack([np.full(train.length, letter) for letter in range(21)]).astype(np.uint8)
    alone = np.array([site_likelihoods(train.matrix[:, [7]], rows[:, [7]])])
    assert np.exp(alone).sum() == pytest.approx(1)
    model = fit_autoregressive(train, settings=AutoregressiveSettings(passes=10, batch=64))
    found = compare_likelihoods(model, train, held_out)
    assert found[0].passed is (found[0].value < min(one.value for one in found[1:]))
    assert found[0].value == pytest.approx(per_residue(model.log_likelihoods(held_out.matrix), held_out.matrix))


def test_a_potts_model_needs_its_gap_state(parts: tuple[Alignment, Alignment]) -> None:
    from genoseq.families.models.potts import fit_potts_model
    from genoseq.families.models.potts_fit import PottsSettings

    few = parts[0].subset(np.arange(60))
    with_gaps = fit_potts_model(few, settings=PottsSettings(gap_state=True, iterations=4))
    values = potts_likelihoods(with_gaps, parts[1].matrix)
    assert np.isfinite(values).all() and (values < 0).all()
    with pytest.raises(InputError, match="no state for gaps"):
        potts_likelihoods(fit_potts_model(few, settings=PottsSettings(iterations=3)), parts[1].matrix)


def test_bad_sets(yardstick: Yardstick, parts: tuple[Alignment, Alignment]) -> None:
    rows = yardstick.train.matrix
    with pytest.raises(InputError, match="1 samples, expected at least 2"):
        make_panel(yardstick, rows[:1])
    with pytest.raises(UsageError, match="rows of 60 columns"):
        make_panel(yardstick, rows[:5, :9])
    with pytest.raises(UsageError, match="5 rows and 1 sequences"):
        make_panel(yardstick, rows[:5], ["A"])
    with pytest.raises(UsageError, match="anchor"):
        make_panel(yardstick, rows[:5], name=ANCHORS[0])
    with pytest.raises(InputError, match="measure against: 3 held-out sequences, expected at least 10; split the family anew"):
        Yardstick.of(parts[0], parts[1].subset(np.arange(3)))
    with pytest.raises(InputError, match="60 columns, the held-out one 59"):
        narrow = clustered_family(length=59)
        Yardstick.of(parts[0], narrow)


def test_scores_have_a_fixed_database(parts: tuple[Alignment, Alignment]) -> None:
    profile = profile_of(parts[1])
    texts = list(parts[0].sequences[:30])
    whole = score_proteins(profile, [*texts, "ACDWY" * 12, "A"])
    single = [score_proteins(profile, [text]) for text in texts]
    np.testing.assert_allclose(whole.bits[:30], [one.bits[0] for one in single], atol=1e-6)
    np.testing.assert_allclose(whole.e_value[:30], [one.e_value[0] for one in single], rtol=1e-6)
    assert whole.bits[30] < whole.bits[:30].min()
    assert whole.e_value[31] <= DATABASE


def test_the_null_model_adds_up() -> None:
    from genoseq.families.alphabet import AMINO_ACIDS

    one = np.exp(null_log_likelihood(list(AMINO_ACIDS))).sum()
    assert one == pytest.approx(0.5 * 0.5, abs=1e-4)  # length 1 of a geometric distribution with mean 1


def test_composition_measures() -> None:
    assert divergence(np.array([3, 1]), np.array([0, 0])) != divergence(np.array([3, 1]), np.array([1, 3]))
    assert low_complexity("ACDEFGHIKLMNPQRSTVWY" + "A" * 12) > 0.3
    assert low_complexity("AAA") == 0
    assert tandem_repeat("") == 0
    assert tandem_repeat("MKT" + "GSGSGSGS" + "WRY") == 8


def test_rows_are_taken_as_they_stand_or_aligned(tmp_path: Path, parts: tuple[Alignment, Alignment]) -> None:
    train, held_out = parts
    laid = read_rows_like(write_rows(held_out, tmp_path / "laid.fa"), train)
    np.testing.assert_array_equal(laid.matrix, held_out.matrix)
    found = read_rows_like(write_rows(held_out, tmp_path / "bare.fa", gaps=False), train)
    assert found.names == held_out.names
    assert (found.matrix == held_out.matrix).mean() > 0.95
    insertion = tmp_path / "insertion.a3m"
    insertion.write_text(f">x\n{held_out.row(0)[:5]}acd{held_out.row(0)[5:]}\n")
    np.testing.assert_array_equal(read_rows_like(insertion, train).matrix, held_out.matrix[:1])
    assert len(read_rows_like(insertion, train).sequences[0]) == (held_out.matrix[0] != GAP).sum() + 3


def test_rows_that_do_not_fit(tmp_path: Path, parts: tuple[Alignment, Alignment]) -> None:
    path = tmp_path / "bad.fa"
    for text, message in (
        (">a\nAC-D\n", "4 columns, the family 60"),
        (">a\nACD*EF\n", "stop codon"),
        (">a\n" + "-" * 60 + "\n", "no residues"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_rows_like(path, parts[0])
    path.write_text("")
    with pytest.raises(InputError):
        read_rows_like(path, parts[0])
