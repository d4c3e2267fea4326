"""Embeddings and scores of both strands: the mean of each by itself, the same for a sequence and its reverse complement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from genoseq.errors import UsageError
from genoseq.infer.embedding import embed
from genoseq.infer.likelihood import per_base, score
from genoseq.nets.models.caduceus import CaduceusConfig, CaduceusForMaskedLM
from genoseq.nets.models.esm import EsmConfig, EsmForMaskedLM
from genoseq.nets.models.mamba import MambaConfig, MambaForCausalLM
from genoseq.tokenizers import CaduceusTokenizer, ESM2Tokenizer, make

TEXT, OTHER = "ACGTTGACCANGGTACAAC", "GTTGTACCNTGGTCAACGT"


def net(kind: str, **changes: Any) -> tuple[Any, Any]:
    torch.manual_seed(2)
    if kind == "causal":
        tokenizer = make("hyenadna")
        return MambaForCausalLM(MambaConfig(d_model=16, n_layer=2, vocab_size=12, ssm_cfg={"d_state": 4})), tokenizer
    if kind == "sixmers":
        tokenizer = make("nucleotide-transformer-v2")
        config = EsmConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            mask_token_id=tokenizer.mask_token_id, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        return EsmForMaskedLM(config), tokenizer
    plain = CaduceusConfig(d_model=16, n_layer=2, vocab_size=12, ssm_cfg={"d_state": 4}, **changes)
    return CaduceusForMaskedLM(plain), CaduceusTokenizer()


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("window", [None, 8])
def test_scores_of_both_strands(kind: str, window: int | None) -> None:
    model, tokenizer = net(kind)

    def per(text: str, strand: str) -> Any:
        return next(score(model, tokenizer, [text], strand=strand, window=window, overlap=4 if window else 0, stride=None))

    here, there, both = per(TEXT, "forward"), per(TEXT, "reverse"), per(TEXT, "both")
    assert per_base(there)[::-1].tolist() == pytest.approx(per_base(per(OTHER, "forward")).tolist(), abs=1e-5, nan_ok=True)
    pair = np.stack([per_base(here), per_base(there)])
    known = ~np.isnan(pair).all(axis=0)
    assert per_base(both)[known] == pytest.approx(np.nanmean(pair[:, known], axis=0), abs=1e-5)
    assert np.isnan(per_base(both)[~known]).all()
    assert both.scored == known.sum() == both.tokens
    assert (both.scored, both.ambiguous, both.unscored) == (18, 1, 0)
    other = per(OTHER, "both")
    assert other.log_likelihood == pytest.approx(both.log_likelihood, abs=1e-4)
    assert per_base(other)[::-1].tolist() == pytest.approx(per_base(both).tolist(), abs=1e-5, nan_ok=True)


def test_tokens_that_lie_elsewhere_on_the_other_strand_are_averaged_base_by_base() -> None:
    model, tokenizer = net("sixmers")
    here, there, both = (next(score(model, tokenizer, ["ACGTTGACCAGGTAC"], strand=s)) for s in ("forward", "reverse", "both"))
    assert sorted(there.starts.tolist()) == [0, 1, 2, 3, 9]
    assert both.log_likelihood == pytest.approx((here.log_likelihood + there.log_likelihood) / 2, abs=1e-4)
    assert (both.scored, both.tokens) == (15, here.tokens)
    with pytest.raises(UsageError, match="other letters on the other strand"):
        embed(model, tokenizer, ["ACGTTGACCAGGTAC"], strand="both", pool="none")


@pytest.mark.parametrize("pool", ["mean", "last", "none"])
@pytest.mark.parametrize("special", [False, True])
def test_embeddings_of_both_strands(pool: str, special: bool) -> None:
    model, tokenizer = net("masked")
    records = [TEXT, "ACGGT"]  # the second in other batches and of another length

    def of(strand: str, texts: list[str] = records) -> Any:
        return embed(model, tokenizer, texts, strand=strand, pool=pool, special=special)

    here, there, both = (of(strand) for strand in ("forward", "reverse", "both"))
    assert both.names == here.names == there.names == ["1", "2"]
    for number in range(2):
        np.testing.assert_allclose(both.values[number], (here.values[number] + there.values[number]) / 2, atol=1e-6)
    if pool == "none":
        assert both.spans[0].tolist() == here.spans[0].tolist()
        turned = of("forward", [OTHER]).values[0]
        own = slice(0, 19)
        np.testing.assert_allclose(there.values[0][own], turned[own][::-1], atol=1e-6)
        np.testing.assert_allclose(there.values[0][19:], turned[19:], atol=1e-6)  # the special token stays
    elif pool == "mean" and not special:
        np.testing.assert_allclose(of("both", [OTHER]).values[0], both.values[0], atol=1e-5)


def test_channels_of_shared_strands_change_sides() -> None:
    model, tokenizer = net("shared", rcps=True, complement_map=CaduceusTokenizer().complement_map)
    tokenizer = CaduceusTokenizer(add_sep=False)  # such a net turns [SEP] round too
    here, both = (embed(model, tokenizer, [TEXT], strand=strand, pool="none").values[0] for strand in ("forward", "both"))
    np.testing.assert_allclose(both, here, atol=1e-5)


def test_proteins_have_one_strand() -> None:
    tokenizer = ESM2Tokenizer()
    config = EsmConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        mask_token_id=tokenizer.mask_token_id,
    )  # fmt: skip
    model = EsmForMaskedLM(config)
    for strand, text in (("both", "one strand"), ("reverse", "no reverse strand"), ("up", "known are both, forward")):
        with pytest.raises(UsageError, match=text):
            embed(model, tokenizer, ["MKTW"], strand=strand)
        with pytest.raises(UsageError, match=text):
            next(score(model, tokenizer, ["MKTW"], strand=strand))


@pytest.mark.parametrize(("window", "overlap"), [(12, 0), (13, 0), (17, 5), (29, 12)])
def test_windows_of_any_size_cut_no_token_of_several_bases(window: int, overlap: int) -> None:
    model, tokenizer = net("sixmers")
    text = "ACGTTGACCAGGTACAACGTTAGGCATCGATTACGGCATT"
    whole = embed(model, tokenizer, [text], pool="none").spans[0]
    assert embed(model, tokenizer, [text], pool="none", window=window, overlap=overlap).spans[0].tolist() == whole.tolist()
    found = next(score(model, tokenizer, [text], window=window, overlap=overlap))
    assert (found.scored, found.unscored, found.tokens) == (40, 0, len(whole))


def test_windows_and_codons_counted_from_the_end() -> None:
    tokenizer = make("codon", strand="-")
    model = MambaForCausalLM(MambaConfig(d_model=8, n_layer=1, vocab_size=len(tokenizer), ssm_cfg={"d_state": 4}))
    assert next(score(model, tokenizer, [TEXT])).length == 19
    with pytest.raises(UsageError, match="counted from the end of a sequence, and windows would change them"):
        next(score(model, tokenizer, [TEXT], window=9))


def test_a_masked_model_that_looks_back_only_is_scored_by_masks() -> None:
    from genoseq.infer.generation import generate
    from genoseq.nets.models.hybrid import HybridConfig, HybridForMaskedLM

    torch.manual_seed(1)
    tokenizer = make("nucleotide")
    model = HybridForMaskedLM(HybridConfig(d_model=16, blocks=[{"mixer": "mamba", "options": {"d_state": 4}}])).eval()
    found = next(score(model, tokenizer, ["ACGTT"], stride=None))
    ids = torch.tensor([tokenizer("ACGTT")["input_ids"]]).repeat(5, 1)
    wanted = ids.diagonal().clone()
    ids.diagonal()[:] = tokenizer.mask_token_id
    with torch.no_grad():
        logits = model(ids).logits.log_softmax(-1)
    assert found.values == pytest.approx([float(logits[i, i, wanted[i]]) for i in range(5)], abs=1e-5)
    with pytest.raises(UsageError, match="was trained to fill in masked tokens: generating needs a causal"):
        next(generate(model, tokenizer, ["ACGT"], length=4))


def test_a_special_token_at_one_end_tells_strands_apart_and_both_mends_it() -> None:
    """What docs/nets.md says of nets that are equivariant by construction."""
    model, tokenizer = net("masked", rcps=True, complement_map=CaduceusTokenizer().complement_map)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)

    def scores(strand: str) -> list[float]:
        return [one.log_likelihood for one in score(model, tokenizer, [TEXT, OTHER], strand=strand, stride=None)]

    one, other = scores("forward")
    assert abs(one - other) > 1e-2
    one, other = scores("both")
    assert one == pytest.approx(other, abs=1e-4)
    vectors = embed(model, tokenizer, [TEXT, OTHER]).values
    assert np.abs(vectors[0] - vectors[1][::-1]).max() > 1e-3
    vectors = embed(model, tokenizer, [TEXT, OTHER], strand="both").values
    np.testing.assert_allclose(vectors[0], vectors[1][::-1], atol=1e-5)
