"""Samples that are what was asked for, and Gibbs chains that follow the Potts model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pytest
from small_family import family_of

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.identity import identities
from genoseq.families.alphabet import GAP
from genoseq.families.models.model import focus_of
from genoseq.families.models.potts import PottsModel
from genoseq.families.models.potts_kernels import count_packed
from genoseq.families.sampling.files import sample_record
from genoseq.families.sampling.gibbs import GibbsSampler, log_partition, sweep_rows, sweep_rows_plainly
from genoseq.families.sampling.members import Wanted, fixed_columns, sample_family


class Shuffler:
    """Draws rows of random letters; the same whatever else is drawn."""

    def draw(
        self, attempts: Sequence[int], *, seed: int, temperature: float = 1.0, fixed: Mapping[int, int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = np.stack([np.random.default_rng([seed, a]).integers(0, 21, 8) for a in attempts]).astype(np.uint8)
        for column, code in (fixed or {}).items():
            rows[:, column] = code
        return rows, np.array(attempts)


def potts(length: int = 3, states: int = 21, seed: int = 0) -> PottsModel:
    generator = np.random.default_rng(seed)
    return PottsModel(
        focus_of(family_of(["ACDEFGHIKL"[:length]])),
        generator.normal(size=(length, states)),
        generator.normal(size=count_packed(length, states)).astype(np.float32),
    )


TRAIN = np.random.default_rng(9).integers(0, 20, (30, 8)).astype(np.uint8)


def test_samples_differ_and_meet_what_is_wanted() -> None:
    wanted = Wanted(max_identity=0.3, min_identity=0.2, min_length=7, max_length=7)
    found = sample_family(Shuffler(), 20, train=TRAIN, wanted=wanted, seed=1)
    assert ((found.rows != GAP).sum(axis=1) == 7).all()
    near = identities(found.rows, TRAIN)
    np.testing.assert_allclose(found.identity, near.max(axis=1), atol=1e-6)
    np.testing.assert_array_equal(found.neighbour, near.argmax(axis=1))
    assert found.identity.min() >= 0.2 and found.identity.max() <= 0.3
    assert len({row[row != GAP].tobytes() for row in found.rows}) == 20
    assert found.attempts > 20
    np.testing.assert_array_equal(found.origin, found.attempt)


def test_more_samples_begin_with_the_same_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    few = sample_family(Shuffler(), 5, train=TRAIN, seed=4)
    monkeypatch.setattr("genoseq.families.sampling.members.BATCH", 3)
    many = sample_family(Shuffler(), 30, train=TRAIN, seed=4)
    np.testing.assert_array_equal(few.rows, many.rows[:5])
    assert few.attempts == many.attempt[4] + 1
    assert (sample_family(Shuffler(), 5, train=TRAIN, seed=5).rows != few.rows).any()


def test_copies_are_left_out_even_if_their_gaps_differ() -> None:
    class Twins(Shuffler):
        def draw(self, attempts, *, seed, temperature=1.0, fixed=None):  # type: ignore[no-untyped-def]
            rows = np.full((len(attempts), 8), GAP, np.uint8)
            for row, attempt in zip(rows, attempts, strict=True):
                row[attempt % 2 : attempt % 2 + 4] = [0, 1, 2, attempt // 2 % 20]
            return rows, np.array(attempts)

    found = sample_family(Twins(), 10, train=None)
    assert (found.attempt % 2 == 0).all()
    assert np.isnan(found.identity).all()


def test_what_cannot_be_had_is_an_error() -> None:
    with pytest.raises(InputError, match=r"0 of \d+ attempts gave what is wanted, expected 1"):
        sample_family(Shuffler(), 1, train=TRAIN, wanted=Wanted(max_identity=0.0))
    for wanted in (Wanted(max_identity=0.2, min_identity=0.5), Wanted(min_length=5, max_length=4), Wanted(max_identity=2)):
        with pytest.raises(UsageError):
            sample_family(Shuffler(), 1, train=TRAIN, wanted=wanted)
    with pytest.raises(UsageError, match="temperature is 0"):
        sample_family(Shuffler(), 1, train=TRAIN, temperature=0)
    with pytest.raises(UsageError, match="needs the train sequences"):
        sample_family(Shuffler(), 1, train=None, wanted=Wanted(min_identity=0.1))


def test_lengths_beyond_the_columns_are_refused_before_anything_is_drawn() -> None:
    columns = TRAIN.shape[1]
    with pytest.raises(UsageError, match=f"{columns + 1} residues or more are wanted, the model has {columns} columns"):
        sample_family(Shuffler(), 1, train=TRAIN, wanted=Wanted(min_length=columns + 1))
    Wanted(min_length=columns).check(columns)


def test_fixed_positions() -> None:
    focus = focus_of(family_of(["ACDEF", "ACDEF"], start=68, modelled=[True, False, True, True, True]))
    assert fixed_columns("71, D71W,69A"[:2], focus) == {1: 2}
    assert fixed_columns("72K,a69", focus) == {2: 8, 0: 0}
    assert fixed_columns("71-72,F73W", focus) == {1: 2, 2: 3, 3: 18}
    for text, message in (
        ("70", "not modelled"),
        ("68", "has 69 to 73"),
        ("74", "has 69 to 73"),
        ("W71", "the wild type has D"),
        ("71,D71", "fixed twice"),
        ("71B", "none of the 20"),
        ("x", "'x' is no position: expected 70, S70, 70A or 68-73"),
        ("", "is no position"),
        ("71-73,72", "fixed twice"),
        ("69-71", "70 is not modelled"),
    ):
        with pytest.raises(UsageError, match=message):
            fixed_columns(text, focus)
    alone = focus_of(family_of(["ACDEF", "ACDEF"], query=False))
    assert fixed_columns("2W", alone) == {1: 18}
    with pytest.raises(UsageError, match="say which letter"):
        fixed_columns("2", alone)


def test_records() -> None:
    found = sample_family(Shuffler(), 2, train=TRAIN, seed=4)
    text = sample_record(found, 0, aligned=False, seed=4, temperature=0.5, model_sha256="ab" * 32, log_likelihood=-1.5)
    head, letters, _ = text.split("\n")
    assert head == (
        f">sample_1 seed=4 attempt={found.attempt[0]} temperature=0.5 identity={found.identity[0]:.4f} "
        "log_likelihood=-1.5000 model=abababababab"
    )
    assert len(letters) == (found.rows[0] != GAP).sum()
    assert len(sample_record(found, 0, aligned=True, seed=4, temperature=1, model_sha256="").split("\n")[1]) == 8


@pytest.mark.parametrize("states", [20, 21])
def test_a_sweep_agrees_with_the_reference(states: int) -> None:
    model = potts(length=6, states=states)
    couplings = np.ascontiguousarray(model.dense_couplings().transpose(0, 2, 3, 1))
    generator = np.random.default_rng(0)
    rows = generator.integers(0, states, (40, 6)).astype(np.uint8)
    plain, uniforms = rows.copy(), generator.random((6, 40))
    free = np.array([True, True, False, True, True, True])
    sweep_rows(model.fields, couplings, 0.7, free, uniforms, rows, np.empty(states))
    sweep_rows_plainly(model.fields, couplings, 0.7, free, uniforms, plain)
    np.testing.assert_array_equal(rows, plain)


def every_row(length: int, states: int) -> np.ndarray:
    return np.array(list(product(range(states), repeat=length)), np.uint8)


def test_chains_reach_the_distribution() -> None:
    model = potts(length=2)
    rows = every_row(2, 21)
    expected = np.exp(model.energies(rows))
    expected /= expected.sum()
    drawn, begun = GibbsSampler(model, sweeps=20).draw(range(8000), seed=1)
    found = np.bincount(drawn[:, 0].astype(int) * 21 + drawn[:, 1], minlength=441) / len(drawn)
    assert np.abs(found - expected).sum() < 0.2
    assert (begun == -1).all()


def test_chains_do_not_depend_on_each_other() -> None:
    sampler = GibbsSampler(potts(length=6), sweeps=3, starts=TRAIN[:, :6])
    whole, begun = sampler.draw(range(6), seed=2, temperature=1.5, fixed={2: 7})
    part, other = sampler.draw([4, 1], seed=2, temperature=1.5, fixed={2: 7})
    np.testing.assert_array_equal(part, whole[[4, 1]])
    np.testing.assert_array_equal(other, begun[[4, 1]])
    assert (whole[:, 2] == 7).all()
    assert (begun >= 0).all()


def test_cold_chains_have_more_energy_and_starts_matter() -> None:
    model = potts(length=6)
    cold, hot = (
        model.energies(GibbsSampler(model, sweeps=20).draw(range(100), seed=0, temperature=t)[0]).mean() for t in (0.3, 3.0)
    )
    assert cold > hot + 3
    begun, which = GibbsSampler(model, sweeps=1, starts=TRAIN[:, :6]).draw(range(20), seed=0)
    assert (begun != GibbsSampler(model, sweeps=1).draw(range(20), seed=0)[0]).any()
    with pytest.raises(UsageError, match="0 sweeps"):
        GibbsSampler(model, sweeps=0)
    with pytest.raises(UsageError, match="rows of 6 columns"):
        GibbsSampler(model, starts=TRAIN)
    assert len(which) == 20


def test_the_partition_function() -> None:
    model = potts(length=3)
    expected = np.logaddexp.reduce(model.energies(every_row(3, 21)))
    assert log_partition(model, chains=64, steps=200) == pytest.approx(expected, abs=0.15)
