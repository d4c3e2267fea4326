"""Trains the table of the window encoder: data, loss, rounding to int8, evaluation, files.

The table holds one vector per position and feature; a window's sums are the sum of 64 of them (see
:mod:`genoseq.embed.window_reference`). Only their signs are stored, and the sign has no gradient. Training
passes the gradient straight through it where the sum is near zero (Bengio, Leonard & Courville, arXiv
1308.3432), so that what is optimised are the bits themselves.

The loss asks what the mapper asks: does a true window score above the false ones *under one threshold for all
queries*? With scores ``Z`` of every query of a batch against every window of it, and true pairs on the
diagonal,

    loss = mean_i softplus(log(sum_{j != k} exp Z_jk / n) - Z_ii)

The pooled log-sum-exp is a smooth stand-in for the threshold at a small false-positive rate. (InfoNCE, which
gives every query a threshold of its own, was a few points worse at the smallest rates.) The loss is taken of two
scores, weighted: bits against bits (``hamming``) and query sums against bits (``sums``, divided by the length
of the sums).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from genoseq.errors import GenoseqError
from genoseq.kernels import kernel
from genoseq.train.window_data import FLANK, WindowPairs, window_features, window_pairs
from genoseq.train.window_recipe import Objective, Optimiser, WindowRecipe

__all__ = ["BITS", "TrainedTable", "quantise", "random_table", "train_table", "widen"]

BITS = 128
REACH = 127  # largest table entry: 64 of them fit int16


class TrainedTable(NamedTuple):
    """Attributes: table: float32 ``(64, 4**context, 128)``; losses: of each step, float32 ``(steps,)``."""

    table: NDArray[np.float32]
    losses: NDArray[np.float32]


def random_table(*, context: int = 1, smoothing: float = 1.0, seed: int = 0) -> NDArray[np.float32]:
    """The untrained table: Gaussian vectors, smoothed along each flank, float32 ``(64, 4**context, 128)``.

    Smoothing makes neighbouring positions agree, so that an indel shifts the code gradually. Tables of wider
    context start as the same sums (see :func:`widen`): vectors drawn anew for each context-mer lose too much
    to a single substitution.
    """
    rng = np.random.default_rng(seed)
    raw = rng.standard_normal((2, FLANK, 4, BITS))
    places = np.arange(FLANK)
    weights = np.eye(FLANK)
    if smoothing > 0:
        weights = np.exp(-0.5 * ((places[:, None] - places) / smoothing) ** 2)
    weights /= np.sqrt(np.sum(weights**2, axis=1, keepdims=True))
    table = np.einsum("pq,fqsd->fpsd", weights, raw).reshape(2 * FLANK, 4, BITS)
    table -= table.mean(axis=1, keepdims=True)
    for _ in range(context - 1):
        table = widen(table)
    first: NDArray[np.float32] = table.astype(np.float32)
    return first


def widen(table: NDArray[np.floating]) -> NDArray[np.floating]:
    """A table of one more base of context that gives every whole window the same sums."""
    features = table.shape[1]
    wider = np.repeat(table, 4, axis=1)  # the first base of a feature is its most significant digit
    context = {4: 1, 16: 2}[features]
    for end in (FLANK, 2 * FLANK):
        last = end - context - 1  # a wider feature that starts later would leave the flank
        wider[last] += np.tile(table[last + 1], (4, 1))
        wider[last + 1 : end] = 0
    return wider


def quantise(table: NDArray[np.floating]) -> NDArray[np.int8]:
    """The table in whole numbers from -127 to 127; no entry is off by more than half a unit."""
    largest = float(np.abs(table).max())
    if not (largest > 0 and math.isfinite(largest)):
        raise ValueError(f"the largest entry of the table is {largest}; expected a positive finite number")
    rounded: NDArray[np.int8] = np.rint(table * (REACH / largest)).astype(np.int8)
    return rounded


def train_table(recipe: WindowRecipe, *, report: Callable[[int, float], None] | None = None) -> TrainedTable:
    """Train a table by a recipe; the same recipe gives the same bytes on the same machine.

    Args:
        recipe: what to do.
        report: called after each step with the number of steps done and the loss.

    Raises:
        GenoseqError: the loss grew beyond all bounds.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        return _train(recipe, report)
    finally:
        torch.set_num_threads(before)


def _train(recipe: WindowRecipe, report: Callable[[int, float], None] | None) -> TrainedTable:
    rng = np.random.default_rng([recipe.seed, 1])
    first = random_table(context=recipe.context, smoothing=recipe.smoothing, seed=recipe.seed)
    # A whole window of the random table has sums of this standard deviation; the loss wants them near 1.
    scale = math.sqrt(np.mean(np.sum(first.astype(np.float64) ** 2, axis=0)))
    rows = torch.from_numpy(first.reshape(-1, BITS) / np.float32(scale)).requires_grad_()
    sharpness = torch.full((2,), math.log(recipe.objective.sharpness)).requires_grad_()
    learnt: list[dict[str, Any]] = [{"params": [rows]}, {"params": [sharpness], "lr": 0.01}]
    adam = torch.optim.Adam(learnt, betas=recipe.optimiser.betas)
    losses = np.empty(recipe.steps, np.float32)
    for step in range(recipe.steps):
        adam.param_groups[0]["lr"] = learning_rate(recipe.optimiser, step, recipe.steps)
        pairs = window_pairs(
            recipe.batch, genomes=recipe.genomes, edits=recipe.edits, ends=recipe.ends, rng=rng
        )
        loss = window_loss(rows, sharpness.exp(), pairs, context=recipe.context, objective=recipe.objective)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        losses[step] = loss.item()
        if not math.isfinite(losses[step]):
            raise GenoseqError(
                f"the loss became {losses[step]} at step {step}; lower the learning rate"
            )
        if report is not None:
            report(step + 1, float(losses[step]))
    return TrainedTable(rows.detach().numpy().reshape(2 * FLANK, 4**recipe.context, BITS), losses)


def learning_rate(optimiser: Optimiser, step: int, steps: int) -> float:
    """Rate of step ``step`` (from 0) of ``steps``: up linearly, then down along half a cosine."""
    rise = min(1.0, (step + 1) / (optimiser.warm_up + 1))
    fall = 0.5 * (1 + math.cos(math.pi * step / steps))
    return optimiser.rate * rise * (optimiser.final + (1 - optimiser.final) * fall)


def window_loss(
    rows: torch.Tensor, sharpness: torch.Tensor, pairs: WindowPairs, *, context: int, objective: Objective
) -> torch.Tensor:
    """The loss of one batch, a scalar.

    Args:
        rows: the table, ``(64 * 4**context, 128)``.
        sharpness: of the two scores, ``(2,)``.
        pairs: windows; row ``i`` of query and reference belong together.
        context: bases per feature.
        objective: weights of the two scores.
    """
    reference = _Sums.apply(window_features(pairs.reference, context), rows)
    query = _Sums.apply(window_features(pairs.query, context), rows)
    bits = _Sign.apply(reference, objective.width)
    total = rows.new_zeros(())
    if objective.hamming:
        scores = _Sign.apply(query, objective.width) @ bits.T / math.sqrt(BITS)
        total = total + objective.hamming * pooled_loss(sharpness[0] * scores)
    if objective.sums:
        scores = query / query.norm(dim=1, keepdim=True).clamp_min(1e-6) @ bits.T
        total = total + objective.sums * pooled_loss(sharpness[1] * scores)
    return total


def pooled_loss(scores: torch.Tensor) -> torch.Tensor:
    """``mean_i softplus(log(sum_{j != k} exp Z_jk / n) - Z_ii)`` of scores ``Z (n, n)``.

    Dividing by ``n``, not by the number of false pairs, sets one true window against about ``n`` false ones.
    """
    n = len(scores)
    own = torch.eye(n, dtype=torch.bool)
    rivals = torch.logsumexp(scores.masked_fill(own, -math.inf).flatten(), 0) - math.log(n)
    return functional.softplus(rivals - scores.diagonal()).mean()


class _Sums(torch.autograd.Function):
    """Sum of the rows of each window's features: ``(n, 64)`` int32, ``(rows, 128)`` -> ``(n, 128)``."""

    @staticmethod
    def forward(ctx, features, rows):
        ctx.features, ctx.shape = features, rows.shape
        sums = torch.zeros(len(features), rows.shape[1])
        _gather(features, rows.detach().numpy(), sums.numpy())
        return sums

    @staticmethod
    def backward(ctx, gradient):
        of_rows = torch.zeros(ctx.shape)
        _scatter(ctx.features, gradient.contiguous().numpy(), of_rows.numpy())
        return None, of_rows


class _Sign(torch.autograd.Function):
    """Sign as +1 or -1 (0 gives -1); the gradient passes where the sum is within ``width`` of zero."""

    @staticmethod
    def forward(ctx, sums, width):
        ctx.save_for_backward(sums)
        ctx.width = width
        return torch.where(sums > 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, gradient):
        (sums,) = ctx.saved_tensors
        return gradient * (sums.abs() < ctx.width), None


@kernel
def _gather(features, rows, sums):
    for i in range(features.shape[0]):
        for p in range(features.shape[1]):
            row = features[i, p]
            if row >= 0:
                for d in range(sums.shape[1]):
                    sums[i, d] += rows[row, d]


@kernel
def _scatter(features, gradient, of_rows):
    for i in range(features.shape[0]):
        for p in range(features.shape[1]):
            row = features[i, p]
            if row >= 0:
                for d in range(gradient.shape[1]):
                    of_rows[row, d] += gradient[i, d]
