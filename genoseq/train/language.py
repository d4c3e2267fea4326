"""Training a language model of sequences by a recipe: windows in, a folder that `genoseq.load` reads out."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genoseq.errors import Pathlike, UsageError
from genoseq.nets.heads import IGNORED
from genoseq.outputs import whole_folder
from genoseq.recipes import dump_recipe, recipe_digest
from genoseq.seqs.overlap import containment
from genoseq.train.kinds import tell_replaced
from genoseq.train.language_data import Windows, bases_per_token, read_sequences
from genoseq.train.language_recipe import LanguageRecipe
from genoseq.train.markov import markov_bits
from genoseq.train.seeded import seeded

__all__ = ["LanguageResult", "check_net_keys", "run_language_training"]

LOG = logging.getLogger(__name__)
ORDERS = (0, 2, 5, 10)
REPORTED = ("recipe.yaml", "metrics.json", "training.png")  # beside the weights


@dataclass(frozen=True)
class LanguageResult:
    """What came of a training run.

    Attributes:
        losses: of each step, in nats per token.
        bits: validation, bits per token (per base where tokens are bases): of next tokens, or of masked ones.
        markov: order -> bits per base of a Markov model of that order on the same validation sequences.
        shared: share of the validation sequences' 16-mers that occur in the training sequences.
        seconds: training took.
        parameters: of the net.
    """

    losses: tuple[float, ...]
    bits: float
    markov: dict[int, float]
    shared: float
    seconds: float
    parameters: int


def run_language_training(
    recipe: LanguageRecipe, folder: Pathlike, *, base: Path, report: Callable[[int, float], None] | None = None
) -> LanguageResult:
    """Train by a recipe; write net, tokenizer, resolved recipe, metrics and figure into ``folder``, all or nothing.

    Args:
        recipe: what to do.
        folder: is made; one written by an earlier run is replaced, unless other files lie in it.
        base: folder that the recipe's paths are relative to.
        report: called after each step with the number of steps done and the loss.

    Raises:
        GenoseqError: a file cannot be read, the net or tokenizer cannot be made, or the folder cannot be written.
    """
    from genoseq.checkpoints.genoseq_format import MARKER
    from genoseq.checkpoints.saving import files_of_net, write_net

    check_net_keys(recipe)
    place = whole_folder(folder, marker=MARKER, known=lambda old: files_of_net(old) | set(REPORTED))
    with place as temporary, seeded(recipe.seed, threads=recipe.threads):
        tell_replaced(folder)
        train = read_sequences([base / path for path in recipe.data.train])
        validation = read_sequences([base / path for path in recipe.data.validation])
        net, tokenizer = _made(recipe)
        windows = Windows(
            train, tokenizer, bases_per_token=bases_per_token(tokenizer, train), both_strands=recipe.data.both_strands
        )
        begun = time.monotonic()
        losses = _trained(net, windows, recipe, report)
        seconds = time.monotonic() - begun
        LOG.info("trained %d steps in %.0f s; judging the net", recipe.steps, seconds)
        held_out = Windows(validation, tokenizer, bases_per_token=windows.bases_per_token)
        result = LanguageResult(
            losses=tuple(losses),
            bits=_bits(net, held_out, recipe),
            markov={order: markov_bits(train, validation, order) for order in ORDERS},
            shared=containment(validation, train),
            seconds=seconds,
            parameters=sum(values.numel() for values in net.parameters()),
        )
        write_net(net, tokenizer, temporary)
        _write_report(temporary, recipe, result)
    return result


def check_net_keys(recipe: LanguageRecipe) -> None:
    """Refuse a recipe whose architecture does not exist, or whose ``net`` has a key that the architecture does not know.

    Raises:
        UsageError: names the key and the nearest known one, and lists those there are.
    """
    from genoseq.nets.architectures import ARCHITECTURES
    from genoseq.nets.config_keys import check_config_keys
    from genoseq.registry import suggestion

    name = recipe.architecture
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UsageError(f"architecture: there is no {name!r}{suggestion(name, ARCHITECTURES)}; there are: {known}")
    check_config_keys(recipe.net, ARCHITECTURES[name].config_class, where="net")


def _made(recipe: LanguageRecipe) -> tuple[Any, Any]:
    """The untrained net and its tokenizer."""
    from genoseq import tokenizers
    from genoseq.nets.architectures import ARCHITECTURES

    architecture = ARCHITECTURES[recipe.architecture]
    tokenizer = tokenizers.make(recipe.tokens.name, **recipe.tokens.options)
    try:
        config = architecture.config_class(**_completed(recipe, tokenizer))
        net = architecture.net_class("causal_lm" if recipe.objective == "causal" else "masked_lm")(config)
    except (TypeError, ValueError, UsageError) as error:
        raise UsageError(f"net: {error}") from error
    if recipe.objective == "masked" and tokenizer.mask_token_id is None:
        raise UsageError(f"tokens: {recipe.tokens.name!r} has no mask token, which the objective masked needs")
    if recipe.checkpointing:
        net.activation_checkpointing_enable()
    return net, tokenizer


def _completed(recipe: LanguageRecipe, tokenizer: Any) -> dict[str, Any]:
    """The configuration's values: the recipe's, and what follows from its tokenizer and the length of its windows.

    ``vocab_size`` and, for nets that treat both strands alike (``strands: shared``, ``rcps``), ``complement_map`` are the
    tokenizer's; ``l_max`` of a hybrid's ``hyena`` blocks is ``data.length``. What the recipe says itself stays.

    Raises:
        UsageError: both strands alike are asked for, and the tokenizer does not say which token complements which.
    """
    values: dict[str, Any] = {"vocab_size": len(tokenizer), **recipe.net}
    if (values.get("strands") == "shared" or values.get("rcps")) and values.get("complement_map") is None:
        complements = getattr(tokenizer, "complement_map", None)
        if complements is None:
            raise UsageError(
                f"{recipe.tokens.name!r} does not say which token complements which, which a net with both strands alike needs: "
                "take tokens: {name: caduceus} or {name: nucleotide}, or give complement_map"
            )
        values["complement_map"] = dict(complements)
    blocks = values.get("blocks")
    if recipe.architecture == "genoseq_hybrid" and isinstance(blocks, list):
        values["blocks"] = [_with_length(block, recipe.data.length) for block in blocks]
    return values


def _with_length(block: Any, length: int) -> Any:
    """A hybrid's block; one of Hyena that does not say where its filters end, with ``length``."""
    if not isinstance(block, dict) or block.get("mixer") != "hyena" or "l_max" in (block.get("options") or {}):
        return block
    return {**block, "options": {**(block.get("options") or {}), "l_max": length}}


def _trained(net: Any, windows: Windows, recipe: LanguageRecipe, report: Callable[[int, float], None] | None) -> list[float]:
    """Train the net in place; the loss of each step."""
    from accelerate import Accelerator

    accelerator = Accelerator()  # one per process: the precision, which is the recipe's, cannot be its business
    settings = recipe.optimiser
    matrices = [p for p in net.parameters() if p.dim() >= 2]
    others = [p for p in net.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=settings.rate, betas=settings.betas)
    model, optimiser = accelerator.prepare(net.train(), optimiser)
    masking = recipe.objective == "masked" and not net.masks_itself
    losses = []
    number = 0
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate_at(step, steps=recipe.steps)
        length = recipe.length_at(step)
        rows = max(1, recipe.batch * recipe.data.length // length)
        first = number + accelerator.process_index * rows
        number += rows * accelerator.num_processes
        drawn = [windows.training(length, seed=recipe.seed, number=first + row) for row in range(rows)]
        batch = _batch(drawn, windows.tokenizer, recipe, first, masking=masking)
        batch = {name: values.to(accelerator.device) for name, values in batch.items()}
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            loss = model(**batch).loss
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), settings.clip)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise UsageError(f"the loss is {losses[-1]} at step {step + 1}: lower optimiser.rate, or use precision: float32")
        if report is not None:
            report(step + 1, losses[-1])
    net.eval()
    return losses


def _batch(
    drawn: list[np.ndarray[Any, Any]], tokenizer: Any, recipe: LanguageRecipe, number: int, *, masking: bool
) -> dict[str, Tensor]:
    """Ids, mask and labels ``(B, L)`` of windows, padded on the right; with ``masking`` only masked tokens have labels."""
    length = max(len(ids) for ids in drawn)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    ids = torch.full((len(drawn), length), pad)
    mask = torch.zeros(len(drawn), length, dtype=torch.long)
    for row, values in enumerate(drawn):
        ids[row, : len(values)] = torch.from_numpy(values)
        mask[row, : len(values)] = 1
    known = mask.bool() & (ids != (tokenizer.unk_token_id if tokenizer.unk_token_id is not None else -1))
    labels = ids.masked_fill(~known, IGNORED)
    batch = {"input_ids": ids, "labels": labels}
    if not bool(mask.all()):
        batch["attention_mask"] = mask
    if masking:
        batch["input_ids"], batch["labels"] = _masked(ids, labels, tokenizer, recipe, number)
    return batch


def _masked(ids: Tensor, labels: Tensor, tokenizer: Any, recipe: LanguageRecipe, number: int) -> tuple[Tensor, Tensor]:
    """Ids with some masked, and labels at those places: of ten, eight masked, one another token, one as it was (BERT's rule)."""
    draw = torch.Generator().manual_seed(recipe.seed * 1_000_003 + number)
    chosen = (torch.rand(ids.shape, generator=draw) < recipe.masked) & (labels != IGNORED)
    kind = torch.rand(ids.shape, generator=draw)
    others = ids.flatten()[torch.randint(ids.numel(), ids.shape, generator=draw)]
    changed = torch.where(chosen & (kind < 0.8), torch.full_like(ids, tokenizer.mask_token_id), ids)
    changed = torch.where(chosen & (kind >= 0.9), others, changed)
    return changed, labels.masked_fill(~chosen, IGNORED)


@torch.no_grad()
def _bits(net: Any, windows: Windows, recipe: LanguageRecipe) -> float:
    """Bits per predicted token of validation windows, weighted by their tokens."""
    device = next(net.parameters()).device
    total, count = 0.0, 0
    for number, ids in enumerate(windows.validation(recipe.data.length, recipe.data.windows)):
        batch = _batch([ids], windows.tokenizer, recipe, number, masking=recipe.objective == "masked")
        batch = {name: values.to(device) for name, values in batch.items()}
        labels = batch.pop("labels")
        predicted = int((labels[:, 1:] if recipe.objective == "causal" else labels).ne(IGNORED).sum())
        if predicted:
            logits = net(**batch).logits
            total += float(net.loss(logits, labels)) * predicted
            count += predicted
    return total / count / math.log(2) if count else float("nan")


def _write_report(folder: Path, recipe: LanguageRecipe, result: LanguageResult) -> None:
    from genoseq.train.language_figure import draw_training

    (folder / "recipe.yaml").write_text(dump_recipe(recipe))
    values = {
        "format": "genoseq.language-metrics",
        "version": 1,
        "recipe_sha256": recipe_digest(recipe),
        "parameters": result.parameters,
        "seconds": round(result.seconds, 1),
        "validation_bits_per_token": round(result.bits, 5),
        "validation_markov_bits_per_base": {str(order): round(bits, 5) for order, bits in result.markov.items()},
        "validation_16mers_in_training": round(result.shared, 5),
        "loss_nats": [round(loss, 4) for loss in result.losses],
    }
    (folder / "metrics.json").write_text(json.dumps(values, indent=1) + "\n")
    draw_training(folder / "training.png", recipe, result)
