"""The autoregressive model: kernels against plain references, an exact likelihood, samples that follow it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from clustered_family import clustered_family

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.identity import nearest
from genoseq.families.alphabet import GAP, UNKNOWN, decode
from genoseq.families.models.autoregressive import AutoregressiveModel, fit_autoregressive
from genoseq.families.models.autoregressive_fit import AutoregressiveSettings, fit_regressions
from genoseq.families.models.autoregressive_kernels import STATES, conditionals, conditionals_plainly, packed_size, run_start
from genoseq.families.models.model import focus_of
from genoseq.families.models.model_file import load_model, save_model


def aligned(matrix: np.ndarray, *, query: bool = False) -> Alignment:
    texts = tuple(decode(row[row != GAP]) for row in matrix)
    names = tuple(f"s{number}" for number in range(len(matrix)))
    return Alignment(names, matrix, texts, texts[0] if query else None, 0, np.ones(matrix.shape[1], np.bool_))


def model(length: int = 3, ancestors: int = 4, seed: int = 0, power: float = 0.8) -> AutoregressiveModel:
    """A model of random numbers."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, 21, (ancestors, length)).astype(np.uint8)
    weights = generator.random(ancestors)
    return AutoregressiveModel(
        focus_of(aligned(rows)),
        generator.normal(size=(length, STATES)).astype(np.float32),
        generator.normal(size=packed_size(length)).astype(np.float32),
        rows,
        weights / weights.sum(),
        power=power,
        pulls=np.array([0.5, 2.0]),
    )


def plain_log_likelihood(one: AutoregressiveModel, row: np.ndarray) -> float:
    """The definition: a sum over ancestors and pulls of products over columns."""
    log_p = conditionals_plainly(one.fields, one.couplings, row, one.power)
    total = 0.0
    for ancestor, weight in zip(one.ancestors, one.ancestor_weights, strict=True):
        for pull in one.pulls:
            term = weight / len(one.pulls)
            for column, letter in enumerate(row):
                if letter == UNKNOWN:
                    continue
                logits = log_p[column].copy()
                if ancestor[column] != UNKNOWN:
                    logits[ancestor[column]] += pull
                term *= np.exp(logits[letter]) / np.exp(logits).sum()
            total += term
    return float(np.log(total))


def family(rows: int = 400, length: int = 12, seed: int = 0) -> np.ndarray:
    """Rows in which column 2k + 1 mostly repeats column 2k."""
    generator = np.random.default_rng(seed)
    matrix = generator.integers(0, 3, (rows, length)).astype(np.uint8)
    same = generator.random((rows, length // 2)) < 0.9
    matrix[:, 1::2] = np.where(same, matrix[:, ::2], matrix[:, 1::2])
    return matrix


def test_runs_fill_the_packed_couplings() -> None:
    length = 5
    starts = [run_start(length, column, letter) for column in range(length - 1) for letter in range(STATES)]
    sizes = [(length - 1 - column) * STATES for column in range(length - 1) for _ in range(STATES)]
    assert starts == np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()
    assert sum(sizes) == packed_size(length)


def test_conditionals_agree_with_the_reference() -> None:
    one = model(length=6)
    for row in (one.ancestors[0], np.array([0, UNKNOWN, 3, GAP, UNKNOWN, 7], np.uint8)):
        out = np.empty((6, STATES))
        conditionals(one.fields, one.couplings, row, 0.8, np.empty((6, STATES), np.float32), out)
        np.testing.assert_allclose(out, conditionals_plainly(one.fields, one.couplings, row, 0.8), atol=1e-5)


def test_log_likelihoods_agree_with_the_definition() -> None:
    one = model(length=5)
    one.ancestors[1, 2] = UNKNOWN
    rows = np.random.default_rng(1).integers(0, 22, (8, 5)).astype(np.uint8)
    expected = [plain_log_likelihood(one, row) for row in rows]
    np.testing.assert_allclose(one.log_likelihoods(rows), expected, atol=1e-5)


def test_probabilities_of_all_rows_add_up_to_one() -> None:
    one = model(length=2)
    rows = np.array(list(product(range(STATES), repeat=2)), np.uint8)
    assert np.exp(one.log_likelihoods(rows)).sum() == pytest.approx(1.0, abs=1e-5)


def test_samples_follow_the_likelihood() -> None:
    one = model(length=2)
    drawn, _ = one.draw(range(20_000), seed=3)
    rows = np.array(list(product(range(STATES), repeat=2)), np.uint8)
    expected = np.exp(one.log_likelihoods(rows))
    found = np.bincount(drawn[:, 0].astype(int) * STATES + drawn[:, 1], minlength=STATES**2) / len(drawn)
    assert np.abs(found - expected).sum() < 0.12  # about 0.08 by chance, 0.5 and more for another distribution
    np.testing.assert_allclose(found[expected > 0.02], expected[expected > 0.02], rtol=0.15)


def test_a_fixed_letter_is_weighed_by_its_probability() -> None:
    one = model(length=2, seed=2)
    rows = np.array([[letter, 4] for letter in range(STATES)], np.uint8)
    expected = np.exp(one.log_likelihoods(rows))
    drawn, _ = one.draw(range(4000), seed=1, fixed={1: 4})
    assert (drawn[:, 1] == 4).all()
    found = np.bincount(drawn[:, 0], minlength=STATES) / len(drawn)
    blind = np.bincount(one.draw(range(4000), seed=1)[0][:, 0], minlength=STATES) / 4000
    assert np.abs(found - expected / expected.sum()).sum() < 0.15 < np.abs(blind - expected / expected.sum()).sum()


def test_attempts_do_not_depend_on_each_other() -> None:
    one = model(length=6)
    whole, origin = one.draw(range(10), seed=5)
    part, other = one.draw([7, 2], seed=5)
    np.testing.assert_array_equal(part, whole[[7, 2]])
    np.testing.assert_array_equal(other, origin[[7, 2]])
    assert (one.draw(range(10), seed=6)[0] != whole).any()


def test_temperature() -> None:
    one = model(length=6)
    cold, hot = (one.log_likelihoods(one.draw(range(200), seed=0, temperature=t)[0]).mean() for t in (0.3, 3.0))
    assert cold > one.log_likelihoods(one.draw(range(200), seed=0)[0]).mean() > hot


def test_the_fit_finds_couplings_and_generalises() -> None:
    train, other = family(), family(seed=1)
    fitted = fit_autoregressive(
        aligned(train),
        settings=AutoregressiveSettings(
            weight_identity=1.0, batch=50, passes=30, step=0.05, pulls=(0.0,), power=1.0, penalty=0.001
        ),
    )
    alone = fit_autoregressive(
        aligned(train),
        settings=AutoregressiveSettings(
            weight_identity=1.0, batch=50, passes=30, step=0.05, pulls=(0.0,), power=1.0, penalty=100.0
        ),
    )
    assert fitted.log_likelihoods(other).mean() > alone.log_likelihoods(other).mean() + 1.5
    drawn, _ = fitted.draw(range(400), seed=0)
    assert (drawn[:, 1::2] == drawn[:, ::2]).mean() > 0.8
    assert (alone.draw(range(400), seed=0)[0][:, 1::2] == alone.draw(range(400), seed=0)[0][:, ::2]).mean() < 0.5


def test_the_fit_repeats_and_its_loss_falls() -> None:
    settings = AutoregressiveSettings(batch=64, passes=4)
    first, again = (fit_regressions(family(), np.ones(400), settings) for _ in range(2))
    np.testing.assert_array_equal(first.couplings, again.couplings)
    assert first.losses[-1] < first.losses[0]
    other = fit_regressions(family(), np.ones(400), AutoregressiveSettings(batch=64, passes=4, seed=1))
    assert (other.couplings != first.couplings).any()


def test_blocks_of_columns_change_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genoseq.families.models.autoregressive_fit._has_bfloat16", lambda device: False)
    settings = AutoregressiveSettings(batch=64, passes=2)
    whole = fit_regressions(family(), np.ones(400), settings)
    monkeypatch.setattr("genoseq.families.models.autoregressive_fit.BLOCK", 5)
    pieces = fit_regressions(family(), np.ones(400), settings)
    np.testing.assert_allclose(whole.couplings, pieces.couplings, atol=1e-3)
    np.testing.assert_allclose(whole.fields, pieces.fields, atol=1e-3)


def test_rows_of_no_weight_and_unknown_residues_teach_nothing() -> None:
    matrix = family()
    masked = np.concatenate([matrix, np.full((5, matrix.shape[1]), UNKNOWN, np.uint8)])
    assert len(fit_autoregressive(aligned(masked), settings=AutoregressiveSettings(passes=1)).ancestors) == len(matrix)


def test_scores_are_ratios_to_the_wild_type(tmp_path: Path) -> None:
    fitted = fit_autoregressive(aligned(family(length=6), query=True), settings=AutoregressiveSettings(passes=2, batch=64))
    own = fitted.focus.codes
    singles = fitted.single_scores()
    np.testing.assert_allclose(singles[np.arange(6), own], 0, atol=1e-9)
    mutant = own.copy()
    mutant[2] = 7
    assert fitted.score_sequences([decode(mutant)])[0] == pytest.approx(singles[2, 7])
    assert np.isnan(fitted.score_sequences(["ACD"])[0])
    save_model(fitted, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors", kind="autoregressive")
    np.testing.assert_array_equal(again.single_scores(), singles)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("power", 0.0),
        ("nearest", 1.0),
        ("pulls", (-1.0,)),
        ("passes", 0),
        ("penalty", -1.0),
        ("weight_identity", 0.0),
        ("step", float("nan")),
    ],
)
def test_settings_that_make_no_sense(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        fit_autoregressive(aligned(family()), settings=AutoregressiveSettings(**{name: value}))  # type: ignore[arg-type]


def test_too_little_to_fit() -> None:
    with pytest.raises(InputError, match="found 1 and 12; search for homologues first"):
        fit_autoregressive(aligned(family(rows=1)))
    with pytest.raises(InputError, match="found 0 and 12"):
        fit_autoregressive(aligned(np.full((3, 12), GAP, np.uint8)))


@pytest.mark.parametrize(("changes", "identity"), [(20, 0.6), (5, 0.7), (1, 0.8)])
def test_small_families_are_weighted_at_a_higher_identity(changes: int, identity: float) -> None:
    """Rows with 20, 5 or 1 of 20 letters of one sequence changed: not alike, about 0.6 alike, and all alike even at 0.8."""
    generator = np.random.default_rng(0)
    rows = np.repeat(generator.integers(0, 20, (1, 20)).astype(np.uint8), 80, axis=0)
    for row in rows:
        row[generator.permutation(20)[:changes]] = generator.integers(0, 20, changes)
    quick = {"passes": 1, "pulls": (1.0,)}
    found = fit_autoregressive(aligned(rows), settings=AutoregressiveSettings(**quick))
    assert found.focus.settings["weight_identity"] == identity
    given = fit_autoregressive(aligned(rows), settings=AutoregressiveSettings(weight_identity=identity, **quick))
    assert np.array_equal(found.couplings, given.couplings)
    assert np.array_equal(found.ancestor_weights, given.ancestor_weights)


def test_pulls_are_chosen_for_an_identity() -> None:
    train = clustered_family()
    quick = {"passes": 3, "batch": 64}
    found = []
    for wanted in (0.6, 0.75):
        model = fit_autoregressive(train, settings=AutoregressiveSettings(nearest=wanted, **quick))  # type: ignore[arg-type]
        rows, _ = model.draw(range(300), seed=7)
        assert np.median(nearest(rows, model.ancestors).identity) == pytest.approx(wanted, abs=0.04)
        np.testing.assert_allclose(model.pulls / model.pulls[0], [1, 2, 3, 4])
        assert model.focus.settings["pulls"] == model.pulls.tolist()
        found.append(model.pulls[0])
    assert found[0] < found[1]
    given = fit_autoregressive(train, settings=AutoregressiveSettings(pulls=(0.7,), **quick))  # type: ignore[arg-type]
    assert given.pulls.tolist() == [0.7]
