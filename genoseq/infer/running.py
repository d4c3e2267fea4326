"""A net as inference uses it: put in evaluation mode and back, given padded batches, fed long sequences in pieces.

Padding stands on the right and is masked. Nothing here depends on what else is in a batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genoseq.errors import InputError, UsageError
from genoseq.nets.base import Net
from genoseq.nets.heads import LanguageModel, WithBackbone
from genoseq.nets.segments import segments

__all__ = [
    "PIECE",
    "backbone_of",
    "check_finite",
    "check_vocabulary",
    "choose_device",
    "evaluating",
    "hidden_pieces",
    "label_logprobs",
    "language_model",
    "padded",
    "state_is_constant",
]

PIECE = 16_384
"""Tokens per piece of a long sequence, for nets that carry a state of constant size from piece to piece."""
PROBE = 256
"""Tokens after which the size of a cache is looked at, and then looked at again."""
HEAD_NUMBERS = 1 << 24
"""Logits in memory at a time, at most."""


@contextlib.contextmanager
def evaluating(model: Net, device: str | torch.device | None = None) -> Iterator[torch.device]:
    """Evaluation mode, on a device, for the length of a block; afterwards the model is as it was.

    Args:
        model: the net.
        device: where to run; where the model is unless given.

    Raises:
        UsageError: the model's weights lie on several devices and another one is asked for.
    """
    whole: nn.Module = model
    modes = {module: module.training for module in model.modules()}
    homes = {value.device for value in (*model.parameters(), *model.buffers())} or {torch.device("cpu")}
    wanted = torch.device(device) if device is not None else next(iter(model.parameters())).device
    moves = device is not None and any(not _same(home, wanted) for home in homes)
    if moves and len(homes) > 1:
        raise UsageError(f"the model lies on several devices ({', '.join(map(str, homes))}): leave the device out")
    try:
        model.eval()
        if moves:
            whole.to(wanted)
        yield wanted
    finally:
        if moves:
            whole.to(next(iter(homes)))
        for module, mode in modes.items():
            module.training = mode


def _same(one: torch.device, other: torch.device) -> bool:
    return one.type == other.type and (None in (one.index, other.index) or one.index == other.index)


def choose_device(name: str) -> torch.device:
    """The device of ``auto``, ``cpu`` or ``cuda``; ``auto`` is a GPU where there is one.

    Raises:
        UsageError: there is no GPU that PyTorch can use.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no CUDA device here; use --device cpu, or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def backbone_of(model: Net) -> Net:
    """The net without its head, or itself where it has none.

    Raises:
        UsageError: it is no net of genoseq.
    """
    if isinstance(model, WithBackbone):
        return model.backbone_net
    if not isinstance(model, Net):
        raise UsageError(f"{type(model).__name__} is no net of genoseq: load it by genoseq.load")
    return model


def language_model(model: Net, *, causal: bool | None = None) -> LanguageModel:
    """The model, if it is a language model of the kind that is needed.

    Args:
        model: the net.
        causal: the kind: predicts from the left (True), from both sides (False), or either (None).

    Raises:
        UsageError: it has no such head.
    """
    backbone_of(model)
    if not isinstance(model, LanguageModel):
        raise UsageError(f"{type(model).__name__} predicts no tokens: likelihoods need a causal or masked language model")
    if causal is True and not model.predicts_next:
        why = "was trained to fill in masked tokens" if model.config.causal else "sees both sides of a position"
        raise UsageError(f"{type(model).__name__} {why}: generating needs a causal language model")
    return model


def padded(rows: Sequence[NDArray[np.int64]], *, pad: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Ids ``(B, L)`` and their mask, int64 ``(B, L)``, or None where all rows have one length."""
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad, np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    even = bool(mask.all())
    return torch.from_numpy(ids).to(device), None if even else torch.from_numpy(mask).to(device)


@torch.no_grad()
def state_is_constant(model: Net) -> bool:
    """Whether the net can go on from a cache, and the cache is no larger after a longer piece.

    State-space nets have such a state; attention and long convolutions keep all the past instead, and then nothing is
    gained by pieces.
    """
    if not model.config.causal:
        return False
    backbone = backbone_of(model)
    limit = backbone.config.token_limit
    piece = PROBE if limit is None else min(PROBE, limit // 2)
    if not piece:
        return False
    rows = backbone.get_input_embeddings().weight.shape[0]
    # Any tokens, but not all the same: nets that choose what they remember would find nothing in those.
    ids = torch.randint(rows, (2, 1, piece), generator=torch.Generator().manual_seed(0))
    sizes = []
    cache = None
    try:
        for part in ids.to(next(iter(model.parameters())).device):
            cache = backbone(input_ids=part, cache=cache, use_cache=True).cache
            sizes.append(_numbers(cache))
    except UsageError:  # the net's way to say that it has no cache
        return False
    return cache is not None and sizes[0] == sizes[1]


def _numbers(cache: Any) -> int:
    """Numbers in all tensors of a nested cache."""
    if isinstance(cache, Tensor):
        return cache.numel()
    if isinstance(cache, dict):
        return sum(map(_numbers, cache.values()))
    if isinstance(cache, (list, tuple)):
        return sum(map(_numbers, cache))
    return 0


@torch.no_grad()
def hidden_pieces(
    model: Net, ids: Tensor, mask: Tensor | None, *, layer: int | None = None, streams: bool = False
) -> Iterator[tuple[int, Tensor]]:
    """The net's states of a batch, as (first position, ``(B, l, D)``) of one piece after another; one piece unless ``streams``.

    Args:
        model: the net, in evaluation mode.
        ids: ``(B, L)``.
        mask: ``(B, L)`` or None.
        layer: which of the net's hidden states; None is its output, after the final norm.
        streams: the net carries a state of constant size, so that long sequences may be fed in pieces.

    Raises:
        UsageError: there is no such layer.
    """
    backbone = backbone_of(model)
    several = streams and ids.shape[1] > PIECE
    cache = None
    for part in segments(ids.shape[1], PIECE if several else ids.shape[1]):
        # Padding is on the right: what a piece without tokens of a sequence does to that sequence's state is never looked at.
        out = backbone(
            input_ids=ids[:, part],
            attention_mask=None if several or mask is None else mask,
            cache=cache,
            use_cache=several,
            output_hidden_states=layer is not None,
        )
        cache = out.cache
        if layer is None:
            yield part.start, out.last_hidden_state
            continue
        states = out.hidden_states
        if not -len(states) <= layer < len(states):
            raise UsageError(
                f"layer {layer} does not exist: this net has the layers 0 (embeddings) to {len(states) - 1}, "
                f"or -{len(states)} to -1 from the end"
            )
        yield part.start, states[layer]


@torch.no_grad()
def label_logprobs(model: LanguageModel, hidden: Tensor, labels: Tensor) -> Tensor:
    """Log-probability in nats, float32, of labels ``(B, l)`` by the states ``(B, l, D)``; the logits never exist whole."""
    if not hidden.shape[1]:
        return hidden.new_zeros(labels.shape, dtype=torch.float32)
    rows = getattr(model.get_output_embeddings(), "weight", model.get_input_embeddings().weight).shape[0]
    size = max(1, HEAD_NUMBERS // (rows * hidden.shape[0]))
    found = []
    for part in segments(hidden.shape[1], size):
        logits = model.head_logits(hidden[:, part])
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        chosen = logits.gather(2, labels[:, part, None])[..., 0]
        found.append((chosen - logits.logsumexp(2)).float())
    return torch.cat(found, 1)


def check_vocabulary(model: Net, tokenizer: Any, name: str) -> None:
    """Refuse a tokenizer whose letters have ids that the net has no embedding for.

    Raises:
        UsageError: says which id, and how many rows the net's table of embeddings has.
    """
    from genoseq.infer.tokens import TokenReader

    rows = backbone_of(model).get_input_embeddings().weight.shape[0]
    largest = max(TokenReader(tokenizer).plain, default=0)
    if largest >= rows:
        raise UsageError(
            f"{name}: {type(tokenizer).__name__} gives letters ids up to {largest}, and the net has a vocabulary of {rows}: "
            "take the tokenizer that the model was trained with"
        )


def check_finite(values: NDArray[Any], what: str) -> None:
    """Refuse results with NaN or infinity.

    Raises:
        InputError: says what may be wrong with the model.
    """
    if not np.isfinite(values).all():
        raise InputError(
            f"the model gives {what} that are not finite numbers",
            remedy="its weights may be damaged (NaN), or too large for --dtype bfloat16",
        )
