"""Ensembles by mean rank, and models in files: all kinds come back as they were, others are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.stats import rankdata
from small_family import coupled_family, family_of

from genoseq.errors import IndexFormatError, InputError, UsageError
from genoseq.families.models.ensemble import EnsembleModel, RankScale
from genoseq.families.models.fitting import FitSettings, Kind, fit_model
from genoseq.families.models.model_file import load_model, model_sha256, save_model
from genoseq.families.models.potts_fit import PottsSettings
from genoseq.families.models.pssm import fit_pssm
from genoseq.families.models.site import fit_site
from genoseq.families.variants.notation import all_single_variants, parse_variant

QUICK = FitSettings(potts=PottsSettings(iterations=5))


@pytest.fixture(scope="module")
def models():
    family = coupled_family(150)
    return {kind: fit_model(family, kind, settings=QUICK) for kind in get_args(Kind)}


def test_ranks_of_ties_and_tails():
    scale = RankScale(np.array([1.0, 2.0, 2.0, 3.0, np.nan]))
    ranks = scale(np.array([1.0, 2.0, 3.0, np.nan, -5.0, -6.0]))
    assert ranks[1] == pytest.approx(0.5)
    assert np.isnan(ranks[3])
    assert ranks[5] < ranks[4] < 0 < ranks[2]
    with pytest.raises(UsageError, match="two different scores"):
        RankScale(np.ones(4))


def test_the_mean_of_ranks_by_hand(models):
    ensemble = models["ensemble"]
    variants = all_single_variants(ensemble.wild_type)
    scores = {name: one.score_variants(variants) for name, one in ensemble.members.items()}
    assert list(scores) == ["nearest", "potts", "pssm"]
    nearest, potts, pssm = (rankdata(one) / len(one) for one in scores.values())
    ranks = (2 * potts + pssm + nearest) / 4
    found = ensemble.score_variants(variants)
    differences = found - ranks  # the wild type's own rank, the same for all
    inside = np.all([(one > 0.02) & (one < 0.98) for one in (nearest, potts, pssm)], axis=0)
    assert inside.sum() > 100
    assert np.ptp(differences[inside]) < 0.03


def test_a_score_does_not_depend_on_the_others(models):
    ensemble = models["ensemble"]
    variants = [parse_variant(f"{ensemble.wild_type[p]}{p + 1}W") for p in (0, 3, 5)] + [()]
    together = ensemble.score_variants(variants)
    assert [ensemble.score_variants([one])[0] for one in variants] == together.tolist()
    assert together[3] == 0
    np.testing.assert_allclose(ensemble.single_scores()[[0, 3, 5], 18], together[:3])


def test_far_multiple_variants_still_differ(models):
    ensemble = models["ensemble"]
    wild = ensemble.wild_type
    parts = [f"{wild[p]}{p + 1}{'P' if wild[p] != 'P' else 'G'}" for p in (5, 2, 9, 7, 8)]
    scores = ensemble.score_variants([parse_variant(":".join(parts[:count])) for count in (1, 2, 4, 5)])
    assert (np.diff(scores) < 0).all()


def test_indels_go_to_the_profile(models):
    ensemble, wild = models["ensemble"], models["ensemble"].wild_type
    shorter = wild[:5] + wild[6:]
    scores = ensemble.score_sequences([wild, shorter])
    assert scores[0] == 0
    assert scores[1] < -0.1
    assert np.isnan(EnsembleModel(ensemble.members).score_sequences([shorter])[0])
    assert np.isnan(models["potts"].score_sequences([shorter])[0])


def test_members_of_another_wild_type_are_refused(models):
    other = fit_site(family_of(["ACDEF", "ACDEW"]))
    with pytest.raises(UsageError, match="other is of another"):
        EnsembleModel({"pssm": models["pssm"], "other": other})
    with pytest.raises(UsageError, match="above 0"):
        EnsembleModel(models["ensemble"].members, weights={"potts": 1, "pssm": 0, "nearest": 1})
    with pytest.raises(UsageError, match="at least two"):
        EnsembleModel({"pssm": models["pssm"]})


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_comes_back_as_it_was(models, kind, tmp_path: Path):
    model = models[kind]
    digest = save_model(model, tmp_path / "a.model")
    again = load_model(tmp_path / "a.model", kind=kind)
    assert model_sha256(again) == digest == save_model(again, tmp_path / "b.model")
    assert (tmp_path / "a.model").read_bytes() == (tmp_path / "b.model").read_bytes()
    assert type(again) is type(model)
    assert (again.wild_type, again.start, again.kind) == (model.wild_type, model.start, kind)
    assert dict(again.focus.settings) == json.loads(json.dumps(dict(model.focus.settings)))
    variants = all_single_variants(model.wild_type)[::7]
    np.testing.assert_array_equal(again.score_variants(variants), model.score_variants(variants))
    with pytest.raises(IndexFormatError, match=f"of kind {kind}, expected other"):
        load_model(tmp_path / "a.model", kind="other")


def test_a_model_without_wild_type_comes_back(tmp_path: Path):
    model = fit_model(family_of(["ACDEF", "ACDEW", "AC-EW"], query=False), "potts", settings=QUICK)
    save_model(model, tmp_path / "a.model")
    assert load_model(tmp_path / "a.model").wild_type == ""


def rewrite(path: Path, **changes: object) -> Path:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        content = json.loads(file.metadata()["genoseq"])
    out = path.with_name("changed.model")
    save_file(load_file(path), out, {"genoseq": json.dumps({**content, **changes})})
    return out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "has version 2 of the format, this genoseq .* reads version 1"),
        ({"kind": "oracle"}, "kind 'oracle', known are .*ensemble, nearest, potts"),
        ({"kind": "potts"}, "is damaged"),
        ({"format": "genoseq.classifier"}, "is no model of a protein family"),
        ({"sha256": "0" * 64}, "its SHA-256 is not what it should be"),
        ({"wild_type": "ACD"}, "12 columns for 3 residues"),
    ],
)
def test_other_files_are_refused(models, tmp_path: Path, changes, message):
    save_model(models["pssm"], tmp_path / "a.model")
    with pytest.raises(IndexFormatError, match=message):
        load_model(rewrite(tmp_path / "a.model", **changes))


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_files_cut_short_are_refused(models, tmp_path: Path, keep):
    path = tmp_path / "a.model"
    save_model(models["pssm"], path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(IndexFormatError, match=r"a.model: is (empty|no model of a protein family, or is damaged or cut short)"):
        load_model(path)
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "missing.model")


def test_pssm_options_are_kept(models):
    assert models["ensemble"].focus.settings["members"]["pssm"]["beta"] == 10.0
    assert fit_pssm(coupled_family(50), beta=3.0).focus.settings["beta"] == 3.0
