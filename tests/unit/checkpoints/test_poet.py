"""Checkpoints of PoET: the authors' layout, weights alone, and genoseq's own folders."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_poet import TOKENIZER, protein, tiny_poet
from torch import Tensor

import genoseq
from genoseq.errors import InputError
from genoseq.families.poet.prompt import set_ids
from genoseq.nets.models.poet import PoETForCausalLM, PoETForSequenceClassification
from genoseq.tokenizers.protein import PoETTokenizer

ARGUMENTS = {"n_vocab": 24, "hidden_dim": 32, "num_layers": 2, "nhead": 2, "dropout": 0.0, "use_multi_rotary": True, "norm": True}


def authors_state(prefix: str = "model.") -> dict[str, Tensor]:
    """The names of the authors' net, with the tables of frequencies that it keeps."""
    state = {name.removeprefix("poet."): value.clone() for name, value in tiny_poet().state_dict().items()}
    table = torch.repeat_interleave(10_000.0 ** (-torch.arange(0, 16, 2) / 16), 2)
    layers = [f"decoder.layers.{i}.{kind}." for i in range(2) for kind in ("self_attn", "multihead_attn")]
    state |= {f"{place}rotary_emb.inv_freq": table.clone() for place in ("", *layers)}
    return {prefix + name: value for name, value in state.items()}


def authors_file(path: Path, **changes: Any) -> Path:
    content = {
        "state_dict": authors_state(),
        "hyper_parameters": {"model_spec": {"class_path": "poet.models.modules.PoET", "init_args": ARGUMENTS}, "lr": 1e-3},
        "epoch": 1,
    }
    torch.save(content | changes, path)
    return path


@torch.no_grad()
def same_as_tiny(model: Any) -> bool:
    ids = torch.from_numpy(set_ids(TOKENIZER, [protein(9), protein(12)]))[None]
    return torch.equal(model(ids).logits, tiny_poet()(ids).logits)


@pytest.mark.parametrize("prefix", ["model.", "net.", ""])
def test_the_authors_checkpoint(prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        model, tokenizer = genoseq.load(authors_file(tmp_path / "poet.ckpt", state_dict=authors_state(prefix)))
    assert isinstance(model, PoETForCausalLM) and isinstance(tokenizer, PoETTokenizer) and same_as_tiny(model)
    assert "CC BY-NC-SA 4.0" in caplog.text and "no commercial use" in caplog.text


def test_arguments_may_be_missing(tmp_path: Path) -> None:
    """The weights show them, the number of heads by the table of frequencies."""
    assert same_as_tiny(genoseq.load(authors_file(tmp_path / "a.ckpt", hyper_parameters={})).model)
    save_file(authors_state(""), tmp_path / "b.safetensors")
    assert same_as_tiny(genoseq.load(tmp_path / "b.safetensors").model)


def test_heads_that_nothing_shows(tmp_path: Path) -> None:
    state = {name: value for name, value in authors_state("").items() if "inv_freq" not in name}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="number of heads"):
        genoseq.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "poet", "nhead": 2}')
    assert same_as_tiny(genoseq.load(tmp_path).model)


def test_genoseq_saves_and_loads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    genoseq.save(tiny_poet(), TOKENIZER, tmp_path / "net")
    with caplog.at_level(logging.WARNING):
        model, tokenizer = genoseq.load(tmp_path / "net")
    assert same_as_tiny(model) and tokenizer.digest == TOKENIZER.digest and not caplog.records
    tiny_poet().save_pretrained(tmp_path / "transformers")
    assert same_as_tiny(genoseq.load(tmp_path / "transformers").model)
    tiny_poet().poet.save_pretrained(tmp_path / "bare")
    bare = genoseq.load(tmp_path / "bare").model
    ids = torch.from_numpy(set_ids(TOKENIZER, [protein(9)]))[None]
    with torch.no_grad():
        assert torch.equal(bare(ids).last_hidden_state, tiny_poet().poet(ids).last_hidden_state)


def test_another_head_is_new(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = genoseq.load(authors_file(tmp_path / "poet.ckpt"), head="sequence", config={"num_labels": 2}).model
    assert isinstance(model, PoETForSequenceClassification) and "score.weight" in caplog.text


class _Calls:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("read and run",)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="wants to have code run"):
        genoseq.load(authors_file(tmp_path / "poet.ckpt", callbacks=_Calls()))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_layers": 3}, "missing"),
        ({"hidden_dim": 64}, "another shape"),
        ({"nhead": "2"}, "nhead is '2', expected int"),
    ],
)
def test_arguments_that_contradict_the_weights(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    told = {"model_spec": {"init_args": ARGUMENTS | change}}
    with pytest.raises(InputError, match=message):
        genoseq.load(authors_file(tmp_path / "poet.ckpt", hyper_parameters=told))
