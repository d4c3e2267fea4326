"""Site-independent models and PSSMs: counts by hand, pseudo-counts, the choice of close rows, the protocol's promises."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from small_family import family_of

from genoseq.errors import UsageError
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.models.pssm import BACKGROUND, conditional_probabilities, expected_logs, fit_pssm
from genoseq.families.models.site import fit_site
from genoseq.families.variants.notation import parse_variant

ROWS = ["ACDEF", "ACDEW", "ACGHW", "KLM-W", "KLMHX"]


def code(letter: str) -> int:
    return AMINO_ACIDS.index(letter)


def test_site_counts_are_weighted_frequencies():
    model = fit_site(family_of(ROWS), pseudo_count=2.0, weight_identity=1.0)
    # Last column: F once, W three times, X not counted; 0.1 pseudo-counts a letter.
    assert model.logs[4, code("W")] == pytest.approx(np.log(3.1 / 6))
    assert model.logs[4, code("A")] == pytest.approx(np.log(0.1 / 6))
    assert model.score_variants([parse_variant("F5W")])[0] == pytest.approx(np.log(3.1 / 1.1))


def test_weights_count_copies_once():
    rows = ["ACDEF", "ACDEF", "ACDEF", "KLMHW"]
    model = fit_site(family_of(rows), pseudo_count=2.0, weight_identity=1.0)
    assert model.score_variants([parse_variant("A1K")])[0] == pytest.approx(0)


def test_blosum_conditionals():
    conditional = conditional_probabilities()
    background = np.array(BACKGROUND) / sum(BACKGROUND)
    odds = conditional / background
    # BLOSUM62 gives I-V 3 and I-I 4; its scale for these frequencies is 0.3176 (Altschul et al. 1997, table of lambda).
    assert odds[code("I"), code("V")] / odds[code("I"), code("I")] == pytest.approx(np.exp(-0.3176), rel=1e-4)
    np.testing.assert_allclose(conditional.sum(axis=1), 1)
    assert conditional[code("I"), code("V")] > 2 * background[code("V")]
    assert conditional[code("W"), code("W")] > 0.4


def test_pseudo_counts():
    seen = np.zeros((2, 20))
    seen[0, code("I")] = 1000.0
    logs = expected_logs(seen, beta=10.0)
    expected = 10 * conditional_probabilities()[code("I"), code("V")] / 1010
    assert logs[0, code("V")] == pytest.approx(np.log(expected))
    background = np.array(BACKGROUND) / sum(BACKGROUND)
    np.testing.assert_allclose(np.exp(logs[1]), background @ conditional_probabilities())  # nothing seen
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1)


def close_and_far():
    random = np.random.default_rng(0)
    wild = "".join(random.choice(list(AMINO_ACIDS), 30))
    letters = list(AMINO_ACIDS)

    def relative(identity: float) -> str:
        keep = random.random(30) < identity
        return "".join(old if same else str(random.choice(letters)) for old, same in zip(wild, keep, strict=True))

    return wild, [relative(0.6) for _ in range(60)], [relative(0.15) for _ in range(60)]


def test_only_close_rows_are_taken(caplog):
    wild, close, far = close_and_far()
    family = family_of([wild, *close, *far])
    model = fit_pssm(family)
    assert model.focus.settings["identity_used"] == 0.4
    assert model.focus.settings["rows"] < 75
    every = fit_pssm(family, min_identity=0.0)
    assert every.focus.settings["rows"] == 121
    assert model.single_scores().mean() < every.single_scores().mean()  # far rows blur
    assert not caplog.records


def test_too_few_close_rows_are_filled_up_and_told(caplog):
    wild, close, far = close_and_far()
    with caplog.at_level(logging.WARNING, "genoseq"):
        model = fit_pssm(family_of([wild, *close[:3], *far]))
    assert "PSSM: rows of at least 40 % identity" in caplog.text
    assert model.focus.settings["identity_used"] < 0.4
    assert 20 <= model.focus.settings["rows"] < 64


def test_all_too_few_takes_all():
    wild, close, _ = close_and_far()
    model = fit_pssm(family_of([wild, close[0]]))
    assert np.isfinite(model.single_scores()).all()


def test_without_wild_type():
    family = family_of(ROWS, query=False)
    with pytest.raises(UsageError, match="the alignment has none"):
        fit_pssm(family)
    assert fit_pssm(family, min_identity=0.0).logs.shape == (5, 20)
    model = fit_site(family)
    with pytest.raises(UsageError, match="no wild type"):
        model.score_variants([parse_variant("A1K")])


def test_what_has_no_score_is_nan():
    family = family_of(["ACXEF", *ROWS[1:]], modelled=[True, False, True, True, True])
    model = fit_site(family)
    wanted = ["A1K", "C2D", "A3D", "E4H", "A1K:C2D", "F9A", "F5F", "WT"]
    scores = model.score_variants([parse_variant(text) for text in wanted])
    assert np.isnan(scores).tolist() == [False, True, True, False, True, True, False, False]
    assert scores[-2:].tolist() == [0, 0]


def test_a_score_depends_on_nothing_else():
    model = fit_site(family_of(ROWS))
    texts = ["A1K", "A1K:C2L", "E4H", "C2L:D3M:E4H"]
    together = model.score_variants([parse_variant(text) for text in texts])
    alone = [model.score_variants([parse_variant(text)])[0] for text in texts]
    assert together.tolist() == alone
    assert together[1] == pytest.approx(together[0] + model.score_variants([parse_variant("C2L")])[0])


def test_sequences_score_as_variants():
    model = fit_site(family_of(ROWS))
    scores = model.score_sequences(["ACDEF", "KLDEF", "ACDE", "ACDEX"])
    assert scores[0] == 0
    assert scores[1] == pytest.approx(model.score_variants([parse_variant("A1K:C2L")])[0])
    assert np.isnan(scores[2])
    assert scores[3] == pytest.approx(-0.0)
