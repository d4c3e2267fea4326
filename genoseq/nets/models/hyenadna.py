"""HyenaDNA: a causal net of Hyena operators over single bases, up to a million of them (Nguyen et al. 2023, arXiv:2306.15794).

Configuration keys and parameter names are those of the port on the hub. Each block is ``x + mixer(norm1(x))``, then
``x + mlp(norm2(x))``. The norms inside blocks have an epsilon of 1e-5 whatever ``layer_norm_epsilon`` says, which only reaches
the last norm: so it is in the public code.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.heads import CausalLM, SequenceHead, TokenHead
from genoseq.nets.layers.feedforward import FeedForward
from genoseq.nets.layers.hyena import HyenaOperator
from genoseq.nets.outputs import BackboneOutput
from genoseq.nets.segments import add_segments, map_segments

__all__ = [
    "HyenaDNAConfig",
    "HyenaDNAForCausalLM",
    "HyenaDNAForSequenceClassification",
    "HyenaDNAForTokenClassification",
    "HyenaDNAModel",
]


class HyenaDNAConfig(NetConfig):
    """Configuration with the keys of the port; defaults are those of its class.

    Args:
        short_filter_padding: the port always takes 2, which looks ahead where ``short_filter_order`` is above 3.
        max_seq_len: most tokens at once; the tables of positions are as long.
        pool: of sequence heads: ``last`` as in the port, ``mean`` as in the original code.
        score_bias: whether the map of sequence heads has a bias, as in the original code.
    """

    model_type = "hyenadna"

    vocab_size: int = 12
    d_model: int = 256
    d_inner: int | None = None
    n_layer: int = 8
    hyena_order: int = 2
    emb_dim: int = 5
    filter_order: int = 64
    short_filter_order: int = 3
    short_filter_padding: int = 2
    num_inner_mlps: int = 2
    activation_freq: float = 10
    train_freq: bool = True
    use_bias: bool = True
    max_seq_len: int = 1026
    pad_vocab_size_multiple: int = 8
    embed_dropout: float = 0.1
    hyena_dropout: float = 0.0
    hyena_filter_dropout: float = 0.0
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    pad_token_id: int | None = 4
    tie_word_embeddings: bool = False
    pool: str = "last"
    score_bias: bool = False

    @property
    def hidden_size(self) -> int:
        """Channels of the backbone's output."""
        return self.d_model

    @property
    def num_hidden_layers(self) -> int:
        """Number of blocks."""
        return self.n_layer

    @property
    def rows(self) -> int:
        """Rows of the table of embeddings: the vocabulary, padded."""
        multiple = self.pad_vocab_size_multiple
        return -(-self.vocab_size // multiple) * multiple

    @property
    def token_limit(self) -> int | None:
        """Most tokens at once."""
        return self.max_seq_len


class HyenaDNABlock(GradientCheckpointingLayer):
    """``x + mixer(norm1(x))``, then ``x + mlp(norm2(x))``."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.mixer = HyenaOperator(
            d_model=config.d_model,
            l_max=config.max_seq_len,
            order=config.hyena_order,
            filter_order=config.filter_order,
            emb_dim=config.emb_dim,
            num_inner_mlps=config.num_inner_mlps,
            activation_freq=config.activation_freq,
            train_freq=config.train_freq,
            short_filter_order=config.short_filter_order,
            short_filter_padding=config.short_filter_padding,
            dropout=config.hyena_dropout,
        )
        self.norm1 = nn.LayerNorm(config.d_model)
        self.mlp = FeedForward(
            d_model=config.d_model, d_inner=config.d_inner or 4 * config.d_model, act="gelu_tanh", names=("fc1", "fc2")
        )
        self.norm2 = nn.LayerNorm(config.d_model)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: Any | None = None, use_cache: bool = False
    ) -> tuple[Tensor, Any | None]:
        """New residual stream ``(B, L, D)`` and the cache."""
        y, cache = self.mixer(map_segments(self.norm1, x), mask=mask, cache=cache, use_cache=use_cache)
        x = x + y if torch.is_grad_enabled() else x.add_(y)
        return add_segments(x, lambda part: self.mlp(self.norm2(part))), cache


class HyenaDNANet(Net):
    """What HyenaDNA nets share."""

    config: HyenaDNAConfig
    config_class = HyenaDNAConfig
    base_model_prefix = "hyena"
    _keep_in_fp32_modules_strict: ClassVar[list[str]] = ["filter_fn"]  # type: ignore[misc]
    _no_split_modules: ClassVar[list[str]] = ["HyenaDNABlock"]  # type: ignore[misc]

    def _init_weights(self, module: nn.Module) -> None:
        """The public initialisation: normal maps without bias, smaller where they end a residual branch."""
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=std)
            if module.bias is not None:
                init.zeros_(module.bias)
        if isinstance(module, HyenaDNABlock):
            for last in (module.mixer.out_proj.weight, module.mlp.get_parameter("fc2.weight")):
                init.normal_(last, mean=0.0, std=std / math.sqrt(2 * self.config.n_layer))


class _Embeddings(nn.Module):
    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.rows, config.d_model)


class _Backbone(nn.Module):
    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.dropout = nn.Dropout(config.embed_dropout)
        self.layers = nn.ModuleList(HyenaDNABlock(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)


class HyenaDNAModel(HyenaDNANet):
    """The backbone: ids to ``(B, L, d_model)``.

    Hidden states are the embeddings, the stream after each block, and the last one normed: one more than blocks and embeddings,
    as in the port. Padding counts as any token unless ``attention_mask`` says where it is; published nets were trained without
    a mask, left-padded.
    """

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__(config)
        self.backbone = _Backbone(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of embeddings."""
        return self.backbone.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of embeddings."""
        self.backbone.embeddings.word_embeddings = value  # type: ignore[assignment]

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
        x = self.backbone.dropout(self.embed(input_ids, inputs_embeds))
        mask = real_positions(attention_mask)
        states: list[Tensor] = [x.clone()] if keep else []
        caches: list[Any] = []
        for index, block in enumerate(self.backbone.layers):
            x, after = block(x, mask, None if cache is None else cache[index], use_cache)
            caches.append(after)
            if keep:
                states.append(x.clone())
        x = map_segments(self.backbone.ln_f, x)
        if keep:
            states.append(x)
        return BackboneOutput(
            last_hidden_state=x, hidden_states=tuple(states) if keep else None, cache=caches if use_cache else None
        )


class HyenaDNAForCausalLM(HyenaDNANet, CausalLM):
    """HyenaDNA that predicts the next token."""

    backbone_class = HyenaDNAModel
    _tied_weights_keys: ClassVar[dict[str, str]] = {  # type: ignore[misc]
        "lm_head.weight": "hyena.backbone.embeddings.word_embeddings.weight"
    }


class HyenaDNAForSequenceClassification(HyenaDNANet, SequenceHead):
    """HyenaDNA with labels per sequence."""

    backbone_class = HyenaDNAModel

    def add_head(self, config: NetConfig) -> None:
        """A linear map from the pooled vector to the labels."""
        self.score = nn.Linear(self.width, int(config.num_labels or 2), bias=self.config.score_bias)


class HyenaDNAForTokenClassification(HyenaDNANet, TokenHead):
    """HyenaDNA with labels per base."""

    backbone_class = HyenaDNAModel
