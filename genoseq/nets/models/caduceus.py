"""Caduceus: BiMamba for DNA, reverse-complement equivariant by parameter sharing (PS) or not (Ph).

Schiff et al. 2024, "Caduceus: Bi-Directional Equivariant Long-Range DNA Sequence Modeling". Configuration keys and parameter
names are those of the public checkpoints.

What ``fused_add_norm`` does. In the public code it chooses a fused kernel, and in PS nets also another function: every fused
block first puts each strand in the other's place (`swap_strands`). Both are equivariant; published PS weights were trained with
the swap. It is honoured here, without any kernel.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from genoseq.errors import UsageError
from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.heads import CausalLM, MaskedLM, SequenceHead, TokenHead, without_padding
from genoseq.nets.layers.bimamba import BiMamba
from genoseq.nets.layers.equivariant import RCPSEmbedding, RCPSLMHead, join_strands, swap_strands
from genoseq.nets.layers.norms import RMSNorm
from genoseq.nets.outputs import BackboneOutput
from genoseq.nets.segments import map_segments

__all__ = [
    "CaduceusConfig",
    "CaduceusForCausalLM",
    "CaduceusForMaskedLM",
    "CaduceusForSequenceClassification",
    "CaduceusForTokenClassification",
    "CaduceusModel",
]


class CaduceusConfig(NetConfig):
    """Configuration with the public keys; defaults are those of the public class.

    Args:
        d_model: channels of one strand.
        rcps: share parameters between the strands: the backbone's output then has ``2 d_model`` channels.
        complement_map: id of each token's complement; needed for ``rcps``.
        ssm_cfg: arguments of the Mamba layers.
    """

    model_type = "caduceus"

    d_model: int = 2560
    n_layer: int = 64
    vocab_size: int = 50277
    ssm_cfg: dict[str, Any] | None = None
    rms_norm: bool = True
    residual_in_fp32: bool = True
    fused_add_norm: bool = True
    pad_vocab_size_multiple: int = 8
    norm_epsilon: float = 1e-5
    initializer_cfg: dict[str, Any] | None = None
    bidirectional: bool = True
    bidirectional_strategy: str | None = "add"
    bidirectional_weight_tie: bool = True
    rcps: bool = False
    complement_map: dict[str | int, int] | None = None
    pad_token_id: int | None = 4
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.rcps and self.complement_map is None:
            raise UsageError("rcps needs complement_map: the id of each token's complement")

    @property
    def hidden_size(self) -> int:
        """Channels of the backbone's output."""
        return 2 * self.d_model if self.rcps else self.d_model

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
    def causal(self) -> bool:
        """True if the net reads in one direction only."""
        return not self.bidirectional and not self.rcps

    @property
    def shares_strands(self) -> bool:
        """True of PS nets."""
        return self.rcps


class CaduceusBlock(GradientCheckpointingLayer):
    """``x + mixer(norm(x))``; gives the mixer's output too, which is what the public code calls hidden states."""

    def __init__(self, config: CaduceusConfig) -> None:
        super().__init__()
        self.swaps = config.rcps and config.fused_add_norm
        self.norm = _norm(config)
        self.mixer = BiMamba(
            d_model=config.d_model,
            bidirectional=config.bidirectional,
            strategy=config.bidirectional_strategy,
            tie=config.bidirectional_weight_tie,
            **_mamba_options(config.ssm_cfg),
        )

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: Any | None = None, use_cache: bool = False
    ) -> tuple[Tensor, Tensor, Any | None]:
        """New residual stream, the mixer's output (both ``(B, L, D)``), and the cache; the mask is that after the swap."""
        if self.swaps:
            x = swap_strands(x)
        y, cache = self.mixer(map_segments(self.norm, x), mask=mask, cache=cache, use_cache=use_cache)
        return (x + y if torch.is_grad_enabled() else x.add_(y)), y, cache


class CaduceusNet(Net):
    """What Caduceus nets share."""

    config: CaduceusConfig
    config_class = CaduceusConfig
    base_model_prefix = "caduceus"
    _no_split_modules: ClassVar[list[str]] = ["CaduceusBlock"]  # type: ignore[misc]

    def _init_weights(self, module: nn.Module) -> None:
        """Public initialisation: small embeddings, and output projections scaled by the number of residual branches."""
        values = self.config.initializer_cfg or {}
        std = values.get("initializer_range", 0.02)
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=std)
        else:
            super()._init_weights(module)
        if isinstance(module, nn.Linear) and module.bias is not None:
            init.zeros_(module.bias)
        if isinstance(module, CaduceusBlock) and values.get("rescale_prenorm_residual", True):
            for mamba in (module.mixer.mamba_fwd, module.mixer.mamba_rev):
                if mamba is not None:
                    bound = 1 / math.sqrt(mamba.out_proj.in_features)
                    scale = math.sqrt(values.get("n_residuals_per_layer", 1) * self.config.n_layer)
                    init.uniform_(mamba.out_proj.weight, -bound / scale, bound / scale)

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of embeddings."""
        table = self._words()
        return table.embedding if isinstance(table, RCPSEmbedding) else table

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of embeddings."""
        words = self._words()
        if isinstance(words, RCPSEmbedding):
            words.embedding = value  # type: ignore[assignment]
        else:
            self._base().backbone.embeddings.word_embeddings = value  # type: ignore[assignment]

    def _base(self) -> CaduceusModel:
        return self if isinstance(self, CaduceusModel) else getattr(self, self.base_model_prefix)

    def _words(self) -> nn.Embedding | RCPSEmbedding:
        return self._base().backbone.embeddings.word_embeddings


class _Embeddings(nn.Module):
    def __init__(self, config: CaduceusConfig) -> None:
        super().__init__()
        self.word_embeddings: nn.Embedding | RCPSEmbedding
        if config.rcps:
            self.word_embeddings = RCPSEmbedding(
                rows=config.rows, d_model=config.d_model, complement_map=config.complement_map or {}
            )
        else:
            self.word_embeddings = nn.Embedding(config.rows, config.d_model)


class _Backbone(nn.Module):
    def __init__(self, config: CaduceusConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.layers = nn.ModuleList(CaduceusBlock(config) for _ in range(config.n_layer))
        self.norm_f = _norm(config)


class CaduceusModel(CaduceusNet):
    """The backbone: ids to ``(B, L, hidden_size)``.

    With ``rcps``, channels are ``cat(forward, rc(reverse))``. Hidden states are what the public code gives: the embeddings,
    then the output of each block's mixer but the last one's (the residual stream not included), then, with ``fused_add_norm``,
    the final normed state.
    """

    def __init__(self, config: CaduceusConfig) -> None:
        super().__init__(config)
        self.backbone = _Backbone(config)
        self.post_init()

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
        if (cache is not None or use_cache) and not self.config.causal:
            raise UsageError("this net reads the sequence in both directions: it cannot go on from a cache")
        x = self.embed(input_ids, inputs_embeds)
        mask = real_positions(attention_mask)
        if mask is not None and self.config.rcps:
            mask = torch.cat([mask, mask.flip(1)])
        show = join_strands if self.config.rcps else torch.clone
        states: list[Tensor] = []
        caches: list[Any] = []
        if keep:
            states.append(show(x))
        for index, block in enumerate(self.backbone.layers):
            if block.swaps and mask is not None:
                mask = torch.cat([half.flip(1) for half in reversed(mask.chunk(2))])
            x, mixed, after = block(x, mask, None if cache is None else cache[index], use_cache)
            caches.append(after)
            if keep and index < self.config.n_layer - 1:
                states.append(show(mixed))
            del mixed
        x = map_segments(self.backbone.norm_f, x)
        if self.config.rcps:
            x = join_strands(x)
        if keep and self.config.fused_add_norm:
            states.append(x)
        return BackboneOutput(
            last_hidden_state=x, hidden_states=tuple(states) if keep else None, cache=caches if use_cache else None
        )

    def embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """Embeddings ``(B, L, D)``; with ``rcps`` streams ``(2 B, L, D)``, which ids are needed for."""
        if not self.config.rcps:
            return super().embed(input_ids, inputs_embeds)
        if inputs_embeds is not None:
            raise UsageError("a net with rcps embeds both strands itself: give it input_ids, not inputs_embeds")
        self.check_ids(input_ids)
        streams: Tensor = self.backbone.embeddings.word_embeddings(input_ids)
        return streams


class _LanguageHead(CaduceusNet):
    """The map to the vocabulary, tied to the embeddings as in the public checkpoints unless the configuration says otherwise."""

    @property
    def _tied_weights_keys(self) -> dict[str, str]:  # type: ignore[override]
        words = "caduceus.backbone.embeddings.word_embeddings"
        if self.config.rcps:
            return {"lm_head.lm_head.weight": f"{words}.embedding.weight"}
        return {"lm_head.weight": f"{words}.weight"}

    def add_head(self, config: NetConfig) -> None:
        """A map per strand with ``rcps``, else one."""
        own = self.config
        self.lm_head: nn.Module
        if own.rcps:
            self.lm_head = RCPSLMHead(rows=own.rows, d_model=own.d_model, complement_map=own.complement_map or {})
        else:
            self.lm_head = nn.Linear(own.d_model, own.rows, bias=False)

    def get_output_embeddings(self) -> nn.Module:
        """The module that maps to the vocabulary."""
        return self.lm_head.lm_head if isinstance(self.lm_head, RCPSLMHead) else self.lm_head


class CaduceusForMaskedLM(_LanguageHead, MaskedLM):
    """Caduceus that predicts masked tokens.

    The public code has no other class: its one-directional nets predict the next token by labels that its data are shifted by.
    """

    config: CaduceusConfig
    backbone_class = CaduceusModel

    @property
    def predicts_next(self) -> bool:  # type: ignore[override]
        """True of nets in one direction."""
        return self.config.causal

    def loss(self, logits: Tensor, labels: Tensor, *, items: Tensor | int | None = None, weights: Tensor | None = None) -> Tensor:
        """Cross entropy as in `MaskedLM`; labels that are padding do not count either."""
        labels = without_padding(labels, self.config.pad_token_id)
        return super().loss(logits, labels, items=items, weights=weights)


class CaduceusForCausalLM(_LanguageHead, CausalLM):
    """Caduceus in one direction (``bidirectional=False``) that predicts the next token."""

    config: CaduceusConfig
    backbone_class = CaduceusModel


class CaduceusForSequenceClassification(CaduceusNet, SequenceHead):
    """Caduceus with labels per sequence; with ``rcps`` both strands are scored by the same map and averaged."""

    config: CaduceusConfig
    backbone_class = CaduceusModel

    @property
    def width(self) -> int:
        """Channels of one strand, which is what the map takes."""
        return self.config.d_model

    def sequence_logits(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Logits ``(B, labels)``."""
        if not self.config.rcps:
            return super().sequence_logits(hidden, mask)
        forward, reverse = hidden.chunk(2, dim=-1)
        other = None if mask is None else mask.flip(1)
        return (super().sequence_logits(forward, mask) + super().sequence_logits(reverse.flip(1, 2), other)) / 2


class CaduceusForTokenClassification(CaduceusNet, TokenHead):
    """Caduceus with labels per base."""

    config: CaduceusConfig
    backbone_class = CaduceusModel


def _norm(config: CaduceusConfig) -> nn.Module:
    if config.rms_norm:
        return RMSNorm(config.d_model, eps=config.norm_epsilon)
    return nn.LayerNorm(config.d_model, eps=config.norm_epsilon)


def _mamba_options(ssm_cfg: dict[str, Any] | None) -> dict[str, Any]:
    """Arguments of `Mamba` out of ``ssm_cfg``, without those that only choose a kernel."""
    return {name: value for name, value in (ssm_cfg or {}).items() if name not in ("use_fast_path", "layer_idx")}
