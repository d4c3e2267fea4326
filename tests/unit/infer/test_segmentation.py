"""A net that chooses its own tokens, as a tokenizer: boundaries are the net's own, of inner stages too, and become text and BED."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genoseq.errors import UsageError
from genoseq.infer import segmenter
from genoseq.nets.models.hnet import HNetConfig, HNetForCausalLM
from genoseq.nets.models.mamba import MambaConfig, MambaForCausalLM
from genoseq.nets.models.mergedna import MergeDNAConfig, MergeDNAForMaskedLM
from genoseq.tokenizers import make, write_bed

TEXT = "ACGTTGACCAGGTACGATCGATTTAGCATTGACCA"


def hnet() -> HNetForCausalLM:
    torch.manual_seed(3)
    attention = {"num_heads": [2, 2, 2], "rotary_emb_dim": [4, 4, 4], "window_size": [-1, -1, -1]}
    layout = ["m1", ["m1", ["T1"], "m1"], "m1"]
    config = HNetConfig(arch_layout=layout, d_model=[16, 16, 16], ssm_cfg={"d_state": 8, "headdim": 8}, attn_cfg=attention)
    return HNetForCausalLM(config)


def test_chunks_of_every_stage_of_an_hnet(tmp_path: Path) -> None:
    net, tokenizer = hnet().train(), make("hnet")
    outer, inner = (segmenter(net, tokenizer, stage=stage).segment(TEXT) for stage in (0, 1))
    assert net.training  # as it was
    with torch.no_grad():
        chosen = net.eval()(torch.from_numpy(tokenizer.encode_array(TEXT).astype(np.int64))[None]).boundaries
    assert outer.starts.tolist() == chosen[0].mask[0].nonzero()[:, 0].tolist()
    assert inner.starts.tolist() == outer.starts[chosen[1].mask[0].numpy()].tolist()
    assert set(inner.starts.tolist()) < set(outer.starts.tolist())
    assert inner.probabilities.tolist() == pytest.approx(chosen[1].probability[0][chosen[1].mask[0]].tolist())
    assert "".join(outer.tokens()) == TEXT == outer.render(width=100)[3:].replace("|", "")
    assert write_bed(tmp_path / "tokens.bed", [("c", inner)]) == len(inner)
    with pytest.raises(UsageError, match="stages 0 to 1"):
        segmenter(net, tokenizer, stage=2).segment(TEXT)


def test_words_of_mergedna() -> None:
    torch.manual_seed(4)
    config = MergeDNAConfig(d_model=16, n_heads=2, local_encoder=2, latent_encoder=1, latent_decoder=1, local_decoder=1)
    found = segmenter(MergeDNAForMaskedLM(config), make("nucleotide")).segment(TEXT)
    assert 0.4 * len(TEXT) < len(found) < 0.7 * len(TEXT)
    assert found.lengths.max() <= config.longest
    assert found.probabilities.tolist() == [1.0] * len(found)


def test_other_nets_choose_no_tokens() -> None:
    net = MambaForCausalLM(MambaConfig(d_model=8, n_layer=1, vocab_size=12))
    with pytest.raises(UsageError, match="H-Net and MergeDNA do"):
        segmenter(net, make("hyenadna")).segment(TEXT)
