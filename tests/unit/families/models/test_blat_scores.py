"""Scores of TEM-1 beta-lactamase against an assay (Jacquier 2013): a change that makes them worse does not pass unseen."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.files import read_alignment
from genoseq.families.models.fitting import Kind, fit_model
from genoseq.families.variants.files import read_variants

FOLDER = Path(os.environ.get("GENOSEQ_SHARED", Path(__file__).resolve().parents[5] / "shared")) / "data" / "protein"
ASSAY = FOLDER / "dms_BLAT_ECOLX_Jacquier_2013.csv"
ROWS = FOLDER / "msa_BLAT_ECOLX_ColabFold.a3m.gz"


@pytest.fixture(scope="module")
def alignment() -> Alignment:
    if not ASSAY.exists() or not ROWS.exists():
        pytest.skip("no assay and alignment of BLAT_ECOLX (set GENOSEQ_SHARED to the folder that holds data/protein)")
    return read_alignment(ROWS)


def correlation(alignment: Alignment, kind: Kind) -> float:
    table = read_variants(ASSAY)
    assert table.variants is not None
    model = fit_model(alignment, kind, threads=2)
    return float(spearmanr(model.score_variants(table.variants), np.array(table.measured["DMS_score"])).statistic)


@pytest.mark.parametrize(("kind", "least"), [("site", 0.62), ("pssm", 0.65), ("nearest", 0.65), ("profile", 0.62)])
def test_models_of_columns(alignment: Alignment, kind: Kind, least: float) -> None:
    assert correlation(alignment, kind) > least


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_potts_and_ensemble(alignment: Alignment) -> None:
    table = read_variants(ASSAY)
    model = fit_model(alignment, threads=2)
    measured = table.measured["DMS_score"]
    assert table.variants is not None
    assert spearmanr(model.score_variants(table.variants), measured).statistic > 0.70
    assert spearmanr(model.members["potts"].score_variants(table.variants), measured).statistic > 0.695  # type: ignore[attr-defined]
