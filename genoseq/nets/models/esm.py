"""ESM nets: ESM-2 over proteins (Lin et al. 2023), Nucleotide Transformer v1 and v2 over DNA (Dalla-Torre et al. 2024).

Masked language models of pre-norm transformer blocks. Configuration keys and parameter names are those of transformers, with two
more for the Nucleotide Transformer: its own ``add_bias_fnn``, and ``gated`` for the gated feed-forward of its v2, which its code
does not name. Positions are learned (ESM-1b, Nucleotide Transformer v1) or rotary. A net of its own rather than transformers',
whose internals move between versions: this one loads the same files, takes long input in segments, and says what is wrong with
its input.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from genoseq.errors import UsageError
from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.heads import MaskedLM, SequenceHead, TokenHead
from genoseq.nets.layers.attention import Attention
from genoseq.nets.layers.feedforward import segment_size
from genoseq.nets.ops.rotary import real_indices
from genoseq.nets.outputs import BackboneOutput
from genoseq.nets.pooling import pool
from genoseq.nets.segments import add_segments, map_segments

__all__ = [
    "EsmConfig",
    "EsmForMaskedLM",
    "EsmForSequenceClassification",
    "EsmForTokenClassification",
    "EsmModel",
]

MASKED_IN_TRAINING = 0.15 * 0.8
"""Share of tokens that were the mask in the training of nets with ``token_dropout``."""


class EsmConfig(NetConfig):
    """Configuration with the keys of transformers' ``EsmConfig``.

    Args:
        position_embedding_type: ``absolute`` (learned) or ``rotary``.
        emb_layer_norm_before: a norm after the embeddings too.
        token_dropout: masked tokens are zeros, and the others scaled for it.
        gated: gated feed-forward (SiLU), as in Nucleotide Transformer v2; None: if ``add_bias_fnn`` is false, which only v2 has.
        add_bias_fnn: biases in the feed-forward.
    """

    model_type = "genoseq_esm"

    vocab_size: int = 33
    mask_token_id: int | None = None
    pad_token_id: int | None = 1
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 1026
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    rope_theta: float = 10_000.0
    position_embedding_type: str = "absolute"
    emb_layer_norm_before: bool | None = None
    token_dropout: bool = False
    add_bias_fnn: bool | None = None
    gated: bool | None = None
    is_folding_model: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        if self.position_embedding_type not in ("absolute", "rotary"):
            raise UsageError(f"position_embedding_type is {self.position_embedding_type!r}: known are absolute, rotary")
        if self.is_folding_model:
            raise UsageError("this configuration is of ESMFold, which predicts structures: genoseq only has ESM language models")
        if self.token_dropout and self.mask_token_id is None:
            raise UsageError("token_dropout needs mask_token_id")
        if self.gated is None:
            self.gated = self.add_bias_fnn is False
        super().__post_init__(**kwargs)

    @property
    def token_limit(self) -> int | None:
        """Most tokens at once: as many as have a learned position; no limit with rotary ones."""
        if self.position_embedding_type == "rotary":
            return None
        return self.max_position_embeddings - self.first_position

    @property
    def first_position(self) -> int:
        """The learned position of the first token; those before are of padding."""
        return 1 + (self.pad_token_id or 0)

    @property
    def causal(self) -> bool:
        """Positions see both sides."""
        return False


class Dense(nn.Module):
    """A linear map called ``dense``, as these nets' parameter names have it."""

    def __init__(self, d_in: int, d_out: int, *, bias: bool = True) -> None:
        super().__init__()
        self.dense = nn.Linear(d_in, d_out, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., d_in)`` to ``(..., d_out)``."""
        y: Tensor = self.dense(x)
        return y


class EsmEmbeddings(nn.Module):
    """Vectors of tokens, with learned positions if the net has them."""

    def __init__(self, config: EsmConfig) -> None:
        super().__init__()
        self.config = config
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        if config.position_embedding_type == "absolute":
            self.position_embeddings = nn.Embedding(
                config.max_position_embeddings, config.hidden_size, padding_idx=config.pad_token_id
            )
        if config.emb_layer_norm_before:
            self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor, input_ids: Tensor | None, mask: Tensor | None) -> Tensor:
        """What the blocks get ``(B, L, D)``, of vectors of tokens ``(B, L, D)``, their ids ``(B, L)`` if known, and the mask."""
        config = self.config
        if config.token_dropout and input_ids is not None:
            masked = input_ids.eq(config.mask_token_id or 0)
            lengths: Tensor | int = input_ids.shape[1] if mask is None else mask.sum(dim=1)
            share = masked.sum(dim=1).float() / lengths
            scale = (1 - MASKED_IN_TRAINING) / (1 - share)
            x = (x.masked_fill(masked[..., None], 0.0) * scale[:, None, None]).to(x.dtype)
        if config.position_embedding_type == "absolute":
            if mask is None and input_ids is not None and config.pad_token_id is not None:
                counted = input_ids.ne(
                    config.pad_token_id
                )  # as the public code: these take no position, even if nobody says mask
                positions = torch.where(counted, real_indices(counted) + config.first_position, config.pad_token_id)
            elif mask is not None:
                positions = real_indices(mask) + config.first_position
            else:
                positions = torch.arange(x.shape[1], device=x.device)[None] + config.first_position
            x = x + self.position_embeddings(positions)
        if config.emb_layer_norm_before:
            x = self.layer_norm(x)
        return x if mask is None else x * mask[..., None].to(x.dtype)


class EsmAttention(nn.Module):
    """``x + dense(attention(LayerNorm(x)))``."""

    def __init__(self, config: EsmConfig) -> None:
        super().__init__()
        rotary = config.position_embedding_type == "rotary"
        attention = Attention(
            d_model=config.hidden_size,
            n_heads=config.num_attention_heads,
            causal=False,
            rotary_dim=config.hidden_size // config.num_attention_heads if rotary else 0,
            rotary_base=config.rope_theta,
            dropout=config.attention_probs_dropout_prob,
            projections=("query", "key", "value"),
            output=None,
        )
        self.add_module("self", attention)
        self.output = Dense(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, L, D)`` to ``(B, L, D)``."""
        mixed, _ = self.get_submodule("self")(map_segments(self.LayerNorm, x), mask=mask)
        mixed = map_segments(lambda part: self.dropout(self.output(part)), mixed)
        return x + mixed if torch.is_grad_enabled() else mixed.add_(x)


class EsmLayer(GradientCheckpointingLayer):
    """A block: attention, then ``h + output(act(intermediate(LayerNorm(h))))``."""

    def __init__(self, config: EsmConfig) -> None:
        super().__init__()
        self.gated = bool(config.gated)
        width, inner, bias = config.hidden_size, config.intermediate_size, config.add_bias_fnn is not False
        self.attention = EsmAttention(config)
        self.intermediate = Dense(width, 2 * inner if self.gated else inner, bias=bias)
        self.output = Dense(inner, width, bias=bias)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.segment = segment_size(2 * inner)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(B, L, D)`` to ``(B, L, D)``."""
        return add_segments(self.attention(x, mask), self.feed_forward, size=self.segment)

    def feed_forward(self, x: Tensor) -> Tensor:
        """The second half, without the residual; every position by itself."""
        inner = self.intermediate(self.LayerNorm(x))
        if self.gated:
            gate, up = inner.chunk(2, dim=-1)
            inner = functional.silu(gate) * up
        else:
            inner = functional.gelu(inner)
        out: Tensor = self.dropout(self.output(inner))
        return out


class EsmEncoder(nn.Module):
    """The blocks and the norm after them."""

    def __init__(self, config: EsmConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(EsmLayer(config) for _ in range(config.num_hidden_layers))
        self.emb_layer_norm_after = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class EsmNet(Net):
    """What ESM nets share."""

    config: EsmConfig
    config_class = EsmConfig
    base_model_prefix = "esm"
    _no_split_modules: ClassVar[list[str]] = ["EsmLayer"]  # type: ignore[misc]
    # Tables and heads of public checkpoints for which this net has no use.
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [  # type: ignore[misc]
        r"rotary_embeddings\.inv_freq$",
        r"embeddings\.position_ids$",
        r"(^|\.)contact_head\.",
        r"(^|\.)pooler\.",
    ]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)


class EsmModel(EsmNet):
    """The backbone: ids to ``(B, L, hidden_size)``."""

    def __init__(self, config: EsmConfig) -> None:
        super().__init__(config)
        self.embeddings = EsmEmbeddings(config)
        self.encoder = EsmEncoder(config)
        self.post_init()

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
        cache: Any | None = None,
        use_cache: bool = False,
        output_hidden_states: bool | None = None,
        **_: Any,
    ) -> BackboneOutput:
        """Run the net; see `genoseq.nets.heads.LanguageModel.forward` for the arguments."""
        if cache is not None or use_cache:
            raise UsageError("this net looks both ways and cannot go on from a cache: give it the whole sequence")
        keep = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        mask = real_positions(attention_mask)
        x = self.embeddings(self.embed(input_ids, inputs_embeds), input_ids, mask)
        states: list[Tensor] = []
        for layer in self.encoder.layer:
            if keep:
                states.append(x)  # blocks leave their input alone
            x = layer(x, mask)
        x = map_segments(self.encoder.emb_layer_norm_after, x)
        if keep:
            states.append(x)
        return BackboneOutput(last_hidden_state=x, hidden_states=tuple(states) if keep else None)


class EsmLMHead(nn.Module):
    """``decoder(layer_norm(gelu(dense(x)))) + bias``."""

    def __init__(self, config: EsmConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def reset_parameters(self) -> None:
        """No token is likelier than another."""
        init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, L, V)`` of ``(B, L, D)``."""
        logits: Tensor = self.decoder(self.layer_norm(functional.gelu(self.dense(x)))) + self.bias
        return logits


class EsmForMaskedLM(EsmNet, MaskedLM):
    """ESM that predicts masked tokens."""

    backbone_class = EsmModel
    _tied_weights_keys: ClassVar[dict[str, str]] = {  # type: ignore[misc]
        "lm_head.decoder.weight": "esm.embeddings.word_embeddings.weight"
    }

    def add_head(self, config: NetConfig) -> None:
        """The head of the public nets."""
        self.lm_head = EsmLMHead(self.config)

    def get_output_embeddings(self) -> nn.Module | None:
        """The module that maps to the vocabulary."""
        decoder: nn.Module = self.lm_head.decoder
        return decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the module that maps to the vocabulary."""
        self.lm_head.decoder = new_embeddings


class EsmClassificationHead(nn.Module):
    """``out_proj(tanh(dense(first token)))``."""

    def __init__(self, config: EsmConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.out_proj = nn.Linear(config.hidden_size, int(config.num_labels or 2))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, labels)`` of pooled ``(B, D)``."""
        logits: Tensor = self.out_proj(self.dropout(torch.tanh(self.dense(self.dropout(x)))))
        return logits


class EsmForSequenceClassification(EsmNet, SequenceHead):
    """ESM with labels per sequence, from its first token unless ``config.pool`` says otherwise."""

    backbone_class = EsmModel
    pool_default = "first"

    def add_head(self, config: NetConfig) -> None:
        """The head of the public nets."""
        self.classifier = EsmClassificationHead(self.config)

    def sequence_logits(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Logits ``(B, labels)`` of the backbone's output ``(B, L, D)``."""
        logits: Tensor = self.classifier(pool(hidden, mask, getattr(self.config, "pool", None) or self.pool_default))
        return logits


class EsmForTokenClassification(EsmNet, TokenHead):
    """ESM with labels per token."""

    backbone_class = EsmModel
