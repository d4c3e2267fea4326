"""Nets that treat both strands alike: sharing parameters between the strands, and averaging over them afterwards.

Let ``rc`` reverse a sequence of vectors ``(B, L, D)`` along positions and channels. A net is equivariant if the reverse
complement of its input gives ``rc`` of its output. Sharing parameters (RCPS; Zhou et al. 2022) keeps two streams, one per
strand, and gives both to the same layers. Here the streams lie one after the other in the batch, each in the orientation of its
own strand, ``(2 B, L, D)``, so that every layer serves both in one call; `join_strands` gives the layout of the public code,
``cat(forward, rc(reverse))`` along channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from genoseq.errors import UsageError

__all__ = [
    "RCPSEmbedding",
    "RCPSLMHead",
    "complement_table",
    "join_strands",
    "reverse_complement_ids",
    "split_strands",
    "swap_strands",
]


def complement_table(complement_map: Mapping[int | str, int], size: int) -> Tensor:
    """Complement of every token id, int64 ``(size,)``; ids beyond the map are their own complement.

    Keys may be strings, as JSON makes them; they are taken as numbers, whatever their order.

    Raises:
        UsageError: a key or value that is no id below ``size``, or a map that is not its own inverse.
    """
    table = list(range(size))  # no tensor yet: nets are also made without numbers, on the meta device
    for key, value in complement_map.items():
        token, partner = int(key), int(value)
        if not (0 <= token < size and 0 <= partner < size):
            raise UsageError(f"complement_map: {key!r} -> {value!r} is outside the vocabulary of {size}")
        table[token] = partner
    for token, partner in enumerate(table):
        if table[partner] != token:
            raise UsageError(f"complement_map: the complement of the complement of id {token} is {table[partner]}")
    return torch.tensor(table)


def reverse_complement_ids(input_ids: Tensor, table: Tensor) -> Tensor:
    """Ids ``(B, L)`` of the other strand, read in its own direction."""
    return table.to(input_ids.device)[input_ids.flip(1)]


def split_strands(x: Tensor) -> Tensor:
    """Streams ``(2 B, L, D)`` of the public layout ``(B, L, 2 D)``."""
    forward, reverse = x.chunk(2, dim=-1)
    return torch.cat([forward, reverse.flip(1, 2)])


def join_strands(x: Tensor) -> Tensor:
    """The public layout ``(B, L, 2 D)`` of streams ``(2 B, L, D)``."""
    forward, reverse = x.chunk(2)
    return torch.cat([forward, reverse.flip(1, 2)], dim=-1)


def swap_strands(x: Tensor) -> Tensor:
    """Streams ``(2 B, L, D)`` with each strand in the other's place, turned round: ``(f, r)`` becomes ``(rc(r), rc(f))``.

    The public Caduceus does this in every block when ``fused_add_norm`` is set.
    """
    forward, reverse = x.chunk(2)
    return torch.cat([reverse.flip(1, 2), forward.flip(1, 2)])


class RCPSEmbedding(nn.Module):
    """Embeddings of both strands, ``(2 B, L, D)``, from one table (names of the public code)."""

    complement_map: Tensor

    def __init__(self, *, rows: int, d_model: int, complement_map: Mapping[int | str, int]) -> None:
        super().__init__()
        self.register_buffer("complement_map", complement_table(complement_map, rows))
        self.embedding = nn.Embedding(rows, d_model)

    @property
    def weight(self) -> Tensor:
        """The table ``(rows, D)``."""
        return self.embedding.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        """Streams of ids ``(B, L)``."""
        embedded: Tensor = self.embedding(torch.cat([input_ids, reverse_complement_ids(input_ids, self.complement_map)]))
        return embedded


class RCPSLMHead(nn.Module):
    """Logits ``(B, L, V)`` of the public layout ``(B, L, 2 D)``: the sum of what each strand says (names of the public code)."""

    complement_map: Tensor

    def __init__(self, *, rows: int, d_model: int, complement_map: Mapping[int | str, int]) -> None:
        super().__init__()
        self.register_buffer("complement_map", complement_table(complement_map, rows))
        self.lm_head = nn.Linear(d_model, rows, bias=False)

    @property
    def weight(self) -> Tensor:
        """The map ``(V, D)``."""
        return self.lm_head.weight

    def forward(self, x: Tensor) -> Tensor:
        """Logits at every position."""
        forward, reverse = x.chunk(2, dim=-1)
        weight = self.lm_head.weight
        return functional.linear(forward, weight) + functional.linear(reverse.flip(-1), weight[self.complement_map])
