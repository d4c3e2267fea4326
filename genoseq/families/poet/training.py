"""Training PoET from scratch by a recipe: families in, a folder that `genoseq.load` reads out."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from genoseq.errors import Pathlike, UsageError
from genoseq.families.poet.recipe import PoETRecipe
from genoseq.families.poet.sets import Family, collate, draw_set, family_files, read_family
from genoseq.nets.heads import IGNORED
from genoseq.nets.models.poet import STOP, PoETConfig, PoETForCausalLM
from genoseq.outputs import whole_folder
from genoseq.recipes import dump_recipe, recipe_digest
from genoseq.tokenizers.protein import PoETTokenizer
from genoseq.train.kinds import tell_replaced
from genoseq.train.seeded import seeded

__all__ = ["PoETTraining", "run_poet_training"]

log = logging.getLogger(__name__)

JUDGED = 1 << 40  # number of the first validation set: never one of training
REPORTED = ("recipe.yaml", "metrics.json", "training.png")  # beside the weights
TOKENS = STOP + 1  # residues, gap, start and stop: what may be predicted


@dataclass(frozen=True)
class PoETTraining:
    """What came of a training run.

    Attributes:
        losses: of each step, in nats per token.
        nats: validation, nats per token: residues and stops.
        unconditional: the same after no other sequence of the family, so that the gain is what the prompt tells.
        composition: the same by the frequencies of tokens in training alone.
        shared: share of the validation sequences that are in training too.
        seconds: training took.
        parameters: of the net.
    """

    losses: tuple[float, ...]
    nats: float
    unconditional: float
    composition: float
    shared: float
    seconds: float
    parameters: int


def run_poet_training(
    recipe: PoETRecipe,
    folder: Pathlike,
    *,
    base: Path,
    device: str | torch.device = "cpu",
    report: Callable[[int, float], None] | None = None,
) -> PoETTraining:
    """Train by a recipe; write net, tokenizer, resolved recipe, metrics and figure into ``folder``, all or nothing.

    Args:
        recipe: what to do.
        folder: is made; one written by an earlier run is replaced, unless other files lie in it.
        base: folder that the recipe's paths are relative to.
        device: where to train.
        report: called after each step with the number of steps done and the loss.

    Raises:
        GenoseqError: a file cannot be read, the net cannot be made, or the folder cannot be written.
    """
    from genoseq.checkpoints.genoseq_format import MARKER
    from genoseq.checkpoints.saving import files_of_net, write_net

    tokenizer = PoETTokenizer()
    train, validation = (
        [read_family(path, tokenizer) for path in family_files(patterns, base)]
        for patterns in (recipe.data.train, recipe.data.validation)
    )
    log.info("families: %d to learn from, %d to judge on", len(train), len(validation))
    place = whole_folder(folder, marker=MARKER, known=lambda old: files_of_net(old) | set(REPORTED))
    with place as temporary, seeded(recipe.seed, threads=recipe.threads):
        tell_replaced(folder)
        net = _made(recipe)
        whole: nn.Module = net
        whole.to(device)
        begun = time.monotonic()
        losses = _trained(net, train, recipe, tokenizer.pad_token_id, report)
        seconds = time.monotonic() - begun
        known = frozenset().union(*(family.sequences for family in train))
        judged = [sequence for family in validation for sequence in family.sequences]
        result = PoETTraining(
            losses=tuple(losses),
            nats=_judge(net, validation, recipe, tokenizer.pad_token_id),
            unconditional=_judge(net, validation, recipe, tokenizer.pad_token_id, alone=True),
            composition=_composition(train, validation),
            shared=sum(sequence in known for sequence in judged) / len(judged),
            seconds=seconds,
            parameters=sum(values.numel() for values in net.parameters()),
        )
        write_net(net, tokenizer, temporary)
        _write_report(temporary, recipe, result)
    return result


def _made(recipe: PoETRecipe) -> PoETForCausalLM:
    """The untrained net."""
    unknown = set(recipe.net) - {"hidden_dim", "ff_dim", "num_layers", "nhead", "dropout", "norm"}
    if unknown:
        raise UsageError(f"net: no setting {min(unknown)!r}; there are hidden_dim, ff_dim, num_layers, nhead, dropout, norm")
    try:
        net = PoETForCausalLM(PoETConfig(**recipe.net))
    except (TypeError, ValueError) as error:
        raise UsageError(f"net: {error}") from error
    if recipe.checkpointing:
        net.activation_checkpointing_enable()
    return net


def _trained(
    net: PoETForCausalLM,
    families: Sequence[Family],
    recipe: PoETRecipe,
    pad: int,
    report: Callable[[int, float], None] | None,
) -> list[float]:
    """Train the net in place; the loss of each step."""
    settings = recipe.optimiser
    device = next(net.parameters()).device
    matrices = [p for p in net.parameters() if p.dim() >= 2]
    others = [p for p in net.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=settings.rate, betas=settings.betas)
    net.train()
    rows = max(1, recipe.batch_tokens // recipe.data.context)
    losses: list[float] = []
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate_at(step, steps=recipe.steps)
        drawn = []
        for number in range(step * rows, (step + 1) * rows):
            chance = np.random.default_rng([recipe.seed, number])
            family = families[int(chance.integers(len(families)))]
            reverse = bool(chance.random() < recipe.data.reverse)
            drawn.append(draw_set(family, recipe.data.context, chance, reverse=reverse))
        batch = {name: values.to(device) for name, values in collate(drawn, pad).items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            loss = net(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), settings.clip)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise UsageError(f"the loss is {losses[-1]} at step {step + 1}: lower optimiser.rate, or use precision: float32")
        if report is not None:
            report(step + 1, losses[-1])
    net.eval()
    return losses


@torch.no_grad()
def _judge(net: PoETForCausalLM, families: Sequence[Family], recipe: PoETRecipe, pad: int, *, alone: bool = False) -> float:
    """Nats per token of validation sets, mean over families; each sequence by itself if ``alone``."""
    device = next(net.parameters()).device
    means = []
    for place, family in enumerate(families):
        total, count = 0.0, 0
        for number in range(recipe.data.sets):
            chance = np.random.default_rng([recipe.seed, JUDGED + place, number])
            drawn = draw_set(family, recipe.data.context, chance)
            ends = np.cumsum(drawn.sizes)
            parts = [
                drawn._replace(ids=drawn.ids[end - size : end], sizes=(size,))
                for end, size in zip(ends, drawn.sizes, strict=True)
            ]
            batch = {name: values.to(device) for name, values in collate(parts if alone else [drawn], pad).items()}
            labels = batch.pop("labels")
            predicted = int((labels[:, 1:] != IGNORED).sum())
            total += float(net.loss(net(**batch).logits, labels)) * predicted
            count += predicted
        means.append(total / count)
    return float(np.mean(means))


def _composition(train: Sequence[Family], validation: Sequence[Family]) -> float:
    """Nats per token of validation sequences by the frequencies of tokens in training, each sequence by its weight."""
    counts = np.ones(TOKENS)
    for family in train:
        for ids, weight in zip(family.ids, family.weights, strict=True):
            counts += weight * np.bincount(ids[1:][ids[1:] < TOKENS], minlength=TOKENS)
    nats = -np.log(counts / counts.sum())
    means = []
    for family in validation:
        known = [ids[1:][ids[1:] < TOKENS] for ids in family.ids]
        sums = np.array([nats[ids].sum() for ids in known])
        means.append(float((sums * family.weights).sum() / (np.array([len(ids) for ids in known]) * family.weights).sum()))
    return float(np.mean(means))


def _write_report(folder: Path, recipe: PoETRecipe, result: PoETTraining) -> None:
    (folder / "recipe.yaml").write_text(dump_recipe(recipe))
    values = {
        "format": "genoseq.poet-metrics",
        "version": 1,
        "recipe_sha256": recipe_digest(recipe),
        "parameters": result.parameters,
        "seconds": round(result.seconds, 1),
        "validation_nats_per_token": round(result.nats, 5),
        "validation_nats_per_token_without_family": round(result.unconditional, 5),
        "validation_nats_per_token_by_composition": round(result.composition, 5),
        "validation_sequences_in_training": round(result.shared, 5),
        "loss_nats": [round(loss, 4) for loss in result.losses],
    }
    (folder / "metrics.json").write_text(json.dumps(values, indent=1) + "\n")
    _draw(folder / "training.png", result)


def _draw(path: Path, result: PoETTraining) -> None:
    """Nats per token by step, and of the validation families at the end."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    window = max(1, len(result.losses) // 50)
    smooth = np.convolve(result.losses, np.ones(window) / window, mode="valid")
    axes.plot(np.arange(len(smooth)) + window, smooth, color="#1f6f8b", label="training")
    axes.plot([len(result.losses)], [result.nats], "o", color="#c2452d", label=f"validation {result.nats:.3f}")
    for name, value in (("each sequence alone", result.unconditional), ("composition", result.composition)):
        axes.axhline(value, color="0.6", linewidth=0.8, linestyle=":", label=f"validation, {name} {value:.3f}")
    axes.set_xlabel("step")
    axes.set_ylabel("nats per token")
    axes.set_title(f"PoET, {result.parameters:,} parameters", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
