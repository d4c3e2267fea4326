"""A net from a list of blocks: any mixers in any order, with one configuration, as a recipe describes it.

    d_model: 128
    blocks:
      - {mixer: hyena, repeat: 2, options: {l_max: 4096}}
      - {mixer: attention, options: {n_heads: 4, rotary_dim: 32}}
    strands: shared

Every block is ``x + mixer(norm(x))`` and, unless ``feed_forward`` is ``none``, ``x + mlp(norm(x))`` after it. With ``strands:
shared`` the net is reverse-complement equivariant whatever its blocks are: both strands go through the same layers (see
`layers.equivariant`).
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from genoseq.errors import UsageError
from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.heads import CausalLM, MaskedLM, SequenceHead, TokenHead
from genoseq.nets.layers.equivariant import RCPSEmbedding, RCPSLMHead, join_strands
from genoseq.nets.layers.feedforward import FeedForward, GatedFeedForward
from genoseq.nets.layers.norms import RMSNorm
from genoseq.nets.mixers import MIXERS
from genoseq.nets.outputs import BackboneOutput
from genoseq.nets.segments import add_segments, map_segments

__all__ = [
    "HybridConfig",
    "HybridForCausalLM",
    "HybridForMaskedLM",
    "HybridForSequenceClassification",
    "HybridForTokenClassification",
    "HybridModel",
]

DIRECTIONS = ("forward", "both")
STRANDS = ("single", "shared")
NORMS = ("rms", "layer")
FEED_FORWARDS = ("swiglu", "geglu", "gelu", "none")
BLOCK_KEYS = ("mixer", "options", "repeat", "direction", "feed_forward")


class HybridConfig(NetConfig):
    """Configuration.

    Args:
        vocab_size: rows of the table of embeddings; give a multiple of 8.
        d_model: channels (of one strand).
        blocks: each a mapping with ``mixer`` (a name that `genoseq.nets.mixers.MIXERS` knows), ``options`` (its keyword
            arguments), ``repeat``, ``direction`` (``forward``, or ``both``: a second mixer over the reversed sequence, added) and
            ``feed_forward`` (overrides the net's).
        feed_forward: ``swiglu``, ``geglu``, ``gelu`` or ``none``.
        d_inner: inner width of the feed-forward; by default ``8/3 d_model`` for gated ones and ``4 d_model`` for ``gelu``.
        norm: ``rms`` or ``layer``.
        strands: ``single``, or ``shared`` for reverse-complement equivariance, which needs ``complement_map``.
        complement_map: id of each token's complement.
        dropout: of every residual branch, in training.
        max_position_embeddings: most tokens at once, where the training sets a limit; ``l_max`` of ``hyena`` blocks is one too.
    """

    model_type = "genoseq_hybrid"

    vocab_size: int = 16
    d_model: int = 128
    blocks: list[dict[str, Any]] | None = None
    feed_forward: str = "swiglu"
    d_inner: int | None = None
    norm: str = "rms"
    norm_epsilon: float = 1e-5
    strands: str = "single"
    complement_map: dict[str | int, int] | None = None
    dropout: float = 0.0
    max_position_embeddings: int | None = None
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False
    pad_token_id: int | None = 4

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.blocks = self.blocks if self.blocks is not None else [{"mixer": "mamba2", "repeat": 2}]
        if not self.blocks:
            raise UsageError("blocks is empty: a net needs at least one")
        _known("norm", self.norm, NORMS)
        _known("strands", self.strands, STRANDS)
        _known("feed_forward", self.feed_forward, FEED_FORWARDS)
        for number, block in enumerate(self.blocks):
            where = f"blocks[{number}]"
            for key in block:
                _known(f"{where}: key", key, BLOCK_KEYS)
            if "mixer" not in block:
                raise UsageError(f"{where}: mixer is missing; there are: {', '.join(MIXERS.names())}")
            _known(f"{where}: direction", block.get("direction", "forward"), DIRECTIONS)
            _known(f"{where}: feed_forward", block.get("feed_forward", self.feed_forward), FEED_FORWARDS)
        if self.strands == "shared" and self.complement_map is None:
            raise UsageError("strands: shared needs complement_map: the id of each token's complement")

    @property
    def hidden_size(self) -> int:
        """Channels of the backbone's output."""
        return 2 * self.d_model if self.shares_strands else self.d_model

    @property
    def num_hidden_layers(self) -> int:
        """Number of blocks."""
        return sum(int(block.get("repeat", 1)) for block in self.blocks or [])

    @property
    def token_limit(self) -> int | None:
        """Most tokens at once: ``max_position_embeddings``, or where the filters of a ``hyena`` block end."""
        ends = [block.get("options", {}).get("l_max") for block in self.blocks or [] if block["mixer"] == "hyena"]
        return min((end for end in (self.max_position_embeddings, *ends) if end is not None), default=None)

    @property
    def causal(self) -> bool:
        """True if every block only looks back."""
        return not self.shares_strands and all(_looks_back(block) for block in self.blocks or [])

    @property
    def shares_strands(self) -> bool:
        """True if ``strands`` is ``shared``."""
        return self.strands == "shared"


class BothDirections(nn.Module):
    """The sum of a mixer along the sequence and another one against it.

    A mixer whose ``forward`` takes ``reverse`` reads backwards itself, which needs no turned copies of a long sequence.
    """

    def __init__(self, forward: nn.Module, backward: nn.Module) -> None:
        super().__init__()
        self.along = forward
        self.against = backward
        self.turns = "reverse" in inspect.signature(backward.forward).parameters

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, cache: Any | None = None, use_cache: bool = False
    ) -> tuple[Tensor, None]:
        """Mix ``(B, L, D)``."""
        if cache is not None or use_cache:
            raise UsageError("this net reads the sequence in both directions: it cannot go on from a cache")
        y, _ = self.along(x, mask=mask)
        if self.turns:
            back, _ = self.against(x, mask=mask, reverse=True)
        else:
            back, _ = self.against(x.flip(1), mask=None if mask is None else mask.flip(1))
            back = back.flip(1)
        return (y + back if torch.is_grad_enabled() else y.add_(back)), None


class HybridBlock(GradientCheckpointingLayer):
    """A mixer and perhaps a feed-forward, each beside the stream and behind a norm."""

    def __init__(self, config: HybridConfig, block: dict[str, Any]) -> None:
        super().__init__()
        options = {"d_model": config.d_model, **block.get("options", {})}
        self.norm1 = _norm(config)
        self.mixer: nn.Module = MIXERS.make(block["mixer"], **options)
        if block.get("direction", "forward") == "both":
            self.mixer = BothDirections(self.mixer, MIXERS.make(block["mixer"], **options))
        self.dropout = nn.Dropout(config.dropout)
        self.norm2: nn.Module | None = None
        self.mlp: nn.Module | None = None
        kind = block.get("feed_forward", config.feed_forward)
        if kind != "none":
            self.norm2 = _norm(config)
            self.mlp = _feed_forward(config, kind)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: Any | None = None, use_cache: bool = False
    ) -> tuple[Tensor, Any | None]:
        """New residual stream ``(B, L, D)`` and the cache."""
        y, cache = self.mixer(map_segments(self.norm1, x), mask=mask, cache=cache, use_cache=use_cache)
        y = self.dropout(y)
        x = x + y if torch.is_grad_enabled() else x.add_(y)
        norm, mlp = self.norm2, self.mlp
        if norm is not None and mlp is not None:
            x = add_segments(x, lambda part: self.dropout(mlp(norm(part))))
        return x, cache


class HybridNet(Net):
    """What hybrid nets share."""

    config: HybridConfig
    config_class = HybridConfig
    base_model_prefix = "hybrid"
    _no_split_modules: ClassVar[list[str]] = ["HybridBlock"]  # type: ignore[misc]


class HybridModel(HybridNet):
    """The backbone: ids to ``(B, L, hidden_size)``; with shared strands, channels are ``cat(forward, rc(reverse))``."""

    def __init__(self, config: HybridConfig) -> None:
        super().__init__(config)
        self.embeddings: nn.Embedding | RCPSEmbedding
        if config.shares_strands:
            self.embeddings = RCPSEmbedding(
                rows=config.vocab_size, d_model=config.d_model, complement_map=config.complement_map or {}
            )
        else:
            self.embeddings = nn.Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(
            _block(config, number, block)
            for number, block in enumerate(config.blocks or [])
            for _ in range(int(block.get("repeat", 1)))
        )
        self.norm_f = _norm(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of embeddings."""
        return self.embeddings.embedding if isinstance(self.embeddings, RCPSEmbedding) else self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of embeddings."""
        if isinstance(self.embeddings, RCPSEmbedding):
            self.embeddings.embedding = value  # type: ignore[assignment]
        else:
            self.embeddings = value  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: list[Any] | None = None,
        use_cache: bool = False,
        output_hidden_states: bool | None = None,
        **_: Any,
    ) -> BackboneOutput:
        """Run the net; see `genoseq.nets.heads.LanguageModel.forward` for the arguments."""
        keep = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        shared = self.config.shares_strands
        if shared and (cache is not None or use_cache):
            raise UsageError("a net with shared strands needs the whole sequence: it cannot go on from a cache")
        mask = real_positions(attention_mask)
        if shared:
            if inputs_embeds is not None:
                raise UsageError("a net with shared strands embeds both itself: give it input_ids, not inputs_embeds")
            self.check_ids(input_ids)
            x: Tensor = self.embeddings(input_ids)
            mask = None if mask is None else torch.cat([mask, mask.flip(1)])
        else:
            x = self.embed(input_ids, inputs_embeds)
        show = join_strands if shared else torch.clone
        states: list[Tensor] = []
        caches: list[Any] = []
        for index, block in enumerate(self.layers):
            if keep:
                states.append(show(x))
            x, after = block(x, mask, None if cache is None else cache[index], use_cache)
            caches.append(after)
        x = map_segments(self.norm_f, x)
        x = join_strands(x) if shared else x
        if keep:
            states.append(x)
        return BackboneOutput(
            last_hidden_state=x, hidden_states=tuple(states) if keep else None, cache=caches if use_cache else None
        )


class _LanguageHead(HybridNet):
    """The map to the vocabulary; with shared strands, what both strands say."""

    @property
    def _tied_weights_keys(self) -> dict[str, str]:  # type: ignore[override]
        if self.config.shares_strands:
            return {"lm_head.lm_head.weight": "hybrid.embeddings.embedding.weight"}
        return {"lm_head.weight": "hybrid.embeddings.weight"}

    def add_head(self, config: NetConfig) -> None:
        """A map per strand with shared strands, else one."""
        own = self.config
        self.lm_head: nn.Module
        if own.shares_strands:
            self.lm_head = RCPSLMHead(rows=own.vocab_size, d_model=own.d_model, complement_map=own.complement_map or {})
        else:
            self.lm_head = nn.Linear(own.d_model, own.vocab_size, bias=False)

    def get_output_embeddings(self) -> nn.Module:
        """The module that maps to the vocabulary."""
        return self.lm_head.lm_head if isinstance(self.lm_head, RCPSLMHead) else self.lm_head


class HybridForCausalLM(_LanguageHead, CausalLM):
    """A hybrid that predicts the next token."""

    backbone_class = HybridModel


class HybridForMaskedLM(_LanguageHead, MaskedLM):
    """A hybrid that predicts masked tokens."""

    backbone_class = HybridModel


class HybridForSequenceClassification(HybridNet, SequenceHead):
    """A hybrid with labels per sequence; with shared strands, the answer is the mean of both strands'."""

    backbone_class = HybridModel

    @property
    def width(self) -> int:
        """Channels of one strand."""
        return self.config.d_model

    def sequence_logits(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Logits ``(B, labels)``."""
        if not self.config.shares_strands:
            return super().sequence_logits(hidden, mask)
        forward, reverse = hidden.chunk(2, dim=-1)
        other = None if mask is None else mask.flip(1)
        return (super().sequence_logits(forward, mask) + super().sequence_logits(reverse.flip(1, 2), other)) / 2


class HybridForTokenClassification(HybridNet, TokenHead):
    """A hybrid with labels per token."""

    backbone_class = HybridModel


def _known(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{what}: unknown {value!r}; there are: {', '.join(known)}")


def _block(config: HybridConfig, number: int, block: dict[str, Any]) -> HybridBlock:
    """A block; what is wrong with its options is told with the block's number.

    Raises:
        UsageError: the mixer does not know an option, lacks one, or refuses its value.
    """
    try:
        return HybridBlock(config, block)
    except (TypeError, ValueError, UsageError) as error:
        hint = "; the longest input of the net, in tokens" if "needs l_max" in str(error) else ""
        raise UsageError(f"blocks[{number}] ({block['mixer']}): options: {error}{hint}") from error


def _looks_back(block: dict[str, Any]) -> bool:
    options = block.get("options", {})
    if block.get("direction", "forward") == "both":
        return False
    if block["mixer"] == "bimamba":
        return not options.get("bidirectional", True)
    return bool(options.get("causal", True)) and not options.get("bidirectional", False)


def _norm(config: HybridConfig) -> nn.Module:
    if config.norm == "rms":
        return RMSNorm(config.d_model, eps=config.norm_epsilon)
    return nn.LayerNorm(config.d_model, eps=config.norm_epsilon)


def _feed_forward(config: HybridConfig, kind: str) -> nn.Module:
    if kind == "gelu":
        return FeedForward(d_model=config.d_model, d_inner=config.d_inner or 4 * config.d_model)
    inner = config.d_inner or -(-8 * config.d_model // 3 // 8) * 8
    return GatedFeedForward(d_model=config.d_model, d_inner=inner, act="silu" if kind == "swiglu" else "gelu")
