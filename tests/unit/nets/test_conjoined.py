"""Post-hoc conjoining: the mean over both strands is equivariant whatever the net, padded or not, and leaves special tokens alone."""

from __future__ import annotations

import pytest
import torch

from genoseq.errors import UsageError
from genoseq.nets.conjoined import Conjoined
from genoseq.nets.models.caduceus import (
    CaduceusConfig,
    CaduceusForMaskedLM,
    CaduceusForSequenceClassification,
    CaduceusForTokenClassification,
    CaduceusModel,
)
from genoseq.nets.models.hyenadna import HyenaDNAConfig, HyenaDNAForCausalLM, HyenaDNAModel
from genoseq.tokenizers import CaduceusTokenizer, ESM2Tokenizer

TOKENIZER = CaduceusTokenizer()
TEXT, OTHER = "ACGTTGACCANGGTAC", "GTACCNTGGTCAACGT"


def config(**changes: object) -> CaduceusConfig:
    torch.manual_seed(1)
    plain = {"d_model": 16, "n_layer": 2, "vocab_size": 12, "ssm_cfg": {"d_state": 4}, "num_labels": 3}
    return CaduceusConfig(**(plain | changes))


def ids(*texts: str) -> torch.Tensor:
    return torch.tensor([TOKENIZER(text)["input_ids"] for text in texts])


def test_masked_logits_of_a_base_are_those_of_its_complement() -> None:
    net = CaduceusForMaskedLM(config()).eval()
    both = Conjoined.of(net, TOKENIZER)
    with torch.no_grad():
        here, there = both(ids(TEXT)).logits[0], both(ids(OTHER)).logits[0]
        alone = net(ids(TEXT)).logits[0]
    turned = there[:-1].flip(0)[:, both.complements]
    torch.testing.assert_close(turned, here[:-1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(there[-1, both.complements], here[-1], rtol=1e-5, atol=1e-5)  # [SEP] stays behind
    assert (alone - here).abs().max() > 1e-3


@pytest.mark.parametrize("kind", [CaduceusForSequenceClassification, CaduceusForTokenClassification, CaduceusModel])
def test_other_heads(kind: type) -> None:
    both = Conjoined.of(kind(config()).eval(), TOKENIZER)
    with torch.no_grad():
        here, there = both(ids(TEXT), output_hidden_states=True), both(ids(OTHER), output_hidden_states=True)
    if kind is CaduceusForSequenceClassification:
        torch.testing.assert_close(there.logits, here.logits, rtol=1e-5, atol=1e-5)
    else:
        mine, theirs = (out.last_hidden_state if kind is CaduceusModel else out.logits for out in (here, there))
        torch.testing.assert_close(theirs[:, :-1].flip(1), mine[:, :-1], rtol=1e-5, atol=1e-5)
    for one, other in zip(here.hidden_states, there.hidden_states, strict=True):
        torch.testing.assert_close(other[:, :-1].flip(1), one[:, :-1], rtol=1e-5, atol=1e-5)


def test_a_net_that_is_equivariant_by_itself_stays_as_it_is() -> None:
    # without [SEP], which such a net turns round with the sequence
    net = CaduceusModel(config(rcps=True, complement_map=TOKENIZER.complement_map)).eval()
    row = ids(TEXT)[:, :-1]
    with torch.no_grad():
        torch.testing.assert_close(
            Conjoined.of(net, TOKENIZER)(row).last_hidden_state, net(row).last_hidden_state, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_companions_change_nothing(side: str) -> None:
    both = Conjoined.of(CaduceusForMaskedLM(config()).eval(), TOKENIZER)
    batch = TOKENIZER([TEXT, TEXT[:7]], padding=True, padding_side=side, return_attention_mask=True, return_tensors="pt")
    with torch.no_grad():
        short = both(ids(TEXT[:7])).logits[0]
        found = both(batch["input_ids"], batch["attention_mask"]).logits[1]
    torch.testing.assert_close(found[-8:] if side == "left" else found[:8], short, rtol=1e-5, atol=1e-5)


def test_masks_turn_with_the_sequence_and_ids_outside_it_stay() -> None:
    both = Conjoined.of(CaduceusModel(config()).eval(), TOKENIZER)
    row = torch.tensor([[4, 0, 3, 7, 8, 3, 1]])  # [PAD] [CLS] [MASK] A C [MASK] [SEP]
    turn = both.turned(row)
    assert turn.tolist() == [[0, 1, 5, 4, 3, 2, 6]]
    assert both.turned(row, torch.tensor([[0, 1, 1, 1, 1, 1, 1]])).tolist() == turn.tolist()


def test_nets_that_cannot_be_conjoined() -> None:
    small = HyenaDNAConfig(d_model=8, n_layer=1, max_seq_len=20, filter_order=8)
    with pytest.raises(UsageError, match="strand='both'"):
        Conjoined.of(HyenaDNAForCausalLM(small), TOKENIZER)
    with pytest.raises(UsageError, match="ESM2Tokenizer knows no complements"):
        Conjoined.of(HyenaDNAModel(small), ESM2Tokenizer())
