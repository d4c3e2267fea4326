"""The Potts objective: compiled sums against the plain equation, torch against both, and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from genoseq.errors import UsageError
from genoseq.families.models import potts_objective
from genoseq.families.models.potts_kernels import add_scaled, count_packed, dot
from genoseq.families.models.potts_objective import Objective, Penalties, plain_objective, unpack
from genoseq.families.models.potts_torch import TorchObjective

FREE = Penalties(0.0, 0.0)


def case(states: int, rows: int = 60, length: int = 9, seed: int = 0):
    random = np.random.default_rng(seed)
    matrix = random.integers(0, 22, (rows, length)).astype(np.uint8)
    matrix[:, 1] = 5  # conserved
    matrix[:, length - 2] = 20  # gaps alone
    weights = random.random(rows) + 0.1
    couplings = (0.3 * random.normal(size=count_packed(length, states))).astype(np.float32)
    return matrix, weights, random.normal(size=(length, states)), couplings


@pytest.mark.parametrize("states", [20, 21])
@pytest.mark.parametrize("chunk", [4096, 7])
def test_value_and_gradient_are_those_of_the_plain_equation(states, chunk, monkeypatch):
    monkeypatch.setattr(potts_objective, "CHUNK", chunk)
    matrix, weights, fields, couplings = case(states)
    gradient = np.full_like(couplings, np.nan)
    found = Objective(matrix, weights, FREE, states=states)(fields, couplings, gradient)
    likelihood, slope, full = plain_objective(matrix, weights, fields, couplings, states=states)
    assert found.likelihood == pytest.approx(likelihood, rel=1e-6)
    np.testing.assert_allclose(found.fields, slope, atol=2e-5)
    np.testing.assert_allclose(unpack(gradient, matrix.shape[1], states), full, atol=2e-5)


def test_plain_gradient_is_that_of_finite_differences():
    matrix, weights, fields, couplings = case(20, rows=20, length=4)
    _, slope, full = plain_objective(matrix, weights, fields, couplings, states=20)
    step = 1e-5
    for site, letter in ((0, 3), (1, 5), (3, 19)):
        moved = fields.copy()
        moved[site, letter] += step
        up = plain_objective(matrix, weights, moved, couplings, states=20)[0]
        moved[site, letter] -= 2 * step
        down = plain_objective(matrix, weights, moved, couplings, states=20)[0]
        assert (up - down) / (2 * step) == pytest.approx(slope[site, letter], abs=1e-5)
    wide = 1e-2
    packed = unpack(np.arange(len(couplings), dtype=np.float32), 4, 20)
    for i, a, j, b in ((3, 2, 0, 7), (1, 0, 0, 11)):
        values = []
        for sign in (1, -1):
            moved_couplings = couplings.copy()
            moved_couplings[int(packed[i, a, j, b])] += np.float32(sign * wide)
            values.append(plain_objective(matrix, weights, fields, moved_couplings, states=20)[0])
        assert (values[0] - values[1]) / (2 * wide) == pytest.approx(full[i, a, j, b], rel=1e-3, abs=1e-3)


def test_penalties_are_added_to_value_and_gradient():
    matrix, weights, fields, couplings = case(20)
    prior = np.ones_like(fields)
    free, paid = np.empty_like(couplings), np.empty_like(couplings)
    without = Objective(matrix, weights, FREE, states=20)(fields, couplings, free)
    found = Objective(matrix, weights, Penalties(0.5, 2.0), states=20, prior=prior)(fields, couplings, paid)
    expected = without.total + 0.5 * ((fields - 1) ** 2).sum() + 2.0 * (couplings.astype(float) ** 2).sum()
    assert found.total == pytest.approx(expected)
    np.testing.assert_allclose(found.fields, without.fields + (fields - 1))
    np.testing.assert_allclose(paid, free + 4 * couplings, rtol=1e-5, atol=1e-5)


def test_threads_change_no_bit():
    matrix, weights, fields, couplings = case(20)
    one, three = np.empty_like(couplings), np.empty_like(couplings)
    a = Objective(matrix, weights, Penalties(0.1, 0.1), states=20, threads=1)(fields, couplings, one)
    b = Objective(matrix, weights, Penalties(0.1, 0.1), states=20, threads=3)(fields, couplings, three)
    assert a.total == b.total
    np.testing.assert_array_equal(a.fields, b.fields)
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("states", [20, 21])
def test_torch_gives_the_same(states, monkeypatch):
    from genoseq.families.models import potts_torch

    monkeypatch.setattr(potts_torch, "BLOCK", 13)
    matrix, weights, fields, couplings = case(states)
    prior = np.linspace(-1, 1, fields.size).reshape(fields.shape)
    penalties = Penalties(0.3, 0.2)
    ours, theirs = np.empty_like(couplings), np.empty_like(couplings)
    a = Objective(matrix, weights, penalties, states=states, prior=prior)(fields, couplings, ours)
    b = TorchObjective(matrix, weights, penalties, states=states, prior=prior, device="cpu")(fields, couplings, theirs)
    assert a.total == pytest.approx(b.total, rel=1e-6)
    np.testing.assert_allclose(a.fields, b.fields, atol=2e-5)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_a_device_that_is_not_there_is_refused():
    matrix, weights, *_ = case(20)
    with pytest.raises(UsageError, match="torch has no device 'cuda:77'"):
        TorchObjective(matrix, weights, FREE, states=20, device="cuda:77")


def test_vectors():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(2, 1003)).astype(np.float32)
    assert dot(a, b) == pytest.approx(float(a.astype(float) @ b.astype(float)), rel=1e-12)
    expected = a + np.float32(0.5) * b
    add_scaled(a, np.float32(0.5), b)
    np.testing.assert_allclose(a, expected, rtol=1e-6)
