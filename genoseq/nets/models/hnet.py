"""H-Net: a causal net over bytes that chooses its own chunks (Hwang, Wang & Gu 2025, "Dynamic Chunking").

Each stage is an encoder, an inner stage over the chunks that the stage has chosen, and a decoder; the innermost is one stack of
blocks. Configuration keys and parameter names are those of the public code (there, the embeddings lie beside the backbone; here
both are under ``hnet``). The moving average that spreads chunks runs in float32, where the public code defaults to bfloat16.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from genoseq.errors import UsageError
from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.heads import CausalLM
from genoseq.nets.layers.attention import Attention
from genoseq.nets.layers.chunk import Boundaries, Router, load_balancing_loss, one_with_gradient, spread_chunks, take_chunks
from genoseq.nets.layers.feedforward import GatedFeedForward
from genoseq.nets.layers.mamba2 import Mamba2
from genoseq.nets.layers.norms import RMSNorm
from genoseq.nets.outputs import BackboneOutput
from genoseq.nets.segments import add_segments, map_segments

__all__ = ["HNetConfig", "HNetForCausalLM", "HNetModel"]

EPS = 1e-5
INNER_MULTIPLE = 128
"""The feed-forward's inner width is rounded up to a multiple of this, as in the public code."""
ATTENTION = {
    "num_heads": "n_heads",
    "window_size": "window",
    "rotary_emb_dim": "rotary_dim",
    "rotary_emb_base": "rotary_base",
    "rotary_emb_interleaved": "rotary_interleaved",
    "qkv_proj_bias": "qkv_bias",
    "out_proj_bias": "out_bias",
}
"""Keys of ``attn_cfg``, and what the layer calls them."""
KERNEL_CHOICES = ("layer_idx", "use_mem_eff_path")
"""Keys of ``ssm_cfg`` that choose between programs for the same numbers."""


class HNetConfig(NetConfig):
    """Configuration with the public keys.

    Args:
        arch_layout: ``[encoder, inner, decoder]`` or ``[blocks]``, where blocks are like ``m4`` or ``T1m4``: ``m`` Mamba-2, ``t``
            attention, upper case with a feed-forward after it; ``inner`` is such a list again.
        d_model: channels of each stage, outermost first.
        d_intermediate: inner width of the feed-forward of each stage.
        ssm_cfg: arguments of the Mamba-2 layers, each one value or one per stage.
        attn_cfg: ``num_heads``, ``rotary_emb_dim``, ``window_size`` and what else `ATTENTION` has, likewise.
        downsampling: positions per chunk that training aims at, for each stage or for all.
        load_balancing_weight: weight of that aim in the loss.
    """

    model_type = "hnet"

    arch_layout: list[Any] | None = None
    d_model: list[int] | None = None
    d_intermediate: list[int] | None = None
    vocab_size: int = 256
    ssm_cfg: dict[str, Any] | None = None
    attn_cfg: dict[str, Any] | None = None
    tie_embeddings: bool = False
    downsampling: float | list[float] = 4.0
    load_balancing_weight: float = 0.03
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        self.tie_word_embeddings = self.tie_embeddings
        self.arch_layout = self.arch_layout if self.arch_layout is not None else ["m2", ["T2"], "m2"]
        depth = _depth(self.arch_layout)
        self.d_model = self.d_model or [64] * depth
        self.d_intermediate = self.d_intermediate or [0] * depth
        self.attn_cfg = self.attn_cfg or {"num_heads": [4] * depth, "rotary_emb_dim": [0] * depth, "window_size": [-1] * depth}
        for name, values in (("d_model", self.d_model), ("d_intermediate", self.d_intermediate)):
            if len(values) < depth:
                raise UsageError(f"arch_layout has {depth} stages, {name} has {len(values)} entries")
        unknown = [name for name, value in self.attn_cfg.items() if name not in ATTENTION and value is not None]
        if unknown:
            raise UsageError(f"attn_cfg has {', '.join(unknown)}: known are {', '.join(ATTENTION)}")
        if any(later < earlier for earlier, later in zip(self.d_model, self.d_model[1:], strict=False)):
            raise UsageError(f"d_model must not shrink from stage to stage, but is {self.d_model}")
        super().__post_init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Channels of the backbone's output."""
        return (self.d_model or [64])[0]

    @property
    def num_hidden_layers(self) -> int:
        """Number of blocks in all stages."""
        return sum(int(n) for n in re.findall(r"[mMtT](\d+)", str(self.arch_layout)))

    def target(self, stage: int) -> float:
        """Positions per chunk that training aims at in a stage."""
        return self.downsampling[stage] if isinstance(self.downsampling, list) else self.downsampling


class HNetBlock(GradientCheckpointingLayer):
    """``x + mixer(norm1(x))``, then ``x + mlp(norm2(x))`` where the layout asks for it."""

    def __init__(self, config: HNetConfig, stage: int, kind: str) -> None:
        super().__init__()
        width = (config.d_model or [])[stage]
        self.norm1 = RMSNorm(width, eps=EPS)
        self.mixer: Mamba2 | Attention
        if kind in "mM":
            options = {name: value for name, value in _stage_options(config.ssm_cfg, stage).items() if name not in KERNEL_CHOICES}
            self.mixer = Mamba2(d_model=width, **options)
        else:
            given = {
                ATTENTION[name]: value for name, value in _stage_options(config.attn_cfg, stage).items() if name in ATTENTION
            }
            self.mixer = Attention(d_model=width, **{"qkv_bias": False, "out_bias": False, **given})
        self.norm2: RMSNorm | None = None
        self.mlp: GatedFeedForward | None = None
        if kind in "MT":
            inner = (config.d_intermediate or [])[stage] or int(8 * width / 3)
            inner = -(-inner // INNER_MULTIPLE) * INNER_MULTIPLE
            self.norm2 = RMSNorm(width, eps=EPS)
            self.mlp = GatedFeedForward(d_model=width, d_inner=inner, names=("fc1", "fc2"), gate_first=False)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: Any | None = None, use_cache: bool = False
    ) -> tuple[Tensor, Any | None]:
        """New residual stream ``(B, L, D)`` and the cache."""
        y, cache = self.mixer(map_segments(self.norm1, x), mask=mask, cache=cache, use_cache=use_cache)
        x = x + y if torch.is_grad_enabled() else x.add_(y)
        norm, mlp = self.norm2, self.mlp
        if norm is not None and mlp is not None:
            x = add_segments(x, lambda part: mlp(norm(part)))
        return x, cache


class Isotropic(nn.Module):
    """A stack of blocks with a norm after it."""

    def __init__(self, config: HNetConfig, stage: int, layout: str) -> None:
        super().__init__()
        kinds = [kind for kind, n in re.findall(r"([mMtT])(\d+)", layout) for _ in range(int(n))]
        if not kinds or "".join(f"{kind}{n}" for kind, n in re.findall(r"([mMtT])(\d+)", layout)) != layout:
            raise UsageError(f"arch_layout: {layout!r} is not a list of blocks like m4 or T1m4")
        self.layers = nn.ModuleList(HNetBlock(config, stage, kind) for kind in kinds)
        self.rmsnorm = RMSNorm((config.d_model or [])[stage], eps=EPS)
        self.height = sum(2 if kind.isupper() else 1 for kind in kinds)

    def forward(
        self, x: Tensor, mask: Tensor | None, cache: list[Any] | None, use_cache: bool
    ) -> tuple[Tensor, list[Any] | None]:
        """``(B, L, D)`` to ``(B, L, D)``; without gradients ``x`` is overwritten."""
        caches = []
        for index, block in enumerate(self.layers):
            x, after = block(x, mask, None if cache is None else cache[index], use_cache)
            caches.append(after)
        return map_segments(self.rmsnorm, x), caches if use_cache else None


class StageCache(NamedTuple):
    """What a stage needs to go on after a piece of the sequence.

    Attributes:
        encoder, decoder: caches of their blocks.
        last: ``(B, D)``, the encoder's output at the last position.
        inner: the inner stage's cache of each sequence of the batch: they have chosen different numbers of chunks.
        average: ``(B, D)``, the moving average at the last position.
    """

    encoder: list[Any]
    decoder: list[Any]
    last: Tensor
    inner: list[Any]
    average: Tensor


class Stage(nn.Module):
    """One stage and all inside it: ``(B, L, D)`` of the stage around it to the same."""

    def __init__(self, config: HNetConfig, stage: int = 0) -> None:
        super().__init__()
        widths = config.d_model or []
        layout = config.arch_layout or []
        for _ in range(stage):
            layout = layout[1]
        width = widths[stage]
        self.innermost = len(layout) == 1
        self.encoder: Isotropic | None = None
        self.decoder: Isotropic | None = None
        if self.innermost:
            self.main_network: Isotropic | Stage = Isotropic(config, stage, layout[0])
        else:
            self.encoder = Isotropic(config, stage, layout[0])
            self.main_network = Stage(config, stage + 1)
            self.decoder = Isotropic(config, stage, layout[2])
            self.routing_module = Router(d_model=width)
            self.residual_proj = nn.Linear(width, width)
        extra = width - widths[stage - 1] if stage else 0
        self.pad_dimension = nn.Parameter(torch.zeros(extra)) if extra else None

    def reset_parameters(self) -> None:
        """The public initialisation of what is the stage's own."""
        if not self.innermost:
            init.zeros_(self.residual_proj.weight)
        if self.pad_dimension is not None:
            init.zeros_(self.pad_dimension)

    def forward(
        self, x: Tensor, mask: Tensor | None, cache: Any | None, use_cache: bool, *, filled: Tensor | None = None
    ) -> tuple[Tensor, list[Boundaries], Any | None]:
        """The stage's answer ``(B, L, D)``, the boundaries chosen in it and inside it, and the cache.

        An inner stage gets as many vectors from each row as the row with the most chunks has; ``filled`` ``(B, L)`` is False at
        those that are no chunks. They stand after all chunks of their row, so that no chunk sees them; but the balance of the
        stage, and so the loss, counts them, as the public program does.
        """
        outer = x.shape[-1]
        if self.pad_dimension is not None:
            x = torch.cat([x, self.pad_dimension.expand(*x.shape[:-1], -1)], dim=-1)
        if isinstance(self.main_network, Isotropic):
            x, cache = self.main_network(x, mask, cache, use_cache)
            return x[..., :outer], [], cache
        assert self.encoder is not None and self.decoder is not None  # only the innermost stage has none
        x, encoder = self.encoder(x, mask, None if cache is None else cache.encoder, use_cache)
        boundaries = self.routing_module(x, mask=mask, before=None if cache is None else cache.last, filled=filled)
        residual = map_segments(self.residual_proj, x)
        last = x[:, -1]
        if cache is None and not use_cache:
            chunks, chunk_mask = take_chunks(x, boundaries)
            chunks, inner, _ = self.main_network(chunks, None, None, False, filled=chunk_mask)
            spread = spread_chunks(chunks, boundaries)
            after: list[Any] = []
        else:
            spread, inner, after = self._row_by_row(x, boundaries, cache, use_cache)
        average = spread[:, -1]
        x = spread * one_with_gradient(boundaries.chosen)[..., None] + residual
        x, decoder = self.decoder(x, mask, None if cache is None else cache.decoder, use_cache)
        new = StageCache(encoder or [], decoder or [], last, after, average) if use_cache else None
        return x[..., :outer], [boundaries, *inner], new

    def _row_by_row(
        self, x: Tensor, boundaries: Boundaries, cache: StageCache | None, use_cache: bool
    ) -> tuple[Tensor, list[Boundaries], list[Any]]:
        """The inner stage over each sequence by itself: in a piece they begin different numbers of chunks, perhaps none."""
        rows, after = [], []
        inner: list[Boundaries] = []
        for row in range(x.shape[0]):
            own = Boundaries(*(field[row : row + 1] for field in boundaries))
            before = None if cache is None else cache.inner[row]
            initial = None if cache is None else cache.average[row : row + 1]
            chunks = x[row : row + 1][own.mask][None]
            if chunks.shape[1]:
                chunks, found, before = self.main_network(chunks, None, before, use_cache)
                inner = found if x.shape[0] == 1 else []
            rows.append(spread_chunks(chunks, own, initial=initial))
            after.append(before)
        return torch.cat(rows), inner, after


class HNetNet(Net):
    """What H-Nets share."""

    config: HNetConfig
    config_class = HNetConfig
    base_model_prefix = "hnet"
    _no_split_modules: ClassVar[list[str]] = ["HNetBlock"]  # type: ignore[misc]

    def _init_weights(self, module: nn.Module) -> None:
        """The public initialisation: small maps, the smaller at the end of a residual branch the more branches there are."""
        std = self.config.initializer_range
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=1.0)
            return
        super()._init_weights(module)
        if isinstance(module, HNetForCausalLM):
            init.normal_(module.lm_head.weight, mean=0.0, std=std)
        if isinstance(module, HNetModel):
            _scale_maps(module.backbone, std, 0)


class HNetModel(HNetNet):
    """The backbone: ids to ``(B, L, d_model[0])``.

    Hidden states are the embeddings and the final state: what lies between has other lengths. ``boundaries`` of the output are
    the chosen chunks, outermost stage first.
    """

    def __init__(self, config: HNetConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.backbone = Stage(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of embeddings."""
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of embeddings."""
        self.embeddings = value  # type: ignore[assignment]

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
        keep = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        x = self.embed(input_ids, inputs_embeds)
        states = (x.clone(),) if keep else ()
        x, boundaries, after = self.backbone(x, real_positions(attention_mask), cache, use_cache)
        return BackboneOutput(
            last_hidden_state=x, hidden_states=(*states, x) if keep else None, cache=after, boundaries=tuple(boundaries)
        )


class HNetForCausalLM(HNetNet, CausalLM):
    """H-Net that predicts the next byte; the loss has the stages' load balancing in it."""

    backbone_class = HNetModel
    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "hnet.embeddings.weight"}  # type: ignore[misc]

    def extra_loss(self, out: BackboneOutput) -> Tensor | None:
        """The weighted sum of `load_balancing_loss` over stages."""
        assert out.boundaries is not None  # the backbone always gives them
        losses = [load_balancing_loss(chosen, self.config.target(stage)) for stage, chosen in enumerate(out.boundaries)]
        return self.config.load_balancing_weight * torch.stack(losses).sum() if losses else None


def _depth(layout: list[Any]) -> int:
    if len(layout) == 1:
        return 1
    if len(layout) == 3 and isinstance(layout[1], list):
        return 1 + _depth(layout[1])
    raise UsageError(f"arch_layout: {layout!r} is neither [blocks] nor [encoder, [inner], decoder]")


def _stage_options(values: dict[str, Any] | None, stage: int) -> dict[str, Any]:
    """The entries of a stage, of values that may be given per stage."""
    return {name: value[stage] if isinstance(value, (list, tuple)) else value for name, value in (values or {}).items()}


def _scale_maps(stage: Stage, std: float, around: int) -> None:
    stacks = [part for part in (stage.encoder, stage.decoder) if part is not None]
    if isinstance(stage.main_network, Isotropic):
        stacks.append(stage.main_network)
    branches = around + sum(part.height for part in stacks)
    for part in stacks:
        for name, module in part.named_modules():
            if isinstance(module, nn.Linear):
                ends = "out_proj" in name or "fc2" in name
                init.normal_(module.weight, mean=0.0, std=std / branches**0.5 if ends else std)
    if isinstance(stage.main_network, Stage):
        _scale_maps(stage.main_network, std, branches)
