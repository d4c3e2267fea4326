"""StripedHyena 1 language models: Evo 1 and 1.5 (Nguyen et al. 2024), over bytes.

Configuration keys are those of the public inference recipes; parameter names those of the public net, under ``backbone.`` as in
its Hugging Face layout. The unembedding is ``unembed``, one with the embedding where ``tie_embeddings`` says so.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from genoseq.errors import UsageError
from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.heads import CausalLM, SequenceHead, TokenHead
from genoseq.nets.layers.feedforward import rounded_inner_size
from genoseq.nets.layers.norms import ScaleNorm
from genoseq.nets.layers.striped import HyenaBlock, ModalHyena, StripedAttentionBlock
from genoseq.nets.outputs import BackboneOutput
from genoseq.nets.segments import map_segments

__all__ = [
    "StripedConfig",
    "StripedHyenaConfig",
    "StripedHyenaForCausalLM",
    "StripedHyenaForSequenceClassification",
    "StripedHyenaForTokenClassification",
    "StripedHyenaModel",
    "StripedModel",
    "StripedNet",
    "layer_kinds",
]


class StripedConfig(NetConfig):
    """What the configurations of StripedHyena 1 and 2 share; keys that only choose kernels are kept, unused.

    Args:
        num_filters: a divisor of ``hidden_size``; the public program checks it and uses it for nothing.
        inner_mlp_size: inner width of the feed-forward; None: ``8/3 hidden_size``, rounded up to ``inner_size_multiple_of``.
        proj_groups: query heads per key and value head of the attention.
        use_interpolated_rotary_pos_emb: divide positions by ``rotary_emb_scaling_factor``.
        column_split_hyena: the streams of a Hyena block alternate head by head in its projections.
        max_seqlen: length of training; longer input is taken.
        tie_embeddings: one table for embedding and unembedding.
    """

    vocab_size: int = 512
    hidden_size: int = 4096
    num_filters: int | None = None
    num_layers: int = 32
    num_attention_heads: int = 32
    attn_layer_idxs: list[int] | None = None
    short_filter_length: int = 3
    short_filter_bias: bool = True
    state_size: int = 8
    eps: float = 1e-6
    inner_mlp_size: int | None = None
    inner_size_multiple_of: int = 64
    model_parallel_size: int = 1
    mlp_activation: str = "silu"
    proj_groups: int = 1
    smeared_gqa: bool = False
    rotary_emb_base: float = 10_000.0
    use_interpolated_rotary_pos_emb: bool = False
    rotary_emb_scaling_factor: float = 1.0
    qkv_proj_bias: bool = True
    mha_out_proj_bias: bool = True
    column_split_hyena: bool = True
    final_norm: bool = True
    tie_embeddings: bool = True
    tie_word_embeddings: bool = True
    max_seqlen: int | None = None
    initializer_range: float = 0.02
    eos_token_id: int | None = 0
    pad_token_id: int | None = 1

    def __post_init__(self, **kwargs: Any) -> None:
        self.tie_word_embeddings = self.tie_embeddings
        if self.smeared_gqa:
            raise UsageError("smeared_gqa is true: no public net has that, and genoseq does not know it; set it to false")
        if self.num_filters is not None and (self.num_filters < 1 or self.hidden_size % self.num_filters):
            raise UsageError(f"num_filters is {self.num_filters}: expected a divisor of hidden_size, {self.hidden_size}")
        if self.hidden_size % self.num_attention_heads or self.num_attention_heads % self.proj_groups:
            raise UsageError(
                f"{self.hidden_size} channels, {self.num_attention_heads} attention heads and {self.proj_groups} projection "
                "groups do not divide"
            )
        super().__post_init__(**kwargs)

    @property
    def num_hidden_layers(self) -> int:
        """Number of blocks."""
        return self.num_layers

    @property
    def inner_size(self) -> int:
        """Inner width of the feed-forward."""
        if self.inner_mlp_size is not None:
            return self.inner_mlp_size
        return rounded_inner_size(self.hidden_size, self.inner_size_multiple_of * self.model_parallel_size)

    @property
    def rotary_scaling(self) -> float:
        """What positions are divided by."""
        return self.rotary_emb_scaling_factor if self.use_interpolated_rotary_pos_emb else 1.0

    def make_block(self, index: int) -> nn.Module:
        """Block ``index`` of the net."""
        raise NotImplementedError

    def attention_block(self, act: str) -> StripedAttentionBlock:
        """A block of attention, whose feed-forward has this activation."""
        return StripedAttentionBlock(
            d_model=self.hidden_size,
            n_heads=self.num_attention_heads,
            n_kv_heads=self.num_attention_heads // self.proj_groups,
            inner_size=self.inner_size,
            act=act,
            eps=self.eps,
            rotary_base=self.rotary_emb_base,
            rotary_linear=self.rotary_scaling,
            qkv_bias=self.qkv_proj_bias,
            out_bias=self.mha_out_proj_bias,
        )


def layer_kinds(layers: int, **indices: list[int] | None) -> list[str]:
    """The kind of each of ``layers`` blocks, from the blocks that each kind lists.

    Blocks listed beyond the last are ignored, as the public code does.

    Raises:
        UsageError: a block that no kind lists, or two do.

    >>> layer_kinds(3, attn=[1], hyena=[0, 2])
    ['hyena', 'attn', 'hyena']
    """
    kinds = []
    for index in range(layers):
        found = [kind for kind, listed in indices.items() if index in (listed or ())]
        if len(found) != 1:
            given = ", ".join(f"{kind}_layer_idxs" for kind in (found or indices))
            fault = "is in none of" if not found else "is in more than one of"
            raise UsageError(f"layer {index} of {layers} {fault} {given}: each layer must be in exactly one")
        kinds.append(found[0])
    return kinds


class StripedHyenaConfig(StripedConfig):
    """Configuration with the keys of the public StripedHyena 1 and Evo 1 recipes.

    Args:
        hyena_layer_idxs: blocks of long convolutions; every block that ``attn_layer_idxs`` does not list, unless given.
        hyena_filter_groups: channels that share one long filter.
    """

    model_type = "stripedhyena"

    hyena_layer_idxs: list[int] | None = None
    hyena_filter_groups: int = 1

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.attn_layer_idxs = list(self.attn_layer_idxs or [])
        if self.hyena_layer_idxs is None:
            self.hyena_layer_idxs = [i for i in range(self.num_layers) if i not in self.attn_layer_idxs]
        layer_kinds(self.num_layers, attn=self.attn_layer_idxs, hyena=self.hyena_layer_idxs)

    def make_block(self, index: int) -> nn.Module:
        """Block ``index`` of the net."""
        if index in (self.attn_layer_idxs or ()):
            return self.attention_block(self.mlp_activation)
        return HyenaBlock(
            d_model=self.hidden_size,
            filter=ModalHyena(
                d_model=self.hidden_size,
                n_heads=self.num_attention_heads,
                state_size=self.state_size,
                short_filter_length=self.short_filter_length,
                short_filter_bias=self.short_filter_bias,
                filter_groups=self.hyena_filter_groups,
                column_split=self.column_split_hyena,
            ),
            inner_size=self.inner_size,
            act=self.mlp_activation,
            eps=self.eps,
        )


class StripedNet(Net):
    """What the nets of StripedHyena 1 and 2 share."""

    config: StripedConfig
    base_model_prefix = "backbone"
    _no_split_modules: ClassVar[list[str]] = ["HyenaBlock", "StripedAttentionBlock"]  # type: ignore[misc]
    # Tables that public checkpoints carry; here they are made when needed.
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"rotary_emb\.inv_freq$", r"\._extra_state$"]  # type: ignore[misc]


class StripedModel(StripedNet):
    """The backbone: ids to ``(B, L, hidden_size)``."""

    def __init__(self, config: StripedConfig) -> None:
        super().__init__(config)
        self.embedding_layer = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(config.make_block(index) for index in range(config.num_layers))
        self.norm = ScaleNorm(config.hidden_size, eps=config.eps) if config.final_norm else nn.Identity()
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of embeddings."""
        return self.embedding_layer

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of embeddings."""
        self.embedding_layer = value  # type: ignore[assignment]

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
        for index, block in enumerate(self.blocks):
            if keep:
                states.append(x)  # blocks leave their input alone
            x, after = block(x, mask, None if cache is None else cache[index], use_cache)
            caches.append(after)
        x = map_segments(self.norm, x)
        if keep:
            states.append(x)
        return BackboneOutput(
            last_hidden_state=x, hidden_states=tuple(states) if keep else None, cache=caches if use_cache else None
        )


class StripedLM(CausalLM):
    """The head of both generations: ``unembed``, beside the backbone."""

    def add_head(self, config: NetConfig) -> None:
        """A linear map to the vocabulary, under its public name."""
        self.unembed = nn.Linear(self.width, self.get_input_embeddings().weight.shape[0], bias=False)

    def get_output_embeddings(self) -> nn.Module | None:
        """The module that maps to the vocabulary."""
        return self.unembed

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the module that maps to the vocabulary."""
        self.unembed = new_embeddings  # type: ignore[assignment]

    def head_logits(self, hidden: Tensor) -> Tensor:
        """Logits ``(B, l, V)`` of the backbone's output."""
        logits: Tensor = self.unembed(hidden)
        return logits


class StripedHyenaNet(StripedNet):
    """What StripedHyena 1 nets share."""

    config: StripedHyenaConfig
    config_class = StripedHyenaConfig


class StripedHyenaModel(StripedHyenaNet, StripedModel):
    """The backbone of StripedHyena 1."""


class StripedHyenaForCausalLM(StripedHyenaNet, StripedLM):
    """StripedHyena 1 that predicts the next byte."""

    backbone_class = StripedHyenaModel
    _tied_weights_keys: ClassVar[dict[str, str]] = {"unembed.weight": "backbone.embedding_layer.weight"}  # type: ignore[misc]


class StripedHyenaForSequenceClassification(StripedHyenaNet, SequenceHead):
    """StripedHyena 1 with labels per sequence."""

    backbone_class = StripedHyenaModel
    pool_default = "last"


class StripedHyenaForTokenClassification(StripedHyenaNet, TokenHead):
    """StripedHyena 1 with labels per token."""

    backbone_class = StripedHyenaModel
