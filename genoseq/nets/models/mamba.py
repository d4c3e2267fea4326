"""Mamba and Mamba-2 language models (Gu & Dao 2023; Dao & Gu 2024).

Configuration keys and parameter names are those of the authors' ``mamba_ssm``; checkpoints in the layout of transformers load too
(see ``checkpoints``). Blocks are ``x + mixer(norm(x))``, with a feed-forward layer after it where ``d_intermediate`` says so;
nets with attention between them (the authors' ``attn_layer_idx``) are hybrids, see ``hybrid``.
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
from genoseq.nets.heads import CausalLM, SequenceHead, TokenHead
from genoseq.nets.layers.feedforward import GatedFeedForward
from genoseq.nets.layers.mamba import Mamba
from genoseq.nets.layers.mamba2 import Mamba2
from genoseq.nets.layers.norms import RMSNorm
from genoseq.nets.outputs import BackboneOutput
from genoseq.nets.segments import add_segments, map_segments

__all__ = [
    "MambaConfig",
    "MambaForCausalLM",
    "MambaForSequenceClassification",
    "MambaForTokenClassification",
    "MambaModel",
]

MIXERS = {"Mamba1": Mamba, "Mamba2": Mamba2}
KERNEL_CHOICES = ("layer", "use_fast_path", "use_mem_eff_path")
"""Keys of ``ssm_cfg`` that are no arguments of a layer."""
INNER_MULTIPLE = 128
"""The feed-forward's inner width is rounded up to a multiple of this, as in the authors' code."""


class MambaConfig(NetConfig):
    """Configuration with the keys of ``mamba_ssm``; defaults are those of its class.

    Args:
        d_intermediate: inner width of a gated feed-forward layer (SiLU) in every block; 0 for none.
        ssm_cfg: ``layer`` (``Mamba1`` or ``Mamba2``) and arguments of that layer.
        norm_epsilon: of all norms.
    """

    model_type = "genoseq_mamba"

    d_model: int = 2560
    d_intermediate: int = 0
    n_layer: int = 64
    vocab_size: int = 50277
    ssm_cfg: dict[str, Any] | None = None
    rms_norm: bool = True
    norm_epsilon: float = 1e-5
    residual_in_fp32: bool = True
    fused_add_norm: bool = True
    pad_vocab_size_multiple: int = 8
    initializer_range: float = 0.02
    rescale_prenorm_residual: bool = True
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        layer = (self.ssm_cfg or {}).get("layer", "Mamba1")
        if layer not in MIXERS:
            raise UsageError(f"unknown layer {layer!r} in ssm_cfg: known are {', '.join(MIXERS)}")

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


class MambaBlock(GradientCheckpointingLayer):
    """``h = x + mixer(norm(x))``, then ``h + mlp(norm2(h))`` where the configuration has a feed-forward layer."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        values = dict(config.ssm_cfg or {})
        mixer = MIXERS[values.get("layer", "Mamba1")]
        options = {name: value for name, value in values.items() if name not in KERNEL_CHOICES}
        self.norm = _norm(config)
        self.mixer = mixer(d_model=config.d_model, **options)
        self.norm2: nn.Module | None = None
        self.mlp: GatedFeedForward | None = None
        if config.d_intermediate:
            inner = -(-config.d_intermediate // INNER_MULTIPLE) * INNER_MULTIPLE
            self.norm2 = _norm(config)
            self.mlp = GatedFeedForward(d_model=config.d_model, d_inner=inner, names=("fc1", "fc2"), gate_first=False)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: Any | None = None, use_cache: bool = False
    ) -> tuple[Tensor, Any | None]:
        """New residual stream ``(B, L, D)`` and the cache."""
        y, cache = self.mixer(map_segments(self.norm, x), mask=mask, cache=cache, use_cache=use_cache)
        x = x + y if torch.is_grad_enabled() else x.add_(y)
        norm, mlp = self.norm2, self.mlp
        if norm is not None and mlp is not None:
            x = add_segments(x, lambda part: mlp(norm(part)))
        return x, cache


class MambaNet(Net):
    """What Mamba nets share."""

    config: MambaConfig
    config_class = MambaConfig
    base_model_prefix = "backbone"
    _no_split_modules: ClassVar[list[str]] = ["MambaBlock"]  # type: ignore[misc]

    def _init_weights(self, module: nn.Module) -> None:
        """The authors' initialisation: output projections scaled by the number of residual branches."""
        super()._init_weights(module)
        if isinstance(module, MambaBlock) and self.config.rescale_prenorm_residual:
            ends = [end for name, end in module.named_modules() if name in ("mixer.out_proj", "mlp.fc2")]
            for end in ends:
                if isinstance(end, nn.Linear):
                    bound = 1 / math.sqrt(end.in_features * len(ends) * self.config.n_layer)
                    init.uniform_(end.weight, -bound, bound)


class MambaModel(MambaNet):
    """The backbone: ids to ``(B, L, d_model)``."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.rows, config.d_model)
        self.layers = nn.ModuleList(MambaBlock(config) for _ in range(config.n_layer))
        self.norm_f = _norm(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of embeddings."""
        return self.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of embeddings."""
        self.embedding = value  # type: ignore[assignment]

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
        x = self.embed(input_ids, inputs_embeds)
        mask = real_positions(attention_mask)
        states: list[Tensor] = []
        caches: list[Any] = []
        for index, block in enumerate(self.layers):
            if keep:
                states.append(x.clone())
            x, after = block(x, mask, None if cache is None else cache[index], use_cache)
            caches.append(after)
        x = map_segments(self.norm_f, x)
        if keep:
            states.append(x)
        return BackboneOutput(
            last_hidden_state=x, hidden_states=tuple(states) if keep else None, cache=caches if use_cache else None
        )


class MambaForCausalLM(MambaNet, CausalLM):
    """Mamba that predicts the next token."""

    backbone_class = MambaModel
    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "backbone.embedding.weight"}  # type: ignore[misc]


class MambaForSequenceClassification(MambaNet, SequenceHead):
    """Mamba with labels per sequence."""

    backbone_class = MambaModel
    pool_default = "last"


class MambaForTokenClassification(MambaNet, TokenHead):
    """Mamba with labels per token."""

    backbone_class = MambaModel


def _norm(config: MambaConfig) -> nn.Module:
    if config.rms_norm:
        return RMSNorm(config.d_model, eps=config.norm_epsilon)
    return nn.LayerNorm(config.d_model, eps=config.norm_epsilon)
