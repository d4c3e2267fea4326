"""genoseq.load: heads, types, devices, configurations, and what is said when something does not fit."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import genoseq
from genoseq.errors import InputError, UsageError

Writer = Callable[..., Path]
IDS = torch.tensor([[0, 20, 15, 11, 22, 2], [0, 5, 6, 7, 8, 2]])


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_net_and_tokenizer(esm: Path, esm_state: dict[str, Tensor]) -> None:
    loaded = genoseq.load(esm)
    model, tokenizer = loaded
    assert loaded.model is model and type(model).__name__ == "EsmForMaskedLM" and not model.training
    assert tokenizer("MKTW")["input_ids"] == [0, 20, 15, 11, 22, 2]
    out = model(IDS, output_hidden_states=True)
    assert out.logits.shape == (2, 6, 33) and len(out.hidden_states) == 3
    own = model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in esm_state.items())
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_path_as_text_and_a_file(esm: Path) -> None:
    one = genoseq.load(str(esm)).model(IDS).logits
    other = genoseq.load(esm / "model.safetensors").model(IDS).logits
    assert torch.equal(one, other)


def test_backbone_alone(esm: Path) -> None:
    whole, bare = genoseq.load(esm).model, genoseq.load(esm, head="backbone").model
    assert type(bare).__name__ == "EsmModel"
    assert torch.equal(bare(IDS).last_hidden_state, whole(IDS, output_hidden_states=True).hidden_states[-1])


@pytest.mark.parametrize(("head", "shape"), [("sequence", (2, 5)), ("token", (2, 6, 5))])
def test_another_head_is_new_and_says_so(esm: Path, head: str, shape: tuple[int, ...], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="genoseq"):
        model = genoseq.load(esm, head=head, config={"num_labels": 5}).model
    assert model(IDS).logits.shape == shape
    assert "has no weights for classifier." in caplog.text and "they are new" in caplog.text
    backbone = genoseq.load(esm, head="backbone").model
    assert torch.equal(model.esm(IDS).last_hidden_state, backbone(IDS).last_hidden_state)


def test_new_heads_are_the_same_with_the_same_seed(esm: Path) -> None:
    def weights() -> list[Tensor]:
        torch.manual_seed(3)
        return list(genoseq.load(esm, head="sequence").model.classifier.parameters())

    assert all(torch.equal(one, other) for one, other in zip(weights(), weights(), strict=True))


def test_head_that_the_net_does_not_have(esm: Path) -> None:
    with pytest.raises(UsageError, match=r"Esm has no head 'causal_lm'; it has: backbone, masked_lm, sequence, token"):
        genoseq.load(esm, head="causal_lm")


def test_unknown_head(esm: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown head 'seqence' \(did you mean 'sequence'\?\)"):
        genoseq.load(esm, head="seqence")


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16, "torch.bfloat16"])
def test_type(esm: Path, dtype: Any) -> None:
    model = genoseq.load(esm, dtype=dtype).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16} == {model.dtype} == {model.config.dtype}
    assert model(IDS).logits.dtype == torch.bfloat16


def test_type_of_the_file_unless_given(
    esm: Path, esm_state: dict[str, Tensor], esm_config: dict[str, Any], write_checkpoint: Writer
) -> None:
    write_checkpoint(esm, {name: tensor.half() for name, tensor in esm_state.items()}, esm_config)
    assert genoseq.load(esm).model.dtype == torch.float16
    assert genoseq.load(esm, dtype="float32").model.dtype == torch.float32


def test_a_new_head_has_the_type_of_the_rest(
    esm: Path, esm_state: dict[str, Tensor], esm_config: dict[str, Any], write_checkpoint: Writer
) -> None:
    asked = genoseq.load(esm, head="sequence", dtype="bfloat16").model
    assert {parameter.dtype for parameter in asked.parameters()} == {torch.bfloat16} == {asked(IDS).logits.dtype}
    write_checkpoint(esm, {name: tensor.bfloat16() for name, tensor in esm_state.items()}, esm_config)
    stored = genoseq.load(esm, head="token").model
    assert {parameter.dtype for parameter in stored.parameters()} == {torch.bfloat16} == {stored(IDS).logits.dtype}


@pytest.mark.parametrize("dtype", ["float31", torch.int8, "int8"])
def test_unknown_type(esm: Path, dtype: Any) -> None:
    with pytest.raises(UsageError, match="there are float32, bfloat16, float16, float64"):
        genoseq.load(esm, dtype=dtype)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_device_that_is_not_here(esm: Path, device: str) -> None:
    with pytest.raises(UsageError, match=f"device '{device}' cannot be used here"):
        genoseq.load(esm, device=device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_device(esm: Path) -> None:
    model = genoseq.load(esm, device="cuda").model
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"cuda"}
    torch.testing.assert_close(model(IDS.cuda()).logits.cpu(), genoseq.load(esm).model(IDS).logits, atol=1e-4, rtol=1e-4)


def test_changes_to_the_configuration(esm: Path) -> None:
    assert genoseq.load(esm, config={"hidden_dropout_prob": 0.25}).model.config.hidden_dropout_prob == 0.25


def test_unknown_architecture_lists_what_there_is(esm: Path) -> None:
    change_config(esm, model_type="gpt2", architectures=["GPT2LMHeadModel"])
    with pytest.raises(InputError) as caught:
        genoseq.load(esm)
    text = str(caught.value)
    assert text.startswith(f"{esm / 'config.json'}: is for a net that genoseq does not have: GPT2LMHeadModel (model_type 'gpt2')")
    assert "Caduceus" in text and "Nucleotide Transformer" in text and "Evo 2" in text


def test_configuration_that_says_nothing(esm: Path, write_checkpoint: Writer) -> None:
    write_checkpoint(esm, {"a": torch.zeros(1)}, {"width": 3})
    with pytest.raises(InputError, match="does not say what net it is for; its keys are width"):
        genoseq.load(esm)


def test_weights_that_say_nothing(tmp_path: Path, write_checkpoint: Writer) -> None:
    write_checkpoint(tmp_path / "x", {"a": torch.zeros(1)}, None)
    with pytest.raises(InputError, match="is of no net that genoseq knows by its names, such as a"):
        genoseq.load(tmp_path / "x")


def test_partial_checkpoint_lists_missing_and_unexpected(
    esm: Path, esm_state: dict[str, Tensor], esm_config: dict[str, Any], write_checkpoint: Writer
) -> None:
    del esm_state["esm.encoder.layer.1.attention.self.key.weight"]
    esm_state["esm.encoder.layer.9.extra"] = torch.zeros(1)
    write_checkpoint(esm, esm_state, esm_config)
    with pytest.raises(InputError) as caught:
        genoseq.load(esm)
    text = str(caught.value)
    assert "do not fit EsmForMaskedLM" in text
    assert "1 missing: esm.encoder.layer.1.attention.self.key.weight" in text
    assert "1 unexpected: esm.encoder.layer.9.extra" in text


def test_shapes_against_the_configuration(esm: Path) -> None:
    change_config(esm, vocab_size=40)
    with pytest.raises(InputError, match=r"esm\.embeddings\.word_embeddings\.weight is \[33, 16\], expected \[40, 16\]"):
        genoseq.load(esm)


def test_more_layers_than_weights(esm: Path) -> None:
    change_config(esm, num_hidden_layers=3)
    with pytest.raises(InputError, match=r"16 missing: esm\.encoder\.layer\.2\..* and 8 more"):
        genoseq.load(esm)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": "two"}, "configuration: num_hidden_layers is 'two', expected int"),
        ({"num_hidden_layers": True}, "configuration: num_hidden_layers is True, expected int"),
        ({"hidden_size": None}, "configuration: hidden_size is None, expected int"),
        ({"layer_norm_eps": "small"}, "configuration: layer_norm_eps is 'small', expected float"),
        ({"position_embedding_type": "spiral"}, "configuration: position_embedding_type is 'spiral'"),
        ({"num_attention_heads": 0}, "no EsmForMaskedLM can be made of this configuration"),
        ({"hidden_size": -4}, "no EsmForMaskedLM can be made of this configuration"),
    ],
)
def test_configuration_with_wrong_values(esm: Path, change: dict[str, Any], message: str) -> None:
    change_config(esm, **change)
    with pytest.raises(InputError, match=rf"config\.json: {message}"):
        genoseq.load(esm)


def test_nan_names_the_tensor(
    esm: Path, esm_state: dict[str, Tensor], esm_config: dict[str, Any], write_checkpoint: Writer
) -> None:
    esm_state["lm_head.bias"][3] = torch.nan
    write_checkpoint(esm, esm_state, esm_config)
    with pytest.raises(InputError, match=r"1 of the 33 numbers of tensor 'lm_head\.bias' are NaN, the first at \[3\]"):
        genoseq.load(esm)


def test_nan_in_what_is_not_used_does_not_matter(
    esm: Path, esm_state: dict[str, Tensor], esm_config: dict[str, Any], write_checkpoint: Writer
) -> None:
    esm_state["esm.contact_head.regression.weight"] = torch.full((1, 4), torch.nan)
    write_checkpoint(esm, esm_state, esm_config)
    assert genoseq.load(esm).model(IDS).logits.isfinite().all()


def test_two_names_of_one_table_that_agree(
    esm: Path, esm_state: dict[str, Tensor], esm_config: dict[str, Any], write_checkpoint: Writer
) -> None:
    """As in ``pytorch_model.bin``, which keeps both."""
    before = genoseq.load(esm).model(IDS).logits
    esm_state["lm_head.decoder.weight"] = esm_state["esm.embeddings.word_embeddings.weight"]
    (esm / "model.safetensors").unlink()
    write_checkpoint(esm, esm_state, esm_config, file="pytorch_model.bin")
    model = genoseq.load(esm).model
    assert torch.equal(model(IDS).logits, before)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_two_names_of_one_table_that_disagree_are_kept_apart(
    esm: Path,
    esm_state: dict[str, Tensor],
    esm_config: dict[str, Any],
    write_checkpoint: Writer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    esm_state["lm_head.decoder.weight"] = esm_state["esm.embeddings.word_embeddings.weight"] * 2
    write_checkpoint(esm, esm_state, esm_config)
    with caplog.at_level(logging.WARNING, logger="genoseq"):
        model = genoseq.load(esm).model
    assert "differ, so they are kept apart" in caplog.text and model.config.tie_word_embeddings is False
    assert torch.equal(model.get_output_embeddings().weight, esm_state["lm_head.decoder.weight"])


def test_loading_twice_gives_the_same(esm: Path) -> None:
    assert torch.equal(genoseq.load(esm).model(IDS).logits, genoseq.load(esm).model(IDS).logits)


def test_the_randomness_of_the_caller_is_left_alone(esm: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    genoseq.load(esm)
    assert torch.equal(torch.rand(3), wanted)


def test_import_is_lazy() -> None:
    import subprocess
    import sys

    script = "import sys, genoseq; assert 'torch' not in sys.modules; genoseq.load; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_changes_under_unknown_names_are_refused(esm: Path) -> None:
    with pytest.raises(UsageError, match=r"config: Esm has no key 'num_hidden_layer' \(did you mean 'num_hidden_layers'\?\)"):
        genoseq.load(esm, config={"num_hidden_layer": 1})
    with pytest.raises(UsageError, match=r"has no key 'num_label' \(did you mean 'num_labels'\?\)"):
        genoseq.load(esm, head="sequence", config={"num_label": 3})
    change_config(esm, of_the_file=1)  # the file's own keys may be changed, whatever they are
    assert genoseq.load(esm, config={"of_the_file": 2}).model.config.of_the_file == 2


def test_another_number_of_labels_needs_no_names(esm: Path, caplog: pytest.LogCaptureFixture) -> None:
    change_config(esm, id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1})
    with caplog.at_level(logging.WARNING):
        model = genoseq.load(esm, head="sequence", config={"num_labels": 3}).model
    assert model.config.num_labels == 3 and len(model.config.id2label) == 3
    assert "id2label" not in caplog.text
    assert genoseq.load(esm, head="sequence").model.config.id2label == {0: "a", 1: "b"}
