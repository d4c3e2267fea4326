"""Fit a model of a chosen kind to an alignment, with filters and defaults that hold for all kinds."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.filtering import filter_alignment
from genoseq.families.alphabet import GAP
from genoseq.families.models.ensemble import EnsembleModel
from genoseq.families.models.model import FamilyModel
from genoseq.families.models.nearest import fit_nearest
from genoseq.families.models.potts import PottsModel, fit_potts_model
from genoseq.families.models.potts_fit import PottsSettings
from genoseq.families.models.profile import fit_profile
from genoseq.families.models.pssm import MIN_IDENTITY, fit_pssm
from genoseq.families.models.site import fit_site
from genoseq.log import counted

__all__ = ["FitSettings", "Kind", "fit_model"]

log = logging.getLogger(__name__)

Kind = Literal["ensemble", "potts", "pssm", "nearest", "site", "profile"]
SHALLOW = 1.0  # effective sequences a column; below, couplings are hardly determined (Hopf et al. 2017)
WEIGHTS = {"potts": 2.0, "pssm": 1.0, "nearest": 1.0}
"""Of the ensemble: the Potts model knows what the columns say alone, too, and is the better one on most proteins."""


@dataclass(frozen=True)
class FitSettings:
    """What a user may choose.

    Attributes:
        min_coverage: share of the modelled columns in which a row has a residue, at least.
        weight_identity: identity from which rows count as one.
        pssm_identity: identity to the wild type of the rows that the PSSM takes.
        potts: of the Potts model.
    """

    min_coverage: float = 0.7
    weight_identity: float = 0.8
    pssm_identity: float = MIN_IDENTITY
    potts: PottsSettings = field(default_factory=PottsSettings)


def fit_model(
    alignment: Alignment,
    kind: Kind = "ensemble",
    *,
    settings: FitSettings | None = None,
    sampler: bool = False,
    device: str = "cpu",
    threads: int = 1,
) -> FamilyModel:
    """A fitted model.

    ``ensemble`` is the mean rank of the Potts model (weight 2), the PSSM and the nearest homologues (weight 1 each), with a
    profile HMM for insertions and deletions: the first sees interactions in the whole family, the second what close homologues
    tolerate, the third how near the homologues are that carry a letter.

    Args:
        alignment: as it was read; its rows are filtered here.
        kind: of the model.
        sampler: an ensemble also gets an autoregressive model, with settings of its own, to draw new members from.
        device: for the Potts model and the sampler, ``cpu`` or a device of torch.
        threads: on the CPU; they change no result.

    Raises:
        UsageError: an unknown kind; a model that needs the wild type of an alignment without; a sampler for another kind.
        InputError: nothing to learn from: one row, or no columns to model.
    """
    settings = settings or FitSettings()
    if kind not in get_args(Kind):
        raise UsageError(f"{kind!r} is no kind of model: expected one of {', '.join(get_args(Kind))}")
    if sampler and kind != "ensemble":
        raise UsageError(f"a model of kind {kind} has no sampler beside it: only an ensemble has")
    if not alignment.modelled.any():
        raise InputError("the alignment has no column to model")
    if kind in ("ensemble", "pssm", "nearest") and alignment.query is None:
        raise UsageError(
            f"a model of kind {kind} needs the wild type, and the alignment has none: "
            "say which row it is (--wild-type NAME), or choose potts"
        )
    rows = filter_alignment(alignment, min_coverage=settings.min_coverage)
    _look(alignment, rows, kind)
    models = {
        "potts": lambda: _potts(rows, settings, device, threads),
        "pssm": lambda: fit_pssm(
            rows, min_identity=settings.pssm_identity, weight_identity=settings.weight_identity, threads=threads
        ),
        "nearest": lambda: fit_nearest(rows, weight_identity=settings.weight_identity, threads=threads),
        "site": lambda: fit_site(rows, weight_identity=settings.weight_identity, threads=threads),
        "profile": lambda: fit_profile(rows),
    }
    if kind == "ensemble":
        drawn_from = _sampler(rows, device, threads) if sampler else None
        members = {name: models[name]() for name in WEIGHTS}
        return EnsembleModel(members, weights=WEIGHTS, indels=models["profile"](), sampler=drawn_from)
    return models[kind]()


def _sampler(rows: Alignment, device: str, threads: int) -> FamilyModel:
    from genoseq.families.models.autoregressive import fit_autoregressive  # needs torch

    return fit_autoregressive(rows, device=device, threads=threads)


def _potts(rows: Alignment, settings: FitSettings, device: str, threads: int) -> PottsModel:
    """The Potts model; a word where the family is too shallow for it."""
    found = fit_potts_model(
        rows, settings=settings.potts, weight_identity=settings.weight_identity, device=device, threads=threads
    )
    depth = found.focus.settings["effective_rows"] / found.focus.length
    if depth < SHALLOW:
        log.warning(
            "Potts model: %.1f effective sequences a column are few to see interactions; the kind pssm may do as well",
            depth,
        )
    if not found.focus.settings["converged"]:
        log.warning("Potts model: stopped after %d steps, before its end", found.focus.settings["iterations"])
    return found


def _look(alignment: Alignment, rows: Alignment, kind: str) -> None:
    """Refuse what holds no information; warn of what holds little."""
    others = len(rows) - (1 if alignment.query is not None else 0)
    if others < 1:
        dropped = len(alignment) - len(rows)
        found = "holds one sequence" if not dropped else f"holds one sequence that is long enough ({dropped:,} are not)"
        if kind != "pssm":
            remedy = (
                "lower the coverage asked for"
                if dropped
                else "search for homologues first, or choose the kind pssm (BLOSUM62 alone)"
            )
            raise InputError(f"the alignment {found}: there is nothing to learn from", remedy=remedy)
        log.warning("the alignment %s: scores come from BLOSUM62 alone", found)
    filled = (rows.matrix[:, rows.modelled] < GAP).sum(axis=0)
    empty = int((filled <= (1 if alignment.query is not None else 0)).sum())
    if empty and others >= 1:
        log.warning("%s no homologue: their scores say little", "1 column has" if empty == 1 else f"{empty} columns have")
    log.info("%s, %d columns", counted(len(rows), "sequence"), int(np.count_nonzero(rows.modelled)))
