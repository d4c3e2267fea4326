"""What nets return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.utils.generic import ModelOutput

__all__ = ["BackboneOutput", "NetOutput"]


@dataclass
class BackboneOutput(ModelOutput):
    """Output of a net without a head.

    Attributes:
        last_hidden_state: ``(B, L, D)``, after the final norm.
        hidden_states: tuple of ``(B, L, D)``, if asked for: the embeddings, then the output of each block; the last entry is
            after the final norm unless the family's page in the documentation says otherwise.
        cache: what the net needs to go on after this piece of the sequence, if asked for (one entry per block).
        boundaries: for nets that choose their own tokens, what they chose (see the family's documentation).
    """

    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    cache: Any | None = None
    boundaries: Any | None = None


@dataclass
class NetOutput(ModelOutput):
    """Output of a net with a head.

    Attributes:
        loss: scalar, if labels were given.
        logits: ``(B, L, vocabulary)`` for language models and token heads, ``(B, labels)`` for sequence heads.
        hidden_states: as in `BackboneOutput`.
        cache: as in `BackboneOutput`.
        boundaries: as in `BackboneOutput`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    cache: Any | None = None
    boundaries: Any | None = None
