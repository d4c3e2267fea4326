"""genoseq.save: what is written is what is read, whole or not at all, and damage is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import genoseq
from genoseq.checkpoints import saving
from genoseq.checkpoints.genoseq_format import hash_file
from genoseq.errors import IndexFormatError, InputError, OutputError, UsageError

IDS = torch.tensor([[0, 20, 15, 11, 22, 2]])


@pytest.fixture
def saved(esm: Path, tmp_path: Path) -> Path:
    genoseq.save(*genoseq.load(esm), tmp_path / "saved")
    return tmp_path / "saved"


def test_round_trip(esm: Path, saved: Path) -> None:
    before, after = genoseq.load(esm), genoseq.load(saved)
    assert type(after.model) is type(before.model) and not after.model.training
    assert torch.equal(after.model(IDS).logits, before.model(IDS).logits)
    assert after.model.get_output_embeddings().weight is after.model.get_input_embeddings().weight
    assert type(after.tokenizer) is type(before.tokenizer) and after.tokenizer.digest == before.tokenizer.digest
    one, other = before.model.config.to_dict(), after.model.config.to_dict()
    assert {key for key in one if one[key] != other.get(key)} <= {"architectures", "_name_or_path"}


def test_what_is_in_the_folder(saved: Path, esm: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer_config.json", "genoseq.json"} <= names
    told = json.loads((saved / "genoseq.json").read_text())
    assert told["format"] == "genoseq.model" and told["version"] == 1 and told["genoseq"] == genoseq.__version__
    assert told["class"] == "EsmForMaskedLM"
    assert told["files"] == {name: hash_file(saved / name) for name in names - {"genoseq.json"}}
    assert str(esm) not in (saved / "config.json").read_text()


def test_saving_twice_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    genoseq.save(*genoseq.load(saved), tmp_path / "again")
    one, other = (json.loads((folder / "genoseq.json").read_text())["files"] for folder in (saved, tmp_path / "again"))
    assert one["model.safetensors"] == other["model.safetensors"]


def test_a_net_with_another_head_comes_back_with_it(esm: Path, tmp_path: Path) -> None:
    model = genoseq.load(esm, head="sequence", config={"num_labels": 3}).model
    genoseq.save(model, None, tmp_path / "labels")
    after = genoseq.load(tmp_path / "labels")
    assert type(after.model) is type(model) and after.tokenizer is None
    assert torch.equal(after.model(IDS).logits, model(IDS).logits)
    assert genoseq.load(tmp_path / "labels", head="masked_lm").model.lm_head.bias.abs().sum() == 0


def test_backbone(esm: Path, tmp_path: Path) -> None:
    model = genoseq.load(esm, head="backbone").model
    genoseq.save(model, None, tmp_path / "bare")
    after = genoseq.load(tmp_path / "bare").model
    assert type(after) is type(model)
    assert torch.equal(after(IDS).last_hidden_state, model(IDS).last_hidden_state)


def test_backbone_gets_a_head(esm: Path, tmp_path: Path) -> None:
    genoseq.save(genoseq.load(esm, head="backbone").model, None, tmp_path / "bare")
    model = genoseq.load(tmp_path / "bare", head="token", config={"num_labels": 2}).model
    wanted = genoseq.load(esm, head="backbone").model(IDS).last_hidden_state
    assert torch.equal(model.esm(IDS).last_hidden_state, wanted)


def test_type_is_kept(esm: Path, tmp_path: Path) -> None:
    genoseq.save(genoseq.load(esm, dtype="bfloat16").model, None, tmp_path / "half")
    assert genoseq.load(tmp_path / "half").model.dtype == torch.bfloat16


def test_shards(esm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "SHARD", 10_000)
    before = genoseq.load(esm)
    genoseq.save(*before, tmp_path / "sharded")
    assert len(list((tmp_path / "sharded").glob("model-*.safetensors"))) > 1
    assert torch.equal(genoseq.load(tmp_path / "sharded").model(IDS).logits, before.model(IDS).logits)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer_config.json"])
def test_a_changed_file_is_noticed(saved: Path, file: str) -> None:
    data = bytearray((saved / file).read_bytes())
    data[-3:-2] = b" " if file.endswith(".json") else bytes([data[-3] ^ 1])
    (saved / file).write_bytes(bytes(data).replace(b"}", b" }", 1) if file.endswith(".json") else bytes(data))
    with pytest.raises(
        (IndexFormatError, InputError), match=rf"{file}: is not the file that was saved|{file}: is not valid JSON"
    ):
        genoseq.load(saved)


def test_a_lost_file_is_noticed(saved: Path) -> None:
    (saved / "tokenizer_config.json").unlink()
    with pytest.raises(IndexFormatError, match=r"lacks the file tokenizer_config\.json that genoseq\.json lists"):
        genoseq.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"version": 2, "genoseq": "9.1"},
            r"is of version 2 \(written by genoseq 9\.1\); this genoseq reads up to 1; update genoseq",
        ),
        ({"version": "x"}, "is of version x"),
        ({"format": "other"}, "is of format 'other', expected 'genoseq.model'"),
        ({"files": 3}, "is damaged"),
        ({"files": {"../x": "0"}}, r"lacks the file \.\./x"),
    ],
)
def test_other_versions_and_damage(saved: Path, change: dict[str, Any], message: str) -> None:
    path = saved / "genoseq.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(IndexFormatError, match=message):
        genoseq.load(saved)


def test_damaged_marker(saved: Path) -> None:
    (saved / "genoseq.json").write_text("{")
    with pytest.raises(IndexFormatError, match=r"genoseq\.json: is damaged"):
        genoseq.load(saved)


def test_a_folder_that_genoseq_wrote_is_replaced(esm: Path, saved: Path) -> None:
    model = genoseq.load(esm).model
    with torch.no_grad():
        model.lm_head.bias.add_(1.0)
    genoseq.save(model, None, saved)
    assert torch.equal(genoseq.load(saved).model.lm_head.bias, model.lm_head.bias)
    assert not (saved / "tokenizer_config.json").exists()


def test_a_net_can_be_saved_where_it_was_loaded_from(saved: Path) -> None:
    loaded = genoseq.load(saved)
    before = loaded.model(IDS).logits
    genoseq.save(*loaded, saved)
    assert torch.equal(loaded.model(IDS).logits, before)
    assert torch.equal(genoseq.load(saved).model(IDS).logits, before)


def test_a_folder_of_others_is_left_alone(esm: Path) -> None:
    with pytest.raises(OutputError, match=r"holds files that genoseq did not write \(no genoseq\.json in it\)"):
        genoseq.save(*genoseq.load(esm), esm)


def test_nothing_is_left_where_saving_fails(esm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = genoseq.load(esm)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(loaded.tokenizer), "save_pretrained", fail)
    with pytest.raises(KeyboardInterrupt):
        genoseq.save(*loaded, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["esm"]


@pytest.mark.parametrize("thing", [nn.Linear(2, 2), None, "text"])
def test_only_nets_of_genoseq_are_saved(thing: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"genoseq\.save writes the nets of genoseq"):
        genoseq.save(thing, None, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_trained_weights_come_back(esm: Path, tmp_path: Path) -> None:
    model, tokenizer = genoseq.load(esm)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    loss: Tensor = model(IDS, labels=IDS).loss
    loss.backward()
    optimiser.step()
    genoseq.save(model, tokenizer, tmp_path / "trained")
    assert torch.equal(genoseq.load(tmp_path / "trained").model(IDS).logits, model(IDS).logits)


def test_transformers_reads_the_folder(saved: Path) -> None:
    from genoseq.nets.models.esm import EsmForMaskedLM

    model = EsmForMaskedLM.from_pretrained(saved).eval()
    assert torch.equal(model(IDS).logits, genoseq.load(saved).model(IDS).logits)
