"""Fitting by kind with its refusals, and scoring of lists: the wild type's place, flanks, indels, what has no score."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from small_family import coupled_family, family_of

from genoseq.errors import InputError, UsageError
from genoseq.families.models.ensemble import EnsembleModel
from genoseq.families.models.fitting import FitSettings, fit_model
from genoseq.families.models.nearest import NearestModel
from genoseq.families.models.potts import PottsModel
from genoseq.families.models.potts_fit import PottsSettings
from genoseq.families.models.profile import ProfileModel
from genoseq.families.models.pssm import PSSMModel
from genoseq.families.models.scoring import place_wild_type, score_sequences, score_variants, single_variant_table
from genoseq.families.models.site import SiteModel
from genoseq.families.variants.notation import parse_variant

QUICK = FitSettings(potts=PottsSettings(iterations=4))


@pytest.fixture(scope="module")
def model():
    return fit_model(coupled_family(120), settings=QUICK)


def test_one_sequence_is_refused_but_by_the_pssm(caplog):
    alone = family_of(["ACDEFGHIKL"])
    for kind in ("ensemble", "potts", "site", "profile"):
        with pytest.raises(InputError, match="holds one sequence: there is nothing to learn from; search for homologues"):
            fit_model(alone, kind)
    with caplog.at_level(logging.WARNING, "genoseq"):
        found = fit_model(alone, "pssm")
    assert "BLOSUM62 alone" in caplog.text
    assert found.score_variants([parse_variant("I8V")])[0] > found.score_variants([parse_variant("I8W")])[0]


def test_rows_that_are_all_too_short_are_refused():
    family = family_of(["ACDEFGHIKL", "AC--------", "---EF-----"])
    with pytest.raises(InputError, match=r"long enough \(2 are not\).*lower the coverage"):
        fit_model(family, "site")
    assert fit_model(family, "site", settings=FitSettings(min_coverage=0.1)).focus.settings["rows"] == 3


def test_columns_of_gaps_are_told(caplog):
    rows = ["ACDEFGHIKL", *["ACDEFGHI-L"] * 3, "WCDEFGHI-L"]
    with caplog.at_level(logging.WARNING, "genoseq"):
        found = fit_model(family_of(rows), "ensemble", settings=QUICK)
    assert "1 column has no homologue" in caplog.text
    assert np.isfinite(found.single_scores()).all()


def test_shallow_families_and_fits_that_did_not_end_are_told(caplog):
    with caplog.at_level(logging.WARNING, "genoseq"):
        fit_model(family_of(["ACDEFGHIKL", "ACDEFWHIKL", "ACWEFGYIKL"]), "potts")
    assert "effective sequences a column are few" in caplog.text
    assert "before its end" not in caplog.text
    with caplog.at_level(logging.WARNING, "genoseq"):
        fit_model(coupled_family(120), "potts", settings=QUICK)
    assert "stopped after 4 steps" in caplog.text


def test_what_is_needed_is_said():
    with pytest.raises(UsageError, match="a model of kind ensemble needs the wild type"):
        fit_model(family_of(["ACDEF", "ACDEW"], query=False))
    with pytest.raises(UsageError, match="expected one of ensemble, potts"):
        fit_model(family_of(["ACDEF", "ACDEW"]), "magic")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no column to model"):
        fit_model(family_of(["ACDEF", "ACDEW"], modelled=[False] * 5), "site")


def test_settings_reach_the_models():
    family = coupled_family(120)
    plain = fit_model(family, "pssm")
    assert fit_model(family, "pssm", settings=FitSettings(pssm_identity=0.8)).logs.tolist() != plain.logs.tolist()
    assert (
        fit_model(family, "site", settings=FitSettings(weight_identity=0.3)).logs.tolist()
        != fit_model(family, "site").logs.tolist()
    )


@pytest.mark.parametrize(("before", "after"), [("", ""), ("MKT", ""), ("MK", "GGG")])
def test_a_longer_wild_type_finds_its_place(model, before, after):
    wild = before + model.wild_type + after
    begin = place_wild_type(wild, model)
    assert begin == len(before)
    text = f"{model.wild_type[3]}{4 + begin}W"
    found = score_variants(model, [parse_variant(text)], begin=begin)
    assert found.score[0] == model.score_variants([parse_variant(f"{model.wild_type[3]}4W")])[0]
    table = single_variant_table(model, wild, begin=begin)
    assert np.isnan(table).all(axis=1).sum() == len(before) + len(after)
    if before:
        outside = score_variants(model, [parse_variant("M1A")], begin=begin)
        assert outside.outside == 1
        assert np.isnan(outside.score[0])


def test_a_shorter_wild_type_finds_its_place(model):
    begin = place_wild_type(model.wild_type[3:], model)
    assert begin == -3
    found = score_variants(model, [parse_variant(f"{model.wild_type[3]}1W")], begin=begin)
    assert found.score[0] == model.score_variants([parse_variant(f"{model.wild_type[3]}4W")])[0]


def test_another_protein_is_refused(model):
    with pytest.raises(InputError, match="at best 1 of 12 residues differ"):
        place_wild_type("W" + model.wild_type[1:], model)


def test_sequences_of_all_lengths(model):
    wild = "MK" + model.wild_type + "GG"
    substituted = "MK" + "W" + model.wild_type[1:] + "GG"
    deleted = "MK" + model.wild_type[1:] + "GG"
    flank = "K" + model.wild_type + "GG"
    unknown = "MK" + "X" + model.wild_type[1:] + "GG"
    found = score_sequences(model, wild, [wild, substituted, deleted, flank, unknown], begin=2)
    assert found.score[0] == 0
    assert found.score[1] == model.score_variants([parse_variant(f"{model.wild_type[0]}1W")])[0]
    assert found.score[2] == model.score_sequences([model.wild_type[1:]])[0]
    assert np.isnan(found.score[3:]).all()  # a deletion before the alignment, a residue that is not known
    assert (found.outside, found.lengths) == (1, 1)
    assert set(found.members) == {"potts", "pssm", "nearest"}


def test_remnants_of_the_protein_are_told(model, caplog):
    wild = "MK" + model.wild_type + "GG"  # 16 residues
    with caplog.at_level(logging.WARNING, "genoseq"):
        half = "MK" + model.wild_type[:4] + "GG"
        score_sequences(model, wild, [wild, half, "K"], begin=2)  # the last gets no score
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "genoseq"):
        found = score_sequences(model, wild, ["MK" + model.wild_type[:3] + "GG", "MK" + model.wild_type[:1] + "GG"], begin=2)
    assert np.isfinite(found.score).all()
    assert "2 scored sequences have less than half of the wild type's 16 residues (5 to 7): such scores say little" in caplog.text


def test_models_of_substitutions_leave_indels_out():
    plain = fit_model(coupled_family(60), "site")
    found = score_sequences(plain, plain.wild_type, [plain.wild_type[1:]])
    assert found.lengths == 1
    assert np.isnan(found.score[0])


def test_models_say_their_unit() -> None:
    units = {one.kind: one.unit for one in (EnsembleModel, NearestModel, PottsModel, ProfileModel, PSSMModel, SiteModel)}
    assert units.pop("ensemble") == "difference of mean ranks"
    assert units.pop("nearest") == ""
    assert set(units.values()) == {"nats"}
