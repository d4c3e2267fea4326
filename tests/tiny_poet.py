"""A small PoET with weights with which what it reads makes a difference, and proteins to read."""

from __future__ import annotations

import functools

import numpy as np
import torch

from genoseq.nets.models.poet import PoETConfig, PoETForCausalLM
from genoseq.tokenizers.protein import PoETTokenizer

__all__ = ["TOKENIZER", "member", "protein", "tiny_poet"]

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
TOKENIZER = PoETTokenizer()


@functools.cache
def tiny_poet() -> PoETForCausalLM:
    """Two blocks of 32 channels, in evaluation mode."""
    net = PoETForCausalLM(PoETConfig(hidden_dim=32, num_layers=2, nhead=2)).eval()
    chance = torch.Generator().manual_seed(15)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if value.dim() == 2:
                value.copy_(
                    torch.randn(value.shape, generator=chance) * (1.0 if "embed" in name else 1.2 / value.shape[1] ** 0.5)
                )
            elif not name.endswith("norm.weight"):
                value.copy_(torch.randn(value.shape, generator=chance) * 0.2)  # not what was drawn before, in another test
    return net


def protein(length: int, seed: int = 0) -> str:
    """A random protein."""
    return "".join(np.random.default_rng([seed, length]).choice(list(LETTERS), length))


def member(consensus: str, seed: int, rate: float = 0.15) -> str:
    """A protein like another, with some residues changed."""
    chance = np.random.default_rng(seed)
    return "".join(str(chance.choice(list(LETTERS))) if chance.random() < rate else letter for letter in consensus)
