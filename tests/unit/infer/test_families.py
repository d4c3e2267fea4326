"""Every family of nets through every use: batches, order and padding change nothing, and cached steps are the whole.

The nets are small and random; the tokenizers are the families' own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny_nets import drawn

from genoseq.infer.embedding import iter_embeddings
from genoseq.infer.generation import Sampling, generate
from genoseq.infer.likelihood import score
from genoseq.infer.variants import Variant, score_variants
from genoseq.nets.models.caduceus import CaduceusConfig, CaduceusForMaskedLM
from genoseq.nets.models.dnabert2 import DNABert2Config, DNABert2ForMaskedLM
from genoseq.nets.models.esm import EsmConfig, EsmForMaskedLM
from genoseq.nets.models.evo2 import Evo2Config, Evo2ForCausalLM
from genoseq.nets.models.hnet import HNetConfig, HNetForCausalLM
from genoseq.nets.models.hybrid import HybridConfig, HybridForCausalLM
from genoseq.nets.models.hyenadna import HyenaDNAConfig, HyenaDNAForCausalLM
from genoseq.nets.models.mamba import MambaConfig, MambaForCausalLM
from genoseq.nets.models.stripedhyena import StripedHyenaConfig, StripedHyenaForCausalLM
from genoseq.tokenizers.bpe import train_bpe
from genoseq.tokenizers.byte import EvoTokenizer, HNetTokenizer
from genoseq.tokenizers.kmer import NucleotideTransformerTokenizer
from genoseq.tokenizers.nucleotide import CaduceusTokenizer, GenoseqNucleotideTokenizer, HyenaDNATokenizer

Pair = tuple[Any, Any]


def mamba(layer: str, **options: Any) -> Pair:
    return MambaForCausalLM(
        MambaConfig(d_model=16, n_layer=2, vocab_size=12, ssm_cfg={"layer": layer, **options})
    ), HyenaDNATokenizer()


def hyenadna() -> Pair:
    return HyenaDNAForCausalLM(HyenaDNAConfig(d_model=16, n_layer=2, max_seq_len=130, filter_order=8)), HyenaDNATokenizer()


def caduceus(**options: Any) -> Pair:
    tokenizer = CaduceusTokenizer()
    config = CaduceusConfig(
        d_model=16, n_layer=2, vocab_size=12, ssm_cfg={"d_state": 4}, complement_map=dict(tokenizer.complement_map), **options
    )
    return CaduceusForMaskedLM(config), tokenizer


def striped() -> Pair:
    config = StripedHyenaConfig(
        vocab_size=512,
        hidden_size=16,
        num_layers=3,
        num_attention_heads=4,
        attn_layer_idxs=[1],
        state_size=3,
        inner_size_multiple_of=8,
    )
    return StripedHyenaForCausalLM(config), EvoTokenizer()


def evo2() -> Pair:
    config = Evo2Config(
        vocab_size=512, hidden_size=16, num_layers=5, num_attention_heads=4, hcs_layer_idxs=[0, 4], hcm_layer_idxs=[1],
        hcl_layer_idxs=[2], attn_layer_idxs=[3], hcs_filter_groups=4, hcm_filter_groups=4, state_size=3, inner_mlp_size=24,
        interleave=True, column_split_hyena=False, evo2_style_activations=True,
    )  # fmt: skip
    return Evo2ForCausalLM(config), EvoTokenizer()


def hnet() -> Pair:
    config = HNetConfig(
        arch_layout=["m1", ["T1"], "m1"], d_model=[16, 24], d_intermediate=[0, 32], ssm_cfg={"d_state": 8, "headdim": 8},
        attn_cfg={"num_heads": [2, 2], "rotary_emb_dim": [0, 8], "window_size": [-1, -1]},
    )  # fmt: skip
    return HNetForCausalLM(config), HNetTokenizer()


def nucleotide_transformer() -> Pair:
    tokenizer = NucleotideTransformerTokenizer(k=3)
    config = EsmConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=64, position_embedding_type="rotary", token_dropout=True, mask_token_id=tokenizer.mask_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return EsmForMaskedLM(config), tokenizer


def dnabert2() -> Pair:
    tokenizer = train_bpe([drawn(3000)], vocab_size=60)
    config = DNABert2Config(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
    )
    return DNABert2ForMaskedLM(config), tokenizer


def hybrid() -> Pair:
    blocks = [{"mixer": "mamba2", "options": {"d_state": 8, "headdim": 8}}, {"mixer": "attention", "options": {"n_heads": 2}}]
    return HybridForCausalLM(HybridConfig(vocab_size=16, d_model=16, blocks=blocks)), GenoseqNucleotideTokenizer()


FAMILIES: dict[str, Callable[[], Pair]] = {
    "Mamba-1": lambda: mamba("Mamba1", d_state=4),
    "Mamba-2": lambda: mamba("Mamba2", d_state=8, headdim=8),
    "HyenaDNA": hyenadna,
    "Caduceus-PS": lambda: caduceus(rcps=True),
    "Caduceus-Ph": caduceus,
    "StripedHyena": striped,
    "Evo 2": evo2,
    "H-Net": hnet,
    "Nucleotide Transformer": nucleotide_transformer,
    "DNABERT-2": dnabert2,
    "hybrid": hybrid,
}
CAUSAL = [name for name in FAMILIES if name not in ("Caduceus-PS", "Caduceus-Ph", "Nucleotide Transformer", "DNABERT-2")]
SEQUENCES = [drawn(n, seed=n, letters="ACGT" * 6 + "N") for n in (33, 5, 90, 12, 64, 33)]
CHROMOSOME = drawn(400, seed=8)
VARIANTS = [
    Variant("chr1", 200, CHROMOSOME[200], tuple(base for base in "ACGT" if base != CHROMOSOME[200])),
    Variant("chr1", 100, CHROMOSOME[100:103], (CHROMOSOME[100],)),
    Variant("chr1", 2, CHROMOSOME[2], (CHROMOSOME[2] + "GATTACA",)),
    Variant("chr1", 398, CHROMOSOME[398:400], ("CC" if CHROMOSOME[398:400] != "CC" else "GG",)),
]


@functools.cache
def built(name: str) -> Pair:
    """A net whose output depends on what it reads, and its tokenizer."""
    torch.manual_seed(3)
    model, tokenizer = FAMILIES[name]()
    with torch.no_grad():
        for values in model.parameters():
            if values.dim() > 1 and values.is_floating_point():
                values += 0.2 * torch.randn_like(values)
    return model.eval(), tokenizer


@pytest.mark.parametrize("name", FAMILIES)
def test_batches_and_order_change_nothing(name: str) -> None:
    model, tokenizer = built(name)
    for pool in ("mean", "none"):
        together = iter_embeddings(model, tokenizer, SEQUENCES, pool=pool)
        alone = list(iter_embeddings(model, tokenizer, SEQUENCES[::-1], pool=pool, batch_tokens=1))[::-1]
        for one, two in zip(together, alone, strict=True):
            np.testing.assert_allclose(one.values, two.values, rtol=1e-5, atol=1e-5)
    scores = score(model, tokenizer, SEQUENCES)
    for one, two in zip(scores, list(score(model, tokenizer, SEQUENCES[::-1], batch_tokens=1))[::-1], strict=True):
        np.testing.assert_allclose(one.values, two.values, rtol=1e-5, atol=2e-5)
        assert np.isfinite(one.values).any()


@pytest.mark.parametrize("name", FAMILIES)
def test_variants(name: str) -> None:
    model, tokenizer = built(name)
    contigs = {"chr1": CHROMOSOME}
    together = list(score_variants(model, tokenizer, contigs, VARIANTS, context=60))
    alone = list(score_variants(model, tokenizer, contigs, VARIANTS[::-1], context=60, batch_tokens=1))[::-1]
    for one, two in zip(together, alone, strict=True):
        for a, b in zip(one.alts, two.alts, strict=True):
            assert a.note is None
            assert a.llr is not None and abs(a.llr) > 1e-4
            assert b.llr == pytest.approx(a.llr, abs=1e-3)


@pytest.mark.parametrize("name", CAUSAL)
def test_generation_goes_on_from_the_cache(name: str) -> None:
    model, tokenizer = built(name)
    greedy = Sampling(temperature=0)
    prompts = ["ACGTTGCA", "GG", drawn(40)]
    found = list(generate(model, tokenizer, prompts, length=12, sampling=greedy))
    assert [one.sequence for one in generate(model, tokenizer, prompts, length=12, sampling=greedy, batch=1)] == [
        one.sequence for one in found
    ]
    for one in found:
        whole, start = score(model, tokenizer, [one.prompt + one.sequence, one.prompt])
        assert one.log_likelihood == pytest.approx(whole.log_likelihood - start.log_likelihood, rel=1e-4, abs=1e-4)
