"""Keys of configurations: the known ones pass, a misspelt one is refused where a user writes it and warned of elsewhere."""

from __future__ import annotations

import logging

import pytest
import torch

from genoseq.errors import UsageError
from genoseq.nets.architectures import ARCHITECTURES
from genoseq.nets.config_keys import COMMON_KEYS, check_config_keys, config_keys
from genoseq.nets.models.hybrid import HybridConfig, HybridForCausalLM


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_net_knows_its_own_keys_and_no_other(name: str) -> None:
    kind = ARCHITECTURES[name].config_class
    own = config_keys(kind)
    assert own
    check_config_keys([*own, *COMMON_KEYS], kind, where="net")
    misspelt = own[1][:-1] + own[1][-1] * 2
    with pytest.raises(UsageError, match=rf"net: \w+ has no key '{misspelt}' \(did you mean '{own[1]}'\?\); its keys are "):
        check_config_keys([misspelt], kind, where="net")


def test_constructors_warn_of_what_looks_misspelt(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="genoseq"):
        HybridConfig(d_model=16, transformers_version="4.0", anything=1)
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING, logger="genoseq"):
        HybridConfig(d_modl=32, blokcs=[])
    assert [message.partition(",")[0] for message in caplog.messages] == [
        "HybridConfig has no key 'd_modl'",
        "HybridConfig has no key 'blokcs'",
    ]
    assert caplog.messages[1].endswith("did you mean 'blocks'?")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"mixer": "hyena"}, r"blocks\[1\] \(hyena\): options: mixer 'hyena' needs l_max; the longest input of the net"),
        ({"mixer": "mamba", "options": {"dstate": 4}}, r"blocks\[1\] \(mamba\): .*'dstate' \(did you mean 'd_state'\?\)"),
        ({"mixer": "attention", "options": {"n_heads": 3}}, r"blocks\[1\] \(attention\): .*3 heads"),
    ],
)
def test_wrong_options_of_a_block_are_told_with_the_block(block: dict[str, object], message: str) -> None:
    config = HybridConfig(d_model=16, blocks=[{"mixer": "s4d"}, block])
    with pytest.raises(UsageError, match=message):
        HybridForCausalLM(config)


def test_the_filters_of_hyena_are_a_limit() -> None:
    hyena = {"mixer": "hyena", "options": {"l_max": 64}}
    assert HybridConfig(blocks=[{"mixer": "s4d"}, hyena]).token_limit == 64
    assert HybridConfig(blocks=[hyena], max_position_embeddings=32).token_limit == 32
    assert HybridConfig(blocks=[{"mixer": "s4d"}]).token_limit is None


def test_generate_of_transformers_is_not_there_and_says_what_is() -> None:
    net = HybridForCausalLM(HybridConfig(d_model=16, blocks=[{"mixer": "s4d"}]))
    assert not hasattr(net, "generate")
    with pytest.raises(AttributeError, match=r"use genoseq\.infer\.generate"):
        _ = net.generate
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = net.nothing


def test_ids_that_are_no_whole_numbers_are_told() -> None:
    net = HybridForCausalLM(HybridConfig(d_model=16, blocks=[{"mixer": "s4d"}]))
    with pytest.raises(UsageError, match=r"input_ids is of type torch\.float32, expected whole numbers"):
        net(torch.ones(1, 4))
