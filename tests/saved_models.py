"""Small models of real families in folders, as a user would have them: what the command line is tested with."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from genoseq.checkpoints.loading import load
from genoseq.checkpoints.saving import save
from genoseq.nets.models.caduceus import CaduceusConfig, CaduceusForMaskedLM, CaduceusForSequenceClassification
from genoseq.nets.models.esm import EsmConfig, EsmForMaskedLM
from genoseq.nets.models.hnet import HNetConfig, HNetForCausalLM
from genoseq.nets.models.hyenadna import HyenaDNAConfig, HyenaDNAForCausalLM
from genoseq.nets.models.mamba import MambaConfig, MambaForCausalLM
from genoseq.tokenizers.byte import HNetTokenizer
from genoseq.tokenizers.nucleotide import CaduceusTokenizer, HyenaDNATokenizer
from genoseq.tokenizers.protein import ESM2Tokenizer

__all__ = ["KINDS", "LIMIT", "copied", "loaded", "saved"]

LIMIT = 130
"""Tokens that the model ``limited`` takes."""


def _mamba() -> tuple[Any, Any]:
    """Causal, with a state of constant size."""
    config = MambaConfig(d_model=16, n_layer=2, vocab_size=12, ssm_cfg={"layer": "Mamba1", "d_state": 4})
    return MambaForCausalLM(config), HyenaDNATokenizer()


def _hyenadna() -> tuple[Any, Any]:
    """Causal, for at most ``LIMIT`` tokens."""
    return HyenaDNAForCausalLM(HyenaDNAConfig(d_model=16, n_layer=2, max_seq_len=LIMIT, filter_order=8)), HyenaDNATokenizer()


def _caduceus() -> tuple[Any, Any]:
    """Masked."""
    return CaduceusForMaskedLM(CaduceusConfig(d_model=16, n_layer=2, vocab_size=12, ssm_cfg={"d_state": 4})), CaduceusTokenizer()


def _classifier() -> tuple[Any, Any]:
    """Predicts no tokens."""
    config = CaduceusConfig(d_model=16, n_layer=1, vocab_size=12, ssm_cfg={"d_state": 4}, num_labels=2)
    return CaduceusForSequenceClassification(config), CaduceusTokenizer()


def _esm() -> tuple[Any, Any]:
    """Masked, of proteins, with a token in front."""
    tokenizer = ESM2Tokenizer()
    config = EsmConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        mask_token_id=tokenizer.mask_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return EsmForMaskedLM(config), tokenizer


def _hnet() -> tuple[Any, Any]:
    """Causal, and chooses its own tokens, in two stages."""
    config = HNetConfig(
        arch_layout=["m1", ["m1", ["T1"], "m1"], "m1"], d_model=[16, 16, 16], ssm_cfg={"d_state": 8, "headdim": 8},
        attn_cfg={"num_heads": [2, 2, 2], "rotary_emb_dim": [4, 4, 4], "window_size": [-1, -1, -1]},
    )  # fmt: skip
    return HNetForCausalLM(config), HNetTokenizer()


KINDS = {
    "causal": _mamba,
    "limited": _hyenadna,
    "masked": _caduceus,
    "classifier": _classifier,
    "protein": _esm,
    "chunking": _hnet,
}


def _spread(model: torch.nn.Module) -> None:
    """Weights with which what a model reads makes a difference."""
    chance = torch.Generator().manual_seed(7)
    for name, value in model.named_parameters():
        if value.dim() == 2 and not any(part in name for part in ("A_log", "dt_proj", "filter")):
            with torch.no_grad():
                value.copy_(torch.randn(value.shape, generator=chance) * 1.5 / value.shape[1] ** 0.5)


@functools.cache
def saved(kind: str) -> Path:
    """The folder of a model; made once, and removed when the tests end."""
    holder = Path(tempfile.mkdtemp(prefix="genoseq-test-model-"))
    atexit.register(shutil.rmtree, holder, ignore_errors=True)
    torch.manual_seed(1)
    model, tokenizer = KINDS[kind]()
    _spread(model)
    folder = holder / f"{kind}-model"
    save(model.eval(), tokenizer, folder)
    return folder


@functools.cache
def loaded(kind: str) -> tuple[Any, Any]:
    """The model and its tokenizer."""
    model, tokenizer = load(saved(kind))
    return model, tokenizer


def copied(kind: str, folder: Path) -> Path:
    """A copy of a model that a test may damage."""
    return Path(shutil.copytree(saved(kind), folder / kind))
