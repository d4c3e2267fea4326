"""MergeDNA: a net that makes its own words of bases, and the three tasks it learns them by (Li et al. 2025, arXiv:2511.14806).

A local encoder of narrow attention merges neighbouring tokens after every block (`TokenMerge`), a latent encoder of full
attention works on the words. For training, a latent and a local decoder bring every base back. No code is published; what the
paper leaves open is decided here and said: attention windows slide, words are bounded in length instead of by fixed blocks,
each base learns its place in its word, and rotary positions count tokens.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer

from genoseq.errors import UsageError
from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.heads import IGNORED, MaskedLM, SequenceHead, TokenHead, cross_entropy, without_padding
from genoseq.nets.layers.attention import Attention
from genoseq.nets.layers.chunk import Boundaries
from genoseq.nets.layers.feedforward import GatedFeedForward
from genoseq.nets.layers.merge import Merged, TokenMerge, merge_neighbours, unmerge
from genoseq.nets.layers.norms import RMSNorm
from genoseq.nets.outputs import BackboneOutput, NetOutput
from genoseq.nets.segments import add_segments, map_segments

__all__ = [
    "MergeDNAConfig",
    "MergeDNAForMaskedLM",
    "MergeDNAForSequenceClassification",
    "MergeDNAForTokenClassification",
    "MergeDNAModel",
]


class MergeDNAConfig(NetConfig):
    """Configuration; defaults are the published sizes.

    Args:
        d_model: channels.
        n_heads: heads of attention.
        local_encoder, latent_encoder, latent_decoder, local_decoder: blocks of each.
        window: tokens that narrow attention sees to either side.
        longest: most bases in a word.
        keep: share of tokens left after the local encoder; in training drawn evenly from ``keep_range``.
        latent_keep: share of words left when latent reconstruction merges once more.
        latent_weight: weight of latent reconstruction in the loss.
        max_position_embeddings: most bases at once.
    """

    model_type = "mergedna"

    vocab_size: int = 16
    d_model: int = 1024
    n_heads: int = 16
    d_inner: int | None = None
    local_encoder: int = 4
    latent_encoder: int = 20
    latent_decoder: int = 4
    local_decoder: int = 2
    window: int = 8
    longest: int = 16
    d_group: int = 64
    keep: float = 0.5
    keep_range: list[float] | tuple[float, float] = (0.4, 0.6)
    latent_keep: float = 0.5
    latent_weight: float = 0.25
    max_position_embeddings: int = 4096
    mask_token_id: int = 3
    pad_token_id: int | None = 4
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        for name, value in (
            ("keep", self.keep),
            ("latent_keep", self.latent_keep),
            *(("keep_range", v) for v in self.keep_range),
        ):
            if not 0 < value <= 1:
                raise UsageError(f"{name} is a share of tokens, above 0 and at most 1, not {value}")
        if self.local_encoder < 1:
            raise UsageError("MergeDNA needs at least one block in local_encoder, where it makes its words")

    @property
    def hidden_size(self) -> int:
        """Channels of the backbone's output."""
        return self.d_model

    @property
    def num_hidden_layers(self) -> int:
        """Blocks of the backbone."""
        return self.local_encoder + self.latent_encoder

    @property
    def token_limit(self) -> int | None:
        """Most bases at once."""
        return self.max_position_embeddings

    @property
    def causal(self) -> bool:
        """It reads both ways."""
        return False


class MergeBlock(GradientCheckpointingLayer):
    """Attention and a gated feed-forward, each beside the stream and behind a norm."""

    def __init__(self, config: MergeDNAConfig, window: int | None) -> None:
        super().__init__()
        width = config.d_model
        self.norm1 = RMSNorm(width)
        self.attention = Attention(
            d_model=width, n_heads=config.n_heads, causal=False, window=window, rotary_dim=width // config.n_heads, qkv_bias=False
        )
        self.norm2 = RMSNorm(width)
        self.mlp = GatedFeedForward(d_model=width, d_inner=config.d_inner or -(-8 * width // 3 // 64) * 64)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """New stream ``(B, M, D)``."""
        y, _ = self.attention(map_segments(self.norm1, x), mask=mask)
        x = x + y if torch.is_grad_enabled() else x.add_(y)
        return add_segments(x, lambda part: self.mlp(self.norm2(part)))


class MergeDNANet(Net):
    """What MergeDNA nets share."""

    config: MergeDNAConfig
    config_class = MergeDNAConfig
    base_model_prefix = "mergedna"
    _no_split_modules: ClassVar[list[str]] = ["MergeBlock"]  # type: ignore[misc]


class MergeDNAModel(MergeDNANet):
    """The backbone: ids to ``(B, L, d_model)``, where all bases of a word have the word's vector.

    Hidden states are the embeddings, then the stream after each local and each latent block brought to all bases, the last
    normed. ``boundaries`` of the output say where words begin; `words` gives them by themselves.
    """

    def __init__(self, config: MergeDNAConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.d_model)
        self.local_encoder = nn.ModuleList(MergeBlock(config, config.window) for _ in range(config.local_encoder))
        self.merges = nn.ModuleList(
            TokenMerge(d_model=config.d_model, d_group=config.d_group, longest=config.longest)
            for _ in range(config.local_encoder)
        )
        self.latent_encoder = nn.ModuleList(MergeBlock(config, None) for _ in range(config.latent_encoder))
        self.norm = RMSNorm(config.d_model)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of embeddings."""
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of embeddings."""
        self.embeddings = value  # type: ignore[assignment]

    def words(self, x: Tensor, mask: Tensor | None, keep: float, states: list[Tensor] | None = None) -> Merged:
        """The local encoder: embeddings ``(B, L, D)`` to words, about ``keep`` as many as bases.

        ``states``, if given, gets the stream after each block, brought to all bases.
        """
        merged = Merged.of_bases(x, mask)
        share = 1 - keep ** (1 / len(self.local_encoder))
        for block, merge in zip(self.local_encoder, self.merges, strict=True):
            tokens = block(merged.tokens, None if merged.mask.all() else merged.mask)
            if states is not None:
                states.append(unmerge(tokens, merged.source))
            merged = merge(merged._replace(tokens=tokens), share)
        return merged

    def latent(self, merged: Merged, states: list[Tensor] | None = None) -> Merged:
        """The latent encoder over words."""
        x = merged.tokens if torch.is_grad_enabled() else merged.tokens.clone()
        mask = None if merged.mask.all() else merged.mask
        for block in self.latent_encoder:
            x = block(x, mask)
            if states is not None:
                states.append(unmerge(x, merged.source))
        return merged._replace(tokens=map_segments(self.norm, x))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: Any | None = None,
        use_cache: bool = False,
        output_hidden_states: bool | None = None,
        **_: Any,
    ) -> BackboneOutput:
        """Run the net with the configured share of words; see `genoseq.nets.heads.LanguageModel.forward` for the arguments."""
        if cache is not None or use_cache:
            raise UsageError("this net reads the sequence in both directions: it cannot go on from a cache")
        keep_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        x, mask = self.embed(input_ids, inputs_embeds), real_positions(attention_mask)
        states: list[Tensor] | None = [x.clone()] if keep_states else None
        merged = self.latent(self.words(x, mask, self.config.keep, states), states)
        last = unmerge(merged.tokens, merged.source)
        if states is not None:
            states[-1] = last
        return BackboneOutput(
            last_hidden_state=last,
            hidden_states=None if states is None else tuple(states),
            boundaries=(word_boundaries(merged.source, mask),),
        )


class MergeDNAForMaskedLM(MergeDNANet, MaskedLM):
    """MergeDNA with its decoders: logits for every base, and in training the three tasks of the paper.

    With labels in training mode the loss is reconstruction of all bases through the words, ``latent_weight`` times reconstruction
    through words merged once more by the latent encoder (the words themselves held fixed), and prediction of masked bases, where
    words that the latent encoder could not merge are masked more often. In evaluation the loss is the prediction of the labels
    given, as for any masked language model.
    """

    backbone_class = MergeDNAModel
    masks_itself = True

    def add_head(self, config: NetConfig) -> None:
        """Decoders and the map to the vocabulary."""
        own = self.config
        self.latent_decoder = nn.ModuleList(MergeBlock(own, None) for _ in range(own.latent_decoder))
        self.place = nn.Embedding(own.longest, own.d_model)
        self.local_decoder = nn.ModuleList(MergeBlock(own, own.window) for _ in range(own.local_decoder))
        self.norm_out = RMSNorm(own.d_model)
        self.lm_head = nn.Linear(own.d_model, own.vocab_size, bias=False)

    def decode(self, tokens: Tensor, merged: Merged, mask: Tensor | None) -> Tensor:
        """Logits ``(B, L, V)`` of words ``(B, M, D)``."""
        x = tokens if torch.is_grad_enabled() else tokens.clone()
        for block in self.latent_decoder:
            x = block(x, None if merged.mask.all() else merged.mask)
        x = unmerge(x, merged.source) + self.place(_places(merged.source, mask, self.config.longest))
        for block in self.local_decoder:
            x = block(x, mask)
        logits: Tensor = self.lm_head(self.norm_out(x))
        return logits

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **options: Any,
    ) -> NetOutput:
        """Logits at every base, and the loss if labels ``(B, L)`` are given (in training: the unmasked ids themselves)."""
        if options.pop("cache", None) is not None or options.pop("use_cache", False):
            raise UsageError("this net reads the sequence in both directions: it cannot go on from a cache")
        items = options.pop("num_items_in_batch", None)
        net = self.backbone_net
        assert isinstance(net, MergeDNAModel)  # backbone_class says so
        keep_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        x, mask = net.embed(input_ids, inputs_embeds), real_positions(attention_mask)
        states: list[Tensor] | None = [x.clone()] if keep_states else None
        merged = net.latent(net.words(x, mask, self._keep(), states), states)
        logits = self.decode(merged.tokens, merged, mask)
        loss = None
        if labels is not None:
            labels = without_padding(labels, self.config.pad_token_id)
            loss = self.loss(logits, labels, items=items)
            if self.training:
                if input_ids is None:
                    raise UsageError("training MergeDNA masks bases itself: give it input_ids, not inputs_embeds")
                loss = loss + self._latent_tasks(input_ids, labels, mask)
        if states is not None:
            states[-1] = unmerge(merged.tokens, merged.source)
        boundaries = (word_boundaries(merged.source, mask),)
        return NetOutput(loss=loss, logits=logits, hidden_states=None if states is None else tuple(states), boundaries=boundaries)

    def _keep(self) -> float:
        if not self.training:
            return self.config.keep
        low, high = self.config.keep_range
        return low + (high - low) * float(torch.rand(()))

    def _latent_tasks(self, input_ids: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        """Latent reconstruction and adaptive masked prediction."""
        net = self.backbone_net
        assert isinstance(net, MergeDNAModel)  # backbone_class says so
        with torch.no_grad():
            words = net.words(net.embed(input_ids, None), mask, self._keep())
        merged = net.latent(words)
        coarse = merged
        while int(coarse.mask.sum()) > self.config.latent_keep * int(words.mask.sum()):
            before = int(coarse.mask.sum())
            coarse = _merge_alike(coarse, self.config.latent_keep * words.mask.sum(dim=1))
            if int(coarse.mask.sum()) == before:
                break
        a_base = _a_base_of_each(words.source, words.mask.shape[1])
        group = coarse.source.gather(1, a_base)  # the merged word that each word went into
        again = unmerge(coarse.tokens, group)
        latent_loss = cross_entropy(self.decode(again, words, mask), labels)

        # Words that stayed alone carry what cannot be told from their neighbours: they are masked in proportion.
        together = torch.zeros_like(coarse.sizes).scatter_add(1, group, words.mask.long())
        chance = words.mask / together.gather(1, group).clamp(min=1)
        count = max(1, int(self.config.latent_keep * int(words.mask.sum(dim=1).min()) / 4))
        drawn = torch.multinomial(chance, count)
        hidden = torch.zeros_like(words.mask).scatter(1, drawn, True)
        hidden_bases = hidden.gather(1, words.source)
        if mask is not None:
            hidden_bases = hidden_bases & mask
        masked_ids = input_ids.masked_fill(hidden_bases, self.config.mask_token_id)
        seen = net.latent(net.words(net.embed(masked_ids, None), mask, self._keep()))
        masked_loss = cross_entropy(self.decode(seen.tokens, seen, mask), labels.masked_fill(~hidden_bases, IGNORED))
        return self.config.latent_weight * latent_loss + masked_loss


class MergeDNAForSequenceClassification(MergeDNANet, SequenceHead):
    """MergeDNA with labels per sequence: each base counts once, so that long words count as much as their bases."""

    backbone_class = MergeDNAModel


class MergeDNAForTokenClassification(MergeDNANet, TokenHead):
    """MergeDNA with labels per base."""

    backbone_class = MergeDNAModel


def word_boundaries(source: Tensor, mask: Tensor | None) -> Boundaries:
    """Where words begin: 1 or 0, there is no probability in between."""
    real = torch.ones_like(source, dtype=torch.bool) if mask is None else mask
    previous = functional.pad(source[:, :-1].masked_fill(~real[:, :-1], -1), (1, 0), value=-1)
    begins = real & (source != previous)
    return Boundaries(begins.float(), begins, torch.ones_like(begins, dtype=torch.float32), real)


def _places(source: Tensor, mask: Tensor | None, longest: int) -> Tensor:
    """Place of each base in its word, ``(B, L)``, from 0; at padding anything below ``longest``."""
    positions = torch.arange(source.shape[1], device=source.device).expand_as(source)
    begins = source[:, 1:] != source[:, :-1]
    if mask is not None:
        begins = begins | (mask[:, 1:] != mask[:, :-1])
    begins = functional.pad(begins, (1, 0), value=True)
    return (positions - torch.where(begins, positions, 0).cummax(dim=1).values).clamp(max=longest - 1)


def _a_base_of_each(source: Tensor, words: int) -> Tensor:
    """The position of one base of each word, ``(B, words)``."""
    positions = torch.arange(source.shape[1], device=source.device).expand_as(source)
    return torch.zeros(source.shape[0], words, dtype=torch.long, device=source.device).scatter(1, source, positions)


def _merge_alike(merged: Merged, wanted: Tensor) -> Merged:
    """One round of merging neighbouring words by the likeness of their vectors, without bound on length."""
    unit = functional.normalize(merged.tokens, dim=-1)
    likeness = (unit[:, 1:] * unit[:, :-1]).sum(dim=-1)
    excess = (merged.mask.sum(dim=1) - wanted).clamp(min=0).ceil().long()
    return merge_neighbours(merged, likeness, excess, merged.source.shape[1])
