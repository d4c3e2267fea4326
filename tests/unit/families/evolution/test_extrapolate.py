"""The search finds a known optimum, keeps to its limits and budget, and repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from small_family import coupled_family
from tiny_proteins import save_esm2

from genoseq.errors import InputError, UsageError
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.evolution.extrapolate import Evolved, Limits, Search, evolve, proposals, trajectory_rows
from genoseq.families.evolution.proposers import family_proposer, family_scorer, masked_proposer, masked_scorer
from genoseq.families.language.masked import load_masked
from genoseq.families.models.fitting import fit_model
from genoseq.families.models.potts import PottsModel

WILD = "AAAAAAAAAA"
WANTED = "ACDEFGHIKL"


def flat(sequence: str) -> np.ndarray:
    return np.zeros((len(sequence), 20))


def toy(sequences: Sequence[str]) -> np.ndarray:
    """Residues like the wanted ones; the last two only count together, so that the way there leads over a level step."""
    return np.array(
        [sum(a == b for a, b in zip(one[:8], WANTED, strict=False)) + 2.0 * (one[8:] == WANTED[8:]) for one in sequences]
    )


def test_the_optimum_of_a_known_landscape_is_found() -> None:
    search = Search(budget=5000, beam=20, children=10, edits=2, seed=1)
    found = evolve(WILD, flat, toy, limits=Limits(letters=WANTED), search=search)
    assert found.best(1)[0].sequence == WANTED
    assert found.best(1)[0].score == 10.0


def test_a_good_proposer_needs_fewer_calls() -> None:
    def knowing(sequence: str) -> np.ndarray:
        table = np.zeros((len(sequence), 20))
        table[np.arange(10), [AMINO_ACIDS.index(letter) for letter in WANTED]] = 4.0
        return table

    def calls(proposer: object) -> int:
        found = evolve(WILD, proposer, toy, search=Search(budget=1500, edits=2))  # type: ignore[arg-type]
        return next((one.call for one in found.candidates if one.score >= 7), 10**6)

    assert calls(knowing) * 3 < calls(flat)


def test_budget_rounds_and_calls() -> None:
    asked: list[int] = []

    def scorer(sequences: Sequence[str]) -> np.ndarray:
        asked.append(len(sequences))
        return toy(sequences)

    found = evolve(WILD, flat, scorer, search=Search(budget=77, beam=4, children=3))
    assert sum(asked) == len(found.candidates) == 77
    assert found.ended == "budget"
    assert max(asked) <= 12
    assert found.rounds == len(asked) - 1
    assert [one.call for one in found.candidates] == list(range(77))
    assert len({one.sequence for one in found.candidates}) == 77


def test_limits_hold() -> None:
    limits = Limits(fixed=frozenset({0, 8}), max_mutations=3, letters="ACDEFGHIL", at={2: "DW"})
    found = evolve(WILD, flat, toy, limits=limits, search=Search(budget=800, edits=4))
    for one in found.candidates:
        assert one.sequence[0] == one.sequence[8] == "A"
        assert one.sequence[2] in "ADW"
        assert sum(a != b for a, b in zip(one.sequence, WILD, strict=True)) == len(one.variant) <= 3
        assert all(new in "ACDEFGHILW" for _, _, new in one.variant)
    assert found.best(1)[0].score == 4.0  # the first letter as it is, three more
    assert {one.sequence[2] for one in found.candidates} == {"A", "D", "W"}


def test_at_the_limit_mutations_can_move() -> None:
    """With one mutation allowed, the beam still goes over from one single variant to another."""
    found = evolve("AAA", flat, lambda given: np.array([float(one == "AAW") for one in given]),
                   limits=Limits(max_mutations=1), search=Search(budget=500, beam=3, min_distance=0, seed=2))  # fmt: skip
    assert all(len(one.variant) == 1 for one in found.candidates[1:])
    assert found.best(1)[0].sequence == "AAW"


def test_the_beam_is_diverse_and_keeps_its_elite() -> None:
    def distances(beam: Sequence[object], skip: int) -> list[int]:
        rows = [one.sequence for one in beam]  # type: ignore[attr-defined]
        return [
            sum(a != b for a, b in zip(rows[i], rows[j], strict=True)) for i in range(len(rows)) for j in range(i) if i >= skip
        ]

    far = evolve(WILD, flat, toy, search=Search(budget=600, min_distance=4))
    assert min(distances(far.beam, 1)) >= 4
    near = evolve(WILD, flat, toy, search=Search(budget=600, min_distance=0))
    assert min(distances(near.beam, 1)) < 4
    elite = evolve(WILD, flat, toy, search=Search(budget=600, min_distance=10, elite=3))
    assert len(elite.beam) >= 3
    best = sorted(-one.score for one in elite.candidates)[:3]
    assert [-one.score for one in elite.beam[:3]] == best


def test_the_best_never_gets_lost() -> None:
    found = evolve(WILD, flat, toy, search=Search(budget=400, beam=2, min_distance=3))
    assert found.beam[0].score == max(one.score for one in found.candidates)
    chosen = found.best(5, min_distance=4)
    rows = [one.sequence for one in chosen]
    assert all(sum(a != b for a, b in zip(x, y, strict=True)) >= 4 for i, x in enumerate(rows) for y in rows[:i])
    assert all(one.variant for one in chosen)


def test_the_seed_decides() -> None:
    runs = [evolve(WILD, flat, toy, search=Search(budget=120, seed=seed)).candidates for seed in (5, 5, 6)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_temperature_and_edits_have_their_effect() -> None:
    table = np.zeros((10, 20))
    table[:, AMINO_ACIDS.index("W")] = 2.0
    allowed = np.ones((10, 20), np.bool_)

    def share(search: Search) -> tuple[float, float]:
        rows = [one for number in range(30) for one in proposals(WILD, WILD, table, allowed, None, search, number)]
        changed = [(a, b) for row in rows for a, b in zip(row, WILD, strict=True) if a != b]
        return sum(a == "W" for a, _ in changed) / len(changed), len(changed) / len(rows)

    cold, hot = share(Search(temperature=0.3)), share(Search(temperature=5.0))
    assert cold[0] > 0.9 > 0.3 > hot[0]
    assert share(Search(edits=1))[1] == 1.0
    assert share(Search(edits=6))[1] > 2.5


def test_refused_sequences_do_not_go_on() -> None:
    def picky(sequences: Sequence[str]) -> np.ndarray:
        return np.array([np.nan if "W" in one else float(one.count("C")) for one in sequences])

    found = evolve(WILD, flat, picky, search=Search(budget=300))
    refused = [one for one in found.candidates if "W" in one.sequence]
    assert refused
    assert all(math.isnan(one.score) and not one.kept for one in refused)
    assert all("W" not in one.sequence for one in found.beam)


def test_a_small_space_ends_before_the_budget() -> None:
    found = evolve("AA", flat, lambda given: np.zeros(len(given)), limits=Limits(letters="AC"), search=Search(budget=100))
    assert {one.sequence for one in found.candidates} == {"AA", "AC", "CA", "CC"}
    assert found.ended == "nothing new"
    assert found.rounds == max(one.round for one in found.candidates)


def test_the_trajectory_is_a_table() -> None:
    found = evolve(WILD, flat, toy, search=Search(budget=30))
    rows = trajectory_rows(found, offset=100)
    assert rows[0] == ("0", "0", "", "WT", "0", "1", "1", "1")
    assert all(row[3].startswith("A1") for row in rows[1:])
    bests = [float(row[6]) for row in rows]
    assert bests == sorted(bests)
    for row in rows[1:]:
        assert int(row[2]) < int(row[0])
    assert isinstance(found, Evolved)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(fixed=frozenset({10})), "residue 11 is limited, the wild type has 10"),
        (Limits(letters="AB"), "'B' is none of the 20"),
        (Limits(letters="A"), "nothing may be changed"),
        (Limits(max_mutations=0), "nothing to design"),
    ],
)
def test_limits_that_make_no_sense(limits: Limits, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evolve(WILD, flat, toy, limits=limits)


@pytest.mark.parametrize("field", ["budget", "beam", "children", "edits"])
def test_numbers_that_make_no_sense(field: str) -> None:
    with pytest.raises(UsageError, match=f"{field} is 0"):
        evolve(WILD, flat, toy, search=Search(**{field: 0}))


def test_bad_proposers_scorers_and_wild_types() -> None:
    with pytest.raises(InputError, match="holds 'X'"):
        evolve("AXA", flat, toy)
    with pytest.raises(InputError, match=r"logits of shape \(2, 20\) for 10 residues"):
        evolve(WILD, lambda sequence: np.zeros((2, 20)), toy)
    with pytest.raises(InputError, match=r"scores of shape \(3,\) for 1 sequences"):
        evolve(WILD, flat, lambda given: np.zeros(3))
    with pytest.raises(InputError, match="gives the wild type no score"):
        evolve(WILD, flat, lambda given: np.full(len(given), np.nan))


@pytest.fixture(scope="module")
def potts() -> PottsModel:
    from genoseq.families.models.fitting import FitSettings
    from genoseq.families.models.potts_fit import PottsSettings

    model = fit_model(coupled_family(200), "potts", settings=FitSettings(potts=PottsSettings(iterations=8)))
    assert isinstance(model, PottsModel)
    return model


def test_a_potts_model_proposes_what_fits_the_rest(potts: PottsModel) -> None:
    wild = potts.wild_type
    proposer = family_proposer(potts, wild)
    column = [AMINO_ACIDS.index(letter) for letter in "DW"]
    plain, other = proposer(wild)[9, column], proposer(wild[:2] + "K" + wild[3:])[9, column]
    assert plain[0] > plain[1]
    assert other[1] > other[0]
    gain = proposer(wild) - proposer(wild)[np.arange(12), [AMINO_ACIDS.index(letter) for letter in wild]][:, None]
    np.testing.assert_allclose(gain, potts.single_scores(), atol=1e-4)


def test_a_longer_wild_type_keeps_its_ends(potts: PottsModel) -> None:
    longer = "WW" + potts.wild_type + "Y"
    proposer, scorer = family_proposer(potts, longer), family_scorer(potts, longer)
    assert np.isnan(proposer(longer)[[0, 1, 14]]).all()
    np.testing.assert_allclose(proposer(longer)[2:14], family_proposer(potts, potts.wild_type)(potts.wild_type), atol=1e-5)
    found = evolve(longer, proposer, scorer, search=Search(budget=60))
    assert all(one.sequence.startswith("WW") and one.sequence.endswith("Y") for one in found.candidates)
    assert found.beam[0].score > 0


def test_other_models_propose_their_single_scores() -> None:
    model = fit_model(coupled_family(100), "pssm")
    np.testing.assert_allclose(family_proposer(model, model.wild_type)(model.wild_type), model.single_scores())


def test_masked_models_propose_and_score(tmp_path: Path) -> None:
    model = load_masked(save_esm2(tmp_path))
    found = evolve(WILD, masked_proposer(model), masked_scorer(model, WILD), search=Search(budget=25))
    assert found.beam[0].score >= 0
    assert len(found.candidates) == 25
    other = masked_scorer(model, WILD, method="pseudo-likelihood")([WANTED])
    assert other != masked_scorer(model, WILD)([WANTED])
