"""Weights in folders, files and shards; numbers that are none are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from genoseq.checkpoints.reader import find_weights, open_weights
from genoseq.checkpoints.safetensors_file import TensorInfo
from genoseq.errors import InputError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(4), "c.bias": torch.zeros(2)}


def write_shards(folder: Path, *, ending: str = "safetensors") -> Path:
    """Two shards and their index."""
    folder.mkdir(exist_ok=True)
    stem = "model" if ending == "safetensors" else "pytorch_model"
    places: dict[str, str] = {}
    for number, names in enumerate((["a.weight"], ["b.weight", "c.bias"]), start=1):
        file = f"{stem}-0000{number}-of-00002.{ending}"
        part = {name: STATE[name] for name in names}
        if ending == "safetensors":
            save_file(part, folder / file)
        else:
            torch.save(part, folder / file)
        places |= dict.fromkeys(names, file)
    index = folder / f"{stem}.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": places}))
    return index


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin", "net.pt", "weights.ckpt", "x.pth", "own.safetensors"])
@pytest.mark.parametrize("by_folder", [True, False])
def test_one_file(tmp_path: Path, file: str, by_folder: bool) -> None:
    path = tmp_path / file
    if path.suffix == ".safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path)
    weights = open_weights(tmp_path if by_folder else path)
    assert weights.path == path and len(weights) == 3 and "a.weight" in weights and "x" not in weights
    assert weights.info("a.weight") == TensorInfo(torch.float32, (2, 3))
    for name, tensor in STATE.items():
        assert torch.equal(weights.read(name), tensor)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
@pytest.mark.parametrize("by_folder", [True, False])
def test_shards(tmp_path: Path, ending: str, by_folder: bool) -> None:
    index = write_shards(tmp_path, ending=ending)
    weights = open_weights(tmp_path if by_folder else index)
    assert sorted(weights) == sorted(STATE)
    assert all(torch.equal(weights.read(name), tensor) for name, tensor in STATE.items())
    assert weights.pickled == (ending == "bin")


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_missing_shard_is_named_with_its_index(tmp_path: Path, ending: str) -> None:
    index = write_shards(tmp_path, ending=ending)
    lost = next(tmp_path.glob(f"*-00002-of-00002.{ending}"))
    lost.unlink()
    with pytest.raises(InputError) as caught:
        open_weights(tmp_path)
    text = str(caught.value)
    assert index.name in text and lost.name in text and "1 of 2 shards missing" in text and "(2 of 3 tensors)" in text


def test_shard_cut_short(tmp_path: Path) -> None:
    write_shards(tmp_path)
    shard = tmp_path / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"model-00002-of-00002\.safetensors: is cut short"):
        open_weights(tmp_path)


def test_shard_that_lacks_what_the_index_says(tmp_path: Path) -> None:
    write_shards(tmp_path)
    save_file({"b.weight": STATE["b.weight"]}, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(InputError, match=r"lacks 1 of the 2 tensors that .*index\.json says it holds, the first 'c\.bias'"):
        open_weights(tmp_path)


def test_tensors_that_the_index_leaves_out_are_there(tmp_path: Path) -> None:
    index = write_shards(tmp_path)
    content = json.loads(index.read_text())
    del content["weight_map"]["c.bias"]
    index.write_text(json.dumps(content))
    assert sorted(open_weights(tmp_path)) == sorted(STATE)


def test_shards_without_index(tmp_path: Path) -> None:
    write_shards(tmp_path).unlink()
    with pytest.raises(InputError, match=r"holds shards of weights .* but not their index model\.safetensors\.index\.json"):
        open_weights(tmp_path)


@pytest.mark.parametrize("file", ["../secret.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "..", ""])
def test_an_index_cannot_point_elsewhere(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(STATE, tmp_path / "secret.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a.weight": file}}))
    with pytest.raises(InputError, match="outside its own folder"):
        open_weights(folder)


@pytest.mark.parametrize("content", ["nonsense", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": ["x"]}}'])
def test_damaged_index(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(InputError, match=r"index\.json: is no index of shards"):
        open_weights(tmp_path)


def test_one_file_goes_before_others(tmp_path: Path) -> None:
    for name in ("model.safetensors", "other.safetensors"):
        save_file(STATE, tmp_path / name)
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    assert find_weights(tmp_path).name == "model.safetensors"


def test_state_of_the_optimiser_is_no_weights(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "optimizer.pt")
    torch.save(STATE, tmp_path / "net.pt")
    assert find_weights(tmp_path).name == "net.pt"


def test_more_than_one_candidate(tmp_path: Path) -> None:
    for name in ("one.pt", "two.pt"):
        torch.save(STATE, tmp_path / name)
    with pytest.raises(InputError, match=r"more than one file of weights: one\.pt, two\.pt; name one of them"):
        open_weights(tmp_path)


def test_parts_of_a_file(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"evo2_40b.pt.part{number}").write_bytes(b"x")
    with pytest.raises(InputError, match=r"cat evo2_40b\.pt\.part\* > evo2_40b\.pt"):
        open_weights(tmp_path)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no weights: it is empty; expected model\.safetensors"):
        open_weights(tmp_path)


def test_folder_with_other_things(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds no weights: it holds config\.json"):
        open_weights(tmp_path)


def test_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(InputError, match=r"weights\.h5: is no file of weights that genoseq knows: their names end in"):
        open_weights(tmp_path / "weights.h5")


WIDE = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64]
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("dtype", "bad"),
    [*((dtype, bad) for dtype in WIDE for bad in (NAN, INFINITY, -INFINITY)), (torch.float8_e4m3fn, NAN)],
)
def test_nan_and_infinity_are_refused(tmp_path: Path, dtype: torch.dtype, bad: float) -> None:
    tensor = torch.zeros(5, 7, dtype=torch.complex64 if dtype.is_complex else torch.float32)
    tensor[3, 2] = bad
    tensor = tensor.to(dtype)
    save_file({"fine": torch.ones(3), "layers.1.weight": tensor}, tmp_path / "model.safetensors")
    weights = open_weights(tmp_path)
    assert torch.equal(weights.read("fine"), torch.ones(3))
    kind = "NaN" if bad != bad else "infinite"
    with pytest.raises(InputError, match=rf"1 of the 35 numbers of tensor 'layers\.1\.weight' are {kind}, the first at \[3, 2\]"):
        weights.read("layers.1.weight")


@pytest.mark.parametrize("tensor", [torch.full((3,), 3e38), torch.full((70_000,), 60_000.0, dtype=torch.float16), torch.zeros(0)])
def test_large_numbers_are_fine(tmp_path: Path, tensor: Tensor) -> None:
    """A sum that overflows is not taken for a number that is infinite."""
    save_file({"a": tensor}, tmp_path / "model.safetensors")
    assert torch.equal(open_weights(tmp_path).read("a"), tensor)


def test_what_was_read_is_independent(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "net.pt")
    weights = open_weights(tmp_path)
    weights.read("b.weight").zero_()
    assert torch.equal(weights.read("b.weight"), torch.ones(4))
