"""PoET (Truong and Bepler 2023, arXiv:2306.06156): a language model of whole protein families, one sequence after another.

A set is its sequences in a row, each ``*`` residues ``$`` (or ``$`` residues ``*``, last residue first). A token sees its own
sequence so far and all sequences before. Configuration keys and parameter names are those of the public net, under ``poet.`` with
the head ``linear`` beside it.

Where a set's sequences begin is said by ``segment_sizes``, or else read from the ids: wherever two tokens out of ``*`` and
``$`` follow each other. Prompts of scoring and generation are read once: `PoETCache` keeps their keys and values for all rows
that go on from them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from genoseq.errors import UsageError
from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.heads import CausalLM, SequenceHead, TokenHead
from genoseq.nets.layers.tiered import BlockMemory, Layout, Past, TieredBlock, lay_out
from genoseq.nets.ops.split_attention import KeyValue
from genoseq.nets.outputs import BackboneOutput
from genoseq.nets.segments import map_segments

__all__ = [
    "START",
    "STOP",
    "PoETCache",
    "PoETConfig",
    "PoETForCausalLM",
    "PoETForSequenceClassification",
    "PoETForTokenClassification",
    "PoETModel",
]

START, STOP = 21, 22
"""Ids of ``*`` and ``$``, as in `genoseq.tokenizers.protein.PoETTokenizer`."""


class PoETConfig(NetConfig):
    """Configuration with the keys of the public net.

    Args:
        n_vocab: tokens.
        hidden_dim: channels.
        ff_dim: channels of feed-forward layers; four times ``hidden_dim`` unless given.
        num_layers: blocks.
        nhead: heads of each attention.
        dropout: in training.
        use_multi_rotary: the attention over the whole set knows positions too, which begin again in every sequence.
        norm: a norm after the last block.
    """

    model_type = "poet"

    n_vocab: int = 24
    hidden_dim: int = 768
    ff_dim: int | None = None
    num_layers: int = 6
    nhead: int = 12
    dropout: float = 0.0
    use_multi_rotary: bool = True
    norm: bool = True
    pad_token_id: int | None = 23
    bos_token_id: int | None = START
    eos_token_id: int | None = STOP
    tie_word_embeddings: bool = False
    pool: str = "last"

    def __post_init__(self, **kwargs: Any) -> None:
        # the common name of the size of the vocabulary, by which genoseq's recipes give it
        self.n_vocab = kwargs.pop("vocab_size", self.n_vocab)
        super().__post_init__(**kwargs)
        if self.num_layers < 1 or self.nhead < 1 or self.hidden_dim < 1 or self.hidden_dim % (2 * self.nhead):
            raise UsageError(
                f"hidden_dim is {self.hidden_dim}, nhead {self.nhead}, num_layers {self.num_layers}: "
                "expected at least one layer, and heads with an even number of channels each"
            )

    @property
    def vocab_size(self) -> int:
        """Tokens."""
        return self.n_vocab

    @property
    def hidden_size(self) -> int:
        """Channels of the backbone's output."""
        return self.hidden_dim

    @property
    def num_hidden_layers(self) -> int:
        """Number of blocks."""
        return self.num_layers


class PoETCache(NamedTuple):
    """What the net keeps of the sets it has read: keys and values, once for all rows of a batch where all rows read the same.

    Attributes:
        blocks: memory of each block.
        length: tokens of the last sequence.
        ended: the last token was ``*`` or ``$``, so that another one begins a new sequence.
    """

    blocks: tuple[BlockMemory, ...]
    length: int
    ended: bool

    def shared(self) -> PoETCache:
        """The same for any number of rows: what one row has read becomes what all have.

        Raises:
            ValueError: there is more than one row.
        """

        def merged(past: Past) -> Past:
            if past.own is None:
                return past
            if past.own.key.shape[0] != 1:
                raise ValueError(f"{past.own.key.shape[0]} rows have read different things")
            return Past((*past.shared, past.own))

        return self._replace(blocks=tuple(BlockMemory(*map(merged, block)) for block in self.blocks))

    def first(self, count: int) -> PoETCache:
        """As it was after the first ``count`` tokens of the last sequence (one at least); a view.

        Raises:
            ValueError: rows have read different things, or the last sequence has fewer tokens.
        """
        if not 1 <= count <= self.length:
            raise ValueError(f"the first {count} of {self.length} tokens")
        if any(past.own is not None for block in self.blocks for past in block):
            raise ValueError("rows have read different things")
        rest = self.length - count
        blocks = tuple(BlockMemory(*(Past(_without_end(past.shared, rest)) for past in block)) for block in self.blocks)
        return PoETCache(blocks, count, count == 1 or (self.ended and count == self.length))

    def rows(self, chosen: Tensor) -> PoETCache:
        """That of these rows only ``(n,)``; what all share stays."""

        def some(past: Past) -> Past:
            return past if past.own is None else Past(past.shared, KeyValue(*(part[chosen] for part in past.own)))

        return self._replace(blocks=tuple(BlockMemory(*map(some, block)) for block in self.blocks))

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        pasts = [past for block in self.blocks for past in block]
        held = [*(pair for past in pasts for pair in past.shared), *(past.own for past in pasts if past.own is not None)]
        return sum(part.nbytes for pair in held for part in pair)


def _without_end(parts: tuple[KeyValue, ...], count: int) -> tuple[KeyValue, ...]:
    """Keys and values without the last ``count``."""
    kept = list(parts)
    while count and kept:
        last = kept.pop()
        if last.length > count:
            kept.append(last.first(last.length - count))
        count -= min(count, last.length)
    return tuple(kept)


class PoETNet(Net):
    """What PoET nets share."""

    config: PoETConfig
    config_class = PoETConfig
    base_model_prefix = "poet"
    _no_split_modules: ClassVar[list[str]] = ["TieredBlock"]  # type: ignore[misc]


class _Decoder(nn.Module):
    def __init__(self, config: PoETConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TieredBlock(
                d_model=config.hidden_dim,
                n_heads=config.nhead,
                d_inner=config.ff_dim or 4 * config.hidden_dim,
                dropout=config.dropout,
                across_rotary=config.use_multi_rotary,
            )
            for _ in range(config.num_layers)
        )


class PoETModel(PoETNet):
    """The backbone: ids of sets of sequences to ``(B, L, hidden_dim)``.

    Hidden states are the embeddings and the stream after each block, the last one normed.
    """

    def __init__(self, config: PoETConfig) -> None:
        super().__init__(config)
        self.token_embed = nn.Embedding(config.n_vocab, config.hidden_dim)
        self.decoder = _Decoder(config)
        self.norm = nn.LayerNorm(config.hidden_dim) if config.norm else nn.Identity()
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of embeddings."""
        return self.token_embed

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of embeddings."""
        self.token_embed = value  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: PoETCache | None = None,
        use_cache: bool = False,
        output_hidden_states: bool | None = None,
        segment_sizes: Tensor | None = None,
        **_: Any,
    ) -> BackboneOutput:
        """Run the net; see `genoseq.nets.heads.LanguageModel.forward` for the other arguments.

        Args:
            segment_sizes: ``(B, S)``, tokens of each sequence of each set, 0 where a set has fewer; what follows them is padding.
                Only without a cache.

        Raises:
            UsageError: sizes that do not add up, or rows that go on from a cache and differ in where their sequences begin.
        """
        keep = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        x = self.embed(input_ids, inputs_embeds)
        mask = real_positions(attention_mask)
        if segment_sizes is not None:
            if cache is not None:
                raise UsageError("segment_sizes are for whole sets: what goes on from a cache has its sequences by * and $")
            starts, mask = _starts_by_size(segment_sizes, mask, x.shape[1])
        else:
            starts = _starts_by_token(input_ids, mask, x)
        states = [x.clone()] if keep else []
        if cache is None:
            x, after = self._sets(x, starts, mask, input_ids, use_cache, states if keep else None)
        else:
            x, after = self._go_on(x, starts, mask, input_ids, cache, states if keep else None)
        x = map_segments(self.norm, x)
        if keep:
            states[-1] = x
        return BackboneOutput(
            last_hidden_state=x, hidden_states=tuple(states) if keep else None, cache=after if use_cache else None
        )

    def _sets(
        self, x: Tensor, starts: Tensor, mask: Tensor | None, ids: Tensor | None, use_cache: bool, states: list[Tensor] | None
    ) -> tuple[Tensor, PoETCache | None]:
        """Whole sets at once."""
        layout: Layout = lay_out(starts, mask)
        last = _same_starts(starts, mask)[-1] if use_cache else 0
        memories = []
        for block in self.decoder.layers:
            x, within, across = block(x, layout)
            if use_cache:
                # copies in order, for the fused kernels; of the first tier only the last sequence's, which keep no more alive
                recent = KeyValue(*(part[:, :, last:].clone(memory_format=torch.contiguous_format) for part in within))
                whole = KeyValue(*(part.contiguous() for part in across))
                pasts = (Past((recent,)), Past((whole,))) if x.shape[0] == 1 else (Past((), recent), Past((), whole))
                memories.append(BlockMemory(*pasts))
            if states is not None:
                states.append(x.clone())
        if not use_cache:
            return x, None
        return x, PoETCache(tuple(memories), x.shape[1] - last, _ends(ids))

    def _go_on(
        self,
        x: Tensor,
        starts: Tensor,
        mask: Tensor | None,
        ids: Tensor | None,
        cache: PoETCache,
        states: list[Tensor] | None,
    ) -> tuple[Tensor, PoETCache]:
        """After a cache: the rest of its last sequence, then new ones, each by itself."""
        begins = _same_starts(starts, mask)
        first = _terminal(ids)[:, 0] if ids is not None else starts.new_zeros(x.shape[0])
        if cache.ended and bool(first.any()) != bool(first.all()):
            raise UsageError(UNEVEN)
        new = cache.ended and bool(first.all())
        edges = [*begins, x.shape[1]]
        outputs = []
        kept: list[list[Tensor]] = [[] for _ in self.decoder.layers]
        blocks, length = list(cache.blocks), cache.length
        for number, (begin, end) in enumerate(pairwise(edges)):
            part = x[:, begin:end]
            if number or new:
                length = 0
                blocks = [BlockMemory(Past(), block.across) for block in blocks]
            positions = torch.arange(length, length + end - begin, device=x.device)[None]
            for index, block in enumerate(self.decoder.layers):
                assert isinstance(block, TieredBlock)  # a list of modules does not say of which
                part, blocks[index] = block.go_on(part, positions, blocks[index])
                kept[index].append(part.clone() if states is not None else part[:, :0])
            length += end - begin
            outputs.append(part)
        if states is not None:
            states.extend(torch.cat(parts, dim=1) for parts in kept)
        return torch.cat(outputs, dim=1), PoETCache(tuple(blocks), length, _ends(ids))


UNEVEN = "rows that go on from a cache must begin new sequences at the same places, without padding: give them one at a time"


def _terminal(ids: Tensor) -> Tensor:
    """Where ids are ``*`` or ``$``."""
    return (ids == START) | (ids == STOP)


def _ends(ids: Tensor | None) -> bool:
    """Whether the last token of all rows ends, or begins, a sequence."""
    return ids is not None and bool(_terminal(ids[:, -1]).all())


def _starts_by_size(sizes: Tensor, mask: Tensor | None, length: int) -> tuple[Tensor, Tensor | None]:
    """Where sequences of these sizes ``(B, S)`` begin, ``(B, L)`` bool, and the mask of what they cover."""
    if mask is not None:
        raise UsageError("segment_sizes say themselves what is padding: leave attention_mask out")
    sizes = sizes.long()
    totals = sizes.sum(dim=-1)
    if sizes.dim() != 2 or bool((sizes < 0).any()) or bool(((totals > length) | (totals < 1)).any()):
        raise UsageError(f"segment_sizes are {sizes.tolist()}: expected (batch, sequences), up to {length} tokens a row")
    ends = sizes.cumsum(dim=1)
    starts = torch.zeros(sizes.shape[0], length + 1, dtype=torch.bool, device=sizes.device)
    starts.scatter_(1, (ends - sizes).where(sizes > 0, length), True)
    covered = torch.arange(length, device=sizes.device) < ends[:, -1:]
    return starts[:, :length], None if bool(covered.all()) else covered


def _starts_by_token(ids: Tensor | None, mask: Tensor | None, x: Tensor) -> Tensor:
    """Where sequences begin, ``(B, L)`` bool: at the first real token, and at the second of two out of ``*`` and ``$``."""
    starts = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
    if mask is None:
        starts[:, 0] = True
    else:
        starts |= mask & (mask.cumsum(dim=1) == 1)
    if ids is not None:
        ends = _terminal(ids) if mask is None else _terminal(ids) & mask
        starts[:, 1:] |= ends[:, 1:] & ends[:, :-1]
    return starts


def _same_starts(starts: Tensor, mask: Tensor | None) -> list[int]:
    """Where the sequences of every row begin; rows that have a cache must be alike in that."""
    if mask is not None or bool((starts != starts[:1]).any()):
        raise UsageError(UNEVEN)
    return [int(place) for place in starts[0].nonzero()[:, 0]]


class PoETForCausalLM(PoETNet, CausalLM):
    """PoET that predicts the next token."""

    backbone_class = PoETModel

    def add_head(self, config: NetConfig) -> None:
        """A linear map to the vocabulary, with a bias, under the public name."""
        self.linear = nn.Linear(self.width, self.get_input_embeddings().weight.shape[0])

    def get_output_embeddings(self) -> nn.Module:
        """The module that maps to the vocabulary."""
        return self.linear

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the module that maps to the vocabulary."""
        self.linear = new_embeddings  # type: ignore[assignment]

    def head_logits(self, hidden: Tensor) -> Tensor:
        """Logits ``(B, l, V)`` of the backbone's output ``(B, l, D)``."""
        logits: Tensor = self.linear(hidden)
        return logits


class PoETForSequenceClassification(PoETNet, SequenceHead):
    """PoET with labels per set."""

    backbone_class = PoETModel
    pool_default = "last"


class PoETForTokenClassification(PoETNet, TokenHead):
    """PoET with labels per token."""

    backbone_class = PoETModel
