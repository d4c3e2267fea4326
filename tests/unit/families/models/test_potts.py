"""The Potts model: what it learns, its energies against the plain sum, scores of any order, conditionals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from small_family import LENGTH, coupled_family, family_of

from genoseq.families.alphabet import encode
from genoseq.families.models.model import focus_of
from genoseq.families.models.potts import PottsModel, fit_potts_model
from genoseq.families.models.potts_fit import PottsSettings, fit_potts
from genoseq.families.models.potts_kernels import count_packed
from genoseq.families.models.potts_objective import Objective
from genoseq.families.models.site import weighted_rows
from genoseq.families.variants.notation import apply_variant, parse_variant

LIGHT = PottsSettings(couplings_penalty=0.002)


@pytest.fixture(scope="module")
def family():
    return coupled_family()


@pytest.fixture(scope="module")
def model(family):
    return fit_potts_model(family, settings=LIGHT)


def random_model(states: int = 20, length: int = 6, seed: int = 0) -> PottsModel:
    random = np.random.default_rng(seed)
    rows = ["".join(random.choice(list("ACDEFGHIKLMNPQRSTVWY"), length)) for _ in range(3)]
    couplings = random.normal(size=count_packed(length, states)).astype(np.float32)
    return PottsModel(focus_of(family_of(rows)), random.normal(size=(length, states)), couplings)


def plain_energy(model: PottsModel, codes: np.ndarray) -> float:
    dense = model.dense_couplings().astype(float)
    total = sum(model.fields[i, a] for i, a in enumerate(codes) if a < model.states)
    pairs = itertools.combinations(range(len(codes)), 2)
    return total + sum(dense[i, codes[i], j, codes[j]] for i, j in pairs if max(codes[i], codes[j]) < model.states)


def test_an_interaction_is_learned(model, family):
    old = family.query
    single = model.score_variants([parse_variant(f"{old[2]}3K"), parse_variant(f"{old[9]}10W")])
    both = model.score_variants([parse_variant(f"{old[2]}3K:{old[9]}10W")])[0]
    assert (single < -1).all()
    assert both > single.sum() + 2
    assert both > single.max()


def test_the_fit_is_the_minimum(family):
    matrix, weights = weighted_rows(family, 0.8)
    tight = PottsSettings(tolerance=1e-9, iterations=300)
    found = fit_potts(matrix, weights, settings=tight)
    assert found.converged
    steps = []
    fit_potts(matrix, weights, settings=tight, watch=lambda number, value, fields, couplings: steps.append(value))
    totals = [value.total for value in steps]
    assert all(later <= earlier for earlier, later in itertools.pairwise(totals))
    assert np.abs(steps[-1].couplings).max() < 0.2
    assert np.abs(steps[-1].fields).max() < 0.2
    assert totals[-1] == found.objective


def test_threads_fit_the_same(family):
    matrix, weights = weighted_rows(family, 0.8)
    settings = PottsSettings(iterations=8)
    one = fit_potts(matrix, weights, settings=settings)
    two = fit_potts(matrix, weights, settings=settings, threads=2)
    np.testing.assert_array_equal(one.couplings, two.couplings)
    np.testing.assert_array_equal(one.fields, two.fields)


@pytest.mark.parametrize(
    ("change", "larger"),
    [
        ({"couplings_penalty": 0.1}, False),
        ({"fields_penalty": 100.0}, None),
        ({"iterations": 1}, None),
        ({"gap_state": True}, None),
    ],
)
def test_settings_matter(family, change, larger):
    matrix, weights = weighted_rows(family, 0.8)
    plain = fit_potts(matrix, weights, settings=PottsSettings(iterations=20))
    other = fit_potts(matrix, weights, settings=PottsSettings(**{"iterations": 20, **change}))
    if "gap_state" in change:
        assert other.fields.shape == (LENGTH, 21)
    else:
        assert not np.allclose(plain.fields, other.fields, atol=1e-3)
    if larger is False:
        assert np.abs(other.couplings).max() < np.abs(plain.couplings).max()


@pytest.mark.parametrize("states", [20, 21])
def test_energies_are_the_plain_sums(states):
    model = random_model(states)
    codes = np.array([encode(row) for row in ("ACDEFG", "A-DEXG", "YYYYYY")])
    np.testing.assert_allclose(model.energies(codes), [plain_energy(model, row) for row in codes], rtol=1e-6)


@pytest.mark.parametrize("text", ["{0}1W", "{0}1W:{3}4C", "{0}1W:{2}3D:{5}6E", "{1}2H:{2}3D:{4}5K:{5}6E"])
def test_scores_are_differences_of_energies(text):
    model = random_model()
    wild = model.wild_type
    variant = parse_variant(text.format(*wild))
    expected = plain_energy(model, encode(apply_variant(wild, variant))) - plain_energy(model, encode(wild))
    assert model.score_variants([variant])[0] == pytest.approx(expected, rel=1e-5)
    assert model.score_sequences([apply_variant(wild, variant)])[0] == pytest.approx(expected, rel=1e-5)


def test_all_singles_are_the_scores_of_single_variants():
    model = random_model()
    singles = model.single_scores()
    assert singles[np.arange(6), model.focus.codes] == pytest.approx(np.zeros(6))
    assert singles[2, 4] == pytest.approx(model.score_variants([parse_variant(f"{model.wild_type[2]}3F")])[0])


@pytest.mark.parametrize("states", [20, 21])
def test_conditionals_follow_from_energies(states):
    model = random_model(states)
    codes = np.array([encode(row) for row in ("ACDEFG", "WW-WWW")])
    for site in (0, 3, 5):
        logits = model.conditional_logits(codes, site)
        for number, row in enumerate(codes):
            energies = []
            for letter in range(states):
                changed = row.copy()
                changed[site] = letter
                energies.append(plain_energy(model, changed))
            found, expected = logits[number] - logits[number].max(), np.array(energies) - max(energies)
            np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_array_equal(model.site_couplings(site), model.dense_couplings()[:, :, site])


def test_fields_are_those_of_uncentred_features(family):
    """The returned fields give the likelihood that the fit, in centred features, reports."""
    matrix, weights = weighted_rows(family, 0.8)
    found = fit_potts(matrix, weights, settings=PottsSettings(iterations=10))
    model = PottsModel(focus_of(family), found.fields, found.couplings)
    total = 0.0
    for site in range(LENGTH):
        known = matrix[:, site] < 20
        logits = model.conditional_logits(matrix[known], site)
        logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        total -= float((weights[known] * logs[np.arange(known.sum()), matrix[known, site]]).sum())
    assert total == pytest.approx(found.likelihood, rel=1e-6)


def test_many_rows_do_not_need_a_dense_matrix(family):
    """Five times the same rows at a fifth of the weight: the same fit, and blocks that are not all full."""
    matrix, weights = weighted_rows(family, 0.8)
    settings = PottsSettings(iterations=5)
    once = fit_potts(matrix, weights, settings=settings)
    often = fit_potts(np.tile(matrix, (13, 1)), np.tile(weights / 13, 13), settings=settings)
    np.testing.assert_allclose(often.fields, once.fields, atol=1e-4)


def test_tensors_of_other_shapes_are_refused(family):
    with pytest.raises(ValueError, match="do not fit"):
        PottsModel(focus_of(family), np.zeros((LENGTH, 20)), np.zeros(7, np.float32))


def test_the_objective_has_no_preferred_row_order(family):
    matrix, weights = weighted_rows(family, 0.8)
    order = np.random.default_rng(0).permutation(len(matrix))
    one = fit_potts(matrix, weights, settings=PottsSettings(iterations=4))
    two = fit_potts(matrix[order], weights[order], settings=PottsSettings(iterations=4))
    np.testing.assert_allclose(one.fields, two.fields, atol=1e-4)
    assert Objective(matrix, weights, PottsSettings().penalties(LENGTH), states=20).rows == len(matrix)
