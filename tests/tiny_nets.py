"""Small nets and tokenizers that stand in for real ones: a causal net with a cache, one that sees both sides, and every kind of token."""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizer

from genoseq.errors import UsageError
from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.heads import CausalLM, MaskedLM
from genoseq.nets.outputs import BackboneOutput

__all__ = [
    "KmerTokens",
    "LetterTokens",
    "PieceTokens",
    "TinyConfig",
    "TinyForCausalLM",
    "TinyForMaskedLM",
    "causal",
    "drawn",
    "masked",
]


class TinyConfig(NetConfig):
    """Settings of the small nets."""

    model_type = "genoseq_tiny_test"

    def __init__(
        self,
        vocab_size: int = 16,
        hidden_size: int = 12,
        layers: int = 2,
        both_sides: bool = False,
        limit: int | None = None,
        growing: bool = False,
        **rest: Any,
    ) -> None:
        self.vocab_size, self.hidden_size, self.layers = vocab_size, hidden_size, layers
        self.both_sides, self.limit, self.growing = both_sides, limit, growing
        super().__init__(**rest)

    @property
    def token_limit(self) -> int | None:
        """Most tokens at once."""
        return self.limit

    @property
    def causal(self) -> bool:
        """Whether a position sees only those before it."""
        return not self.both_sides


class TinyCache(NamedTuple):
    """State of one block: the last value of its recurrence, and everything before it if the net's cache grows."""

    state: Tensor
    past: Tensor | None


class TinyBlock(nn.Module):
    """A decaying sum over positions, both ways if asked, then a gate."""

    def __init__(self, width: int, both_sides: bool) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.linspace(-1.0, 3.0, width))
        self.mix = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.both_sides = both_sides

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """``h[t] = a h[t - 1] + x[t]`` and the last ``h``."""
        rate = functional.logsigmoid(self.decay)
        steps = torch.arange(x.shape[1], device=x.device)
        between = steps[:, None] - steps
        kernel = (rate * between.clamp(min=0)[..., None]).exp() * (between >= 0)[..., None]
        summed = torch.einsum("tsd,bsd->btd", kernel, x) + (rate * (steps + 1)[:, None]).exp() * state[:, None]
        return summed, summed[:, -1]

    def forward(self, x: Tensor, mask: Tensor | None, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """``(B, L, D)`` to ``(B, L, D)``."""
        inside = self.mix(x)
        if mask is not None:
            inside = inside * mask[..., None]
        start = x.new_zeros(x.shape[0], x.shape[2]) if state is None else state
        summed, last = self.scan(inside, start)
        if self.both_sides:
            summed = summed + self.scan(inside.flip(1), start)[0].flip(1)
        return x + torch.tanh(summed) * self.gate(x).sigmoid(), last


class TinyNet(Net):
    """Backbone of the small nets."""

    config: TinyConfig
    config_class = TinyConfig
    base_model_prefix = "tiny"


class TinyModel(TinyNet):
    """Embedding, blocks, norm."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        self.table = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(TinyBlock(config.hidden_size, config.both_sides) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.calls: list[tuple[int, ...]] = []
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.table = value  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: Any | None = None,
        use_cache: bool = False,
        output_hidden_states: bool | None = None,
    ) -> BackboneOutput:
        if self.config.both_sides and (use_cache or cache is not None):
            raise UsageError("this net sees both sides, so it has no cache")
        x = self.embed(input_ids, inputs_embeds)
        self.calls.append(tuple(x.shape[:2]))
        mask = real_positions(attention_mask)
        states = [x]
        kept: list[TinyCache] = []
        for number, block in enumerate(self.blocks):
            before: TinyCache | None = None if cache is None else cache[number]
            past = x if before is None or before.past is None else torch.cat([before.past, x], 1)
            x, last = block(x, mask, None if before is None else before.state)
            kept.append(TinyCache(last, past if self.config.growing else None))
            states.append(x)
        x = self.norm(x)
        states[-1] = x
        return BackboneOutput(
            last_hidden_state=x,
            hidden_states=tuple(states) if output_hidden_states else None,
            cache=tuple(kept) if use_cache else None,
        )


class TinyForCausalLM(CausalLM, TinyNet):
    """Predicts the next token."""

    backbone_class = TinyModel


class TinyForMaskedLM(MaskedLM, TinyNet):
    """Predicts masked tokens."""

    backbone_class = TinyModel


def drawn(length: int, seed: int = 1, letters: str = "ACGT") -> str:
    """A random sequence."""
    return "".join(random.Random(seed).choices(letters, k=length))


def _spread(model: nn.Module, seed: int) -> None:
    """Weights large enough that every position matters."""
    chance = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        if not name.endswith(("decay", "norm.weight", "norm.bias")):
            with torch.no_grad():
                value.copy_(torch.randn(value.shape, generator=chance) * (0.7 if value.dim() > 1 else 0.1))


def causal(seed: int = 0, **settings: Any) -> TinyForCausalLM:
    """A causal net, in train mode as any new module."""
    net = TinyForCausalLM(TinyConfig(**settings))
    _spread(net, seed)
    return net


def masked(seed: int = 0, **settings: Any) -> TinyForMaskedLM:
    """A net that sees both sides."""
    net = TinyForMaskedLM(TinyConfig(both_sides=True, **settings))
    _spread(net, seed)
    return net


class _Tokens(PreTrainedTokenizer):
    """A tokenizer made of a list of tokens; the specials that it adds are given by name."""

    model_input_names: list[str] = ["input_ids", "attention_mask"]  # noqa: RUF012 (as Hugging Face declares it)

    def __init__(self, tokens: list[str], front: tuple[str, ...] = (), back: tuple[str, ...] = (), **rest: Any) -> None:
        self.ids = {token: number for number, token in enumerate(tokens)}
        self.front, self.back = front, back
        named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        named = {name: token for name, token in named.items() if token in self.ids}
        if "[BOS]" in self.ids:
            named["bos_token"] = "[BOS]"
        if "[EOS]" in self.ids:
            named["eos_token"] = "[EOS]"
        super().__init__(**(named | rest))

    @property
    def vocab_size(self) -> int:
        return len(self.ids)

    def get_vocab(self) -> dict[str, int]:
        return dict(self.ids)

    def _convert_token_to_id(self, token: str) -> int:
        return self.ids.get(token, self.ids["[UNK]"])

    def _convert_id_to_token(self, index: int) -> str:
        return next(token for token, number in self.ids.items() if number == index)

    def build_inputs_with_special_tokens(self, token_ids_0: list[int], token_ids_1: list[int] | None = None) -> list[int]:
        return [self.ids[t] for t in self.front] + list(token_ids_0) + [self.ids[t] for t in self.back]


SPECIALS = ["[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[EOS]", "[UNK]"]


class LetterTokens(_Tokens):
    """One token per base; N is one of its own."""

    def __init__(self, front: tuple[str, ...] = (), back: tuple[str, ...] = ("[SEP]",), **rest: Any) -> None:
        super().__init__([*SPECIALS, "A", "C", "G", "T", "N"], front, back, **rest)

    def _tokenize(self, text: str, **options: Any) -> list[str]:
        return list(text)


class KmerTokens(_Tokens):
    """k bases per token, then the bases that remain one by one; or, overlapping, a token at every base."""

    def __init__(self, k: int = 3, overlapping: bool = False, front: tuple[str, ...] = ("[CLS]",), **rest: Any) -> None:
        words = [""]
        for _ in range(k):
            words = [word + base for word in words for base in "ATCG"]
        self.k, self.overlapping = k, overlapping
        super().__init__([*SPECIALS, *words, *"ATCGN"], front, (), **rest)

    def _tokenize(self, text: str, **options: Any) -> list[str]:
        if self.overlapping:
            return [text[i : i + self.k] for i in range(len(text) - self.k + 1)]
        out, at = [], 0
        while at < len(text):
            piece = text[at : at + self.k]
            if len(piece) < self.k or "N" in piece:
                out += list(piece)
            else:
                out.append(piece)
            at += self.k
        return out


class PieceTokens(_Tokens):
    """Pieces of different lengths, the longest that fits first, as a byte-pair tokenizer gives them."""

    def __init__(self, front: tuple[str, ...] = ("[CLS]",), back: tuple[str, ...] = ("[SEP]",), **rest: Any) -> None:
        super().__init__([*SPECIALS, "A", "C", "G", "T", "ACG", "TT", "GATTA", "CC", "AAAA"], front, back, **rest)

    def _tokenize(self, text: str, **options: Any) -> list[str]:
        return re.findall("GATTA|AAAA|ACG|TT|CC|.", text)
