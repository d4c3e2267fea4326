"""DNABERT-2 (Zhou et al. 2024), a MosaicBERT (Portes et al. 2023) over byte-pair tokens of DNA.

A masked language model of post-norm blocks: attention whose scores fall with distance (ALiBi) instead of positions, and a gated
feed-forward. Configuration keys and parameter names are the public ones. Hidden states at padding are zero, as the public code
gives them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from genoseq.errors import UsageError
from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.heads import MaskedLM, SequenceHead, TokenHead
from genoseq.nets.layers.attention import Attention
from genoseq.nets.layers.feedforward import ACTIVATIONS, GatedFeedForward, activation
from genoseq.nets.outputs import BackboneOutput
from genoseq.nets.pooling import pool
from genoseq.nets.segments import map_segments

__all__ = [
    "DNABert2Config",
    "DNABert2ForMaskedLM",
    "DNABert2ForSequenceClassification",
    "DNABert2ForTokenClassification",
    "DNABert2Model",
    "DNABert2PooledModel",
]

HEAD_EPS = 1e-12
"""Of the norm in the masked-token head; not ``layer_norm_eps``."""


class DNABert2Config(NetConfig):
    """Configuration with the public keys.

    Args:
        hidden_act: activation in the masked-token head; the feed-forward's gate is always an exact GELU.
        max_position_embeddings: of training; ALiBi takes any length.
        classifier_dropout: before the classifier; ``hidden_dropout_prob`` unless given.
    """

    model_type = "dnabert2"

    vocab_size: int = 4096
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    classifier_dropout: float | None = None
    pad_token_id: int | None = 3
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        if self.hidden_act not in ACTIVATIONS:
            raise UsageError(f"hidden_act is {self.hidden_act!r}: known are {', '.join(ACTIVATIONS)}")
        super().__post_init__(**kwargs)

    @property
    def causal(self) -> bool:
        """Positions see both sides."""
        return False


class DNABert2Embeddings(nn.Module):
    """``LayerNorm(token + kind of token)``."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """What the blocks get ``(B, L, D)``, of vectors of tokens ``(B, L, D)``; kinds ``(B, L)``, 0 unless given."""
        kinds = self.token_type_embeddings.weight[0] if token_type_ids is None else self.token_type_embeddings(token_type_ids)
        return map_segments(lambda part: self.dropout(self.LayerNorm(part)), x + kinds)


class DNABert2SelfOutput(nn.Module):
    """``LayerNorm(dense(mixed) + x)``."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, mixed: Tensor, x: Tensor) -> Tensor:
        """``(B, L, D)``."""
        out = map_segments(lambda part: self.dropout(self.dense(part)), mixed)
        out = out + x if torch.is_grad_enabled() else out.add_(x)
        return map_segments(self.LayerNorm, out)


class DNABert2Attention(nn.Module):
    """Attention and what follows it, under their public names."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__()
        attention = Attention(
            d_model=config.hidden_size,
            n_heads=config.num_attention_heads,
            causal=False,
            alibi=True,
            dropout=config.attention_probs_dropout_prob,
            output=None,
        )
        self.add_module("self", attention)
        self.output = DNABert2SelfOutput(config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, L, D)`` to ``(B, L, D)``."""
        mixed, _ = self.get_submodule("self")(x, mask=mask)
        out: Tensor = self.output(mixed, x)
        return out


class DNABert2FeedForward(GatedFeedForward):
    """``layernorm(wo(gelu(a) b) + x)``, where ``gated_layers`` makes ``a`` and ``b``."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__(
            d_model=config.hidden_size,
            d_inner=config.intermediate_size,
            act="gelu",
            out_bias=True,
            dropout=config.hidden_dropout_prob,
            names=("gated_layers", "wo"),
        )
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def _one(self, x: Tensor) -> Tensor:
        out: Tensor = self.layernorm(super()._one(x) + x)
        return out


class DNABert2Layer(GradientCheckpointingLayer):
    """A block: attention, then the feed-forward."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__()
        self.attention = DNABert2Attention(config)
        self.mlp = DNABert2FeedForward(config)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(B, L, D)`` to ``(B, L, D)``."""
        out: Tensor = self.mlp(self.attention(x, mask))
        return out


class DNABert2Encoder(nn.Module):
    """The blocks."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__()
        self.layer = nn.ModuleList(DNABert2Layer(config) for _ in range(config.num_hidden_layers))


class DNABert2Net(Net):
    """What DNABERT-2 nets share."""

    config: DNABert2Config
    config_class = DNABert2Config
    base_model_prefix = "bert"
    _no_split_modules: ClassVar[list[str]] = ["DNABert2Layer"]  # type: ignore[misc]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)


class DNABert2Model(DNABert2Net):
    """The backbone: ids to ``(B, L, hidden_size)``."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__(config)
        self.embeddings = DNABert2Embeddings(config)
        self.encoder = DNABert2Encoder(config)
        self.add_pooler(config)
        self.post_init()

    def add_pooler(self, config: DNABert2Config) -> None:
        """Make what turns the first token into a vector of the sequence: here nothing."""

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of embeddings."""
        self.embeddings.word_embeddings = value  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        cache: Any | None = None,
        use_cache: bool = False,
        output_hidden_states: bool | None = None,
        **_: Any,
    ) -> BackboneOutput:
        """Run the net; see `genoseq.nets.heads.LanguageModel.forward` for the arguments.

        ``token_type_ids`` ``(B, L)`` are kinds of tokens, 0 or 1, in nets that were trained on pairs of sequences.
        """
        if cache is not None or use_cache:
            raise UsageError("this net looks both ways and cannot go on from a cache: give it the whole sequence")
        keep = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        mask = real_positions(attention_mask)
        x = self.embeddings(self.embed(input_ids, inputs_embeds), token_type_ids)
        states: list[Tensor] = []
        for layer in self.encoder.layer:
            if keep:
                states.append(x)  # blocks leave their input alone
            x = layer(x, mask)
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0.0)
        if keep:
            states.append(x)
        return BackboneOutput(last_hidden_state=x, hidden_states=tuple(states) if keep else None)


class DNABert2Pooler(nn.Module):
    """``tanh(dense(x))``."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, D)`` to ``(B, D)``."""
        return torch.tanh(self.dense(x))


class DNABert2PooledModel(DNABert2Model):
    """The backbone of nets for whole sequences, where the public names put the pooler."""

    def add_pooler(self, config: DNABert2Config) -> None:
        """Make the pooler."""
        self.pooler = DNABert2Pooler(config)


class DNABert2Transform(nn.Module):
    """``LayerNorm(act(dense(x)))``."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=HEAD_EPS)
        self.act = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, L, D)`` to ``(B, L, D)``."""
        y: Tensor = self.LayerNorm(self.act(self.dense(x)))
        return y


class DNABert2Predictions(nn.Module):
    """Logits over the vocabulary."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__()
        self.transform = DNABert2Transform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, L, V)`` of ``(B, L, D)``."""
        logits: Tensor = self.decoder(self.transform(x))
        return logits


class DNABert2LMHead(nn.Module):
    """The masked-token head under its public name, ``cls.predictions``."""

    def __init__(self, config: DNABert2Config) -> None:
        super().__init__()
        self.predictions = DNABert2Predictions(config)


class DNABert2ForMaskedLM(DNABert2Net, MaskedLM):
    """DNABERT-2 that predicts masked tokens."""

    backbone_class = DNABert2Model
    _tied_weights_keys: ClassVar[dict[str, str]] = {  # type: ignore[misc]
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"
    }
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"(^|\.)pooler\."]  # type: ignore[misc]

    def add_head(self, config: NetConfig) -> None:
        """The head of the public net."""
        self.cls = DNABert2LMHead(self.config)

    def get_output_embeddings(self) -> nn.Module | None:
        """The module that maps to the vocabulary."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the module that maps to the vocabulary."""
        self.cls.predictions.decoder = new_embeddings  # type: ignore[assignment]

    def head_logits(self, hidden: Tensor) -> Tensor:
        """Logits ``(B, l, V)`` of the backbone's output."""
        logits: Tensor = self.cls.predictions(hidden)
        return logits


class DNABert2ForSequenceClassification(DNABert2Net, SequenceHead):
    """DNABERT-2 with labels per sequence, from its first token unless ``config.pool`` says otherwise."""

    backbone_class = DNABert2PooledModel
    pool_default = "first"

    def add_head(self, config: NetConfig) -> None:
        """The head of the public net."""
        dropout = self.config.classifier_dropout
        self.dropout = nn.Dropout(self.config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = nn.Linear(self.width, int(config.num_labels or 2))

    def sequence_logits(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Logits ``(B, labels)`` of the backbone's output ``(B, L, D)``."""
        pooled = pool(hidden, mask, getattr(self.config, "pool", None) or self.pool_default)
        logits: Tensor = self.classifier(self.dropout(self.backbone_net.pooler(pooled)))  # type: ignore[operator]
        return logits


class DNABert2ForTokenClassification(DNABert2Net, TokenHead):
    """DNABERT-2 with labels per token."""

    backbone_class = DNABert2Model
