"""Evo 2, and StripedHyena 2 nets in general (Brixi et al. 2025), over bytes.

Configuration keys are those of the public recipes (1b, 7b, 20b and 40b; 8k to 1m positions); parameter names those of the public
net, under ``backbone.`` with the unembedding beside it.

Two traps of the public checkpoints: their query, key and value rows alternate head by head and are put in order when they are
loaded (`ordered_fused_rows`), where the recipe says ``column_split``; and ``hcl_filter_groups`` has no effect, long filters are
one per channel.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from genoseq.errors import UsageError
from genoseq.nets.heads import SequenceHead, TokenHead
from genoseq.nets.layers.striped import HyenaBlock
from genoseq.nets.layers.striped2 import CascadeHyena, ExplicitHyena, ImplicitHyena
from genoseq.nets.models.stripedhyena import StripedConfig, StripedLM, StripedModel, StripedNet, layer_kinds

__all__ = [
    "Evo2Config",
    "Evo2ForCausalLM",
    "Evo2ForSequenceClassification",
    "Evo2ForTokenClassification",
    "Evo2Model",
    "ordered_fused_rows",
]


class Evo2Config(StripedConfig):
    """Configuration with the keys of the public Evo 2 recipes.

    Args:
        hcs_layer_idxs, hcm_layer_idxs, hcl_layer_idxs: blocks with short, medium and long filters; the rest is attention.
        hcs_filter_length, hcm_filter_length: taps of the explicit filters.
        hcs_filter_groups, hcm_filter_groups: explicit filters per block; one per channel unless given.
        interleave: the streams of a Hyena block alternate channel by channel in its projections.
        hyena_flip_x1x2: the first two streams change places.
        evo2_style_activations: only the first block's feed-forward has an activation.
    """

    model_type = "evo2"

    num_layers: int = 25
    hidden_size: int = 1920
    num_attention_heads: int = 15
    state_size: int = 16
    mlp_activation: str = "gelu"
    rotary_emb_base: float = 1_000_000.0
    hcs_layer_idxs: list[int] | None = None
    hcm_layer_idxs: list[int] | None = None
    hcl_layer_idxs: list[int] | None = None
    hcs_filter_length: int = 7
    hcm_filter_length: int = 128
    hcs_filter_groups: int | None = None
    hcm_filter_groups: int | None = None
    hcl_filter_groups: int | None = None
    short_filter_bias: bool = False
    qkv_proj_bias: bool = False
    hyena_out_proj_bias: bool = True
    interleave: bool = False
    hyena_flip_x1x2: bool = False
    evo2_style_activations: bool = False
    column_split: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.attn_layer_idxs is None:
            hyena = {*(self.hcs_layer_idxs or ()), *(self.hcm_layer_idxs or ()), *(self.hcl_layer_idxs or ())}
            self.attn_layer_idxs = [i for i in range(self.num_layers) if i not in hyena]
        self.kinds()

    def kinds(self) -> list[str]:
        """The kind of each block: ``attn``, ``hcs``, ``hcm`` or ``hcl``."""
        return layer_kinds(
            self.num_layers,
            attn=self.attn_layer_idxs,
            hcs=self.hcs_layer_idxs,
            hcm=self.hcm_layer_idxs,
            hcl=self.hcl_layer_idxs,
        )

    def make_block(self, index: int) -> nn.Module:
        """Block ``index`` of the net."""
        act = "identity" if self.evo2_style_activations and index > 0 else self.mlp_activation
        kind = self.kinds()[index]
        if kind == "attn":
            return self.attention_block(act)
        return HyenaBlock(
            d_model=self.hidden_size,
            filter=self.make_filter(kind),
            inner_size=self.inner_size,
            act=act,
            eps=self.eps,
            proj_bias=self.qkv_proj_bias,
            out_bias=self.hyena_out_proj_bias,
        )

    def make_filter(self, kind: str) -> CascadeHyena:
        """The filter of a Hyena block."""
        shared: dict[str, Any] = {
            "d_model": self.hidden_size,
            "n_heads": self.num_attention_heads,
            "short_filter_length": self.short_filter_length,
            "short_filter_bias": self.short_filter_bias,
            "column_split": self.column_split_hyena,
            "interleave": self.interleave,
            "flip": self.hyena_flip_x1x2,
        }
        if kind == "hcs":
            return ExplicitHyena(filter_length=self.hcs_filter_length, filter_groups=self.hcs_filter_groups, **shared)
        if kind == "hcm":
            return ExplicitHyena(filter_length=self.hcm_filter_length, filter_groups=self.hcm_filter_groups, **shared)
        return ImplicitHyena(state_size=self.state_size, **shared)


def ordered_fused_rows(fused: Tensor, n_heads: int) -> Tensor:
    """Rows of ``Wqkv`` (weight or bias) of a public Evo 2 checkpoint in the order of the net: all queries, all keys, all values.

    Args:
        fused: ``(3 D, ...)``, where each head has its query, key and value rows together.
        n_heads: number of heads.

    Raises:
        UsageError: the rows do not divide by the heads.
    """
    if fused.shape[0] % (3 * n_heads):
        raise UsageError(f"Wqkv has {fused.shape[0]} rows, which do not divide into {n_heads} heads of query, key and value")
    return fused.reshape(n_heads, 3, -1, *fused.shape[1:]).transpose(0, 1).reshape(fused.shape)


class Evo2Net(StripedNet):
    """What Evo 2 nets share."""

    config: Evo2Config
    config_class = Evo2Config


class Evo2Model(Evo2Net, StripedModel):
    """The backbone of Evo 2."""


class Evo2ForCausalLM(Evo2Net, StripedLM):
    """Evo 2 that predicts the next byte."""

    backbone_class = Evo2Model
    _tied_weights_keys: ClassVar[dict[str, str]] = {"unembed.weight": "backbone.embedding_layer.weight"}  # type: ignore[misc]


class Evo2ForSequenceClassification(Evo2Net, SequenceHead):
    """Evo 2 with labels per sequence."""

    backbone_class = Evo2Model
    pool_default = "last"


class Evo2ForTokenClassification(Evo2Net, TokenHead):
    """Evo 2 with labels per token."""

    backbone_class = Evo2Model
