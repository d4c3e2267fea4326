"""safetensors files: what is read is what was written, and damage is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from genoseq.checkpoints.safetensors_file import DTYPES, SafetensorsFile, TensorInfo
from genoseq.errors import InputError

TENSORS = {
    "matrix": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "half": torch.tensor([1.5, -2.25], dtype=torch.bfloat16),
    "flags": torch.tensor([True, False, True]),
    "scalar": torch.tensor(7, dtype=torch.int64),
    "empty": torch.zeros(0, 5),
    "complex": torch.tensor([1 + 2j], dtype=torch.complex64),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path, metadata={"format": "pt"})
    return path


def test_reads_what_was_written(file: Path) -> None:
    opened = SafetensorsFile(file)
    assert opened.metadata == {"format": "pt"}
    assert opened.tensors["matrix"] == TensorInfo(torch.float32, (3, 4))
    assert str(opened.tensors["half"]) == "bfloat16 [2]"
    for name, tensor in TENSORS.items():
        read = opened.read(name)
        assert read.dtype == tensor.dtype and read.shape == tensor.shape
        assert torch.equal(read, tensor), name


def test_every_type_of_the_format(tmp_path: Path) -> None:
    tensors = {name: torch.ones(3).to(dtype) for name, dtype in DTYPES.items()}
    save_file(tensors, tmp_path / "all.safetensors")
    opened = SafetensorsFile(tmp_path / "all.safetensors")
    for name, tensor in tensors.items():
        assert opened.read(name).dtype == tensor.dtype
        assert opened.read(name).view(torch.uint8).tolist() == tensor.view(torch.uint8).tolist()


def test_data_stay_when_the_file_goes(file: Path) -> None:
    tensor = SafetensorsFile(file).read("matrix")
    file.write_bytes(b"\0" * file.stat().st_size)
    assert torch.equal(tensor, TENSORS["matrix"])


@pytest.mark.parametrize("left", [0, 5])
def test_shorter_than_the_length_of_its_header(file: Path, left: int) -> None:
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(InputError, match=rf"model\.safetensors: has {left} bytes, too few"):
        SafetensorsFile(file)


def test_header_cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(InputError, match=r"cut short: its header should have \d+ bytes, the whole file has 40"):
        SafetensorsFile(file)


def test_data_cut_short_names_the_first_tensor_that_is_not_whole(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=rf"cut short: it has {len(whole) - 1:,} bytes of {len(whole):,}; 1 of its 6 tensors"):
        SafetensorsFile(file)


def test_bytes_after_the_end(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"abc")
    with pytest.raises(InputError, match="3 bytes after its last tensor"):
        SafetensorsFile(file)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"not json", "header is damaged"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"a": 3}', "entry of tensor 'a' is damaged"),
        (b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0]}}', "entry of tensor 'a' is damaged"),
        (b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}', "entry of tensor 'a' is damaged"),
        (b'{"a": {"dtype": "F12", "shape": [2], "data_offsets": [0, 3]}}', "of type F12"),
        (b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}', "needs 8 bytes, its place in the file has 4"),
    ],
)
def test_damaged_header(tmp_path: Path, header: bytes, message: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
    with pytest.raises(InputError, match=message):
        SafetensorsFile(path)


def test_header_length_beyond_reason(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(InputError, match="no safetensors file"):
        SafetensorsFile(path)


def test_pointer_of_git_lfs(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    with pytest.raises(InputError, match="git lfs pull"):
        SafetensorsFile(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.safetensors: no such file"):
        SafetensorsFile(tmp_path / "gone.safetensors")


def test_file_that_shrinks_while_it_is_open(file: Path) -> None:
    opened = SafetensorsFile(file)
    file.write_bytes(b"")
    with pytest.raises(InputError, match="shorter while it was read"):
        opened.read("matrix")


def test_header_may_be_padded(tmp_path: Path) -> None:
    entry = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    header = json.dumps(entry).encode() + b"     "
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\x80?")
    assert SafetensorsFile(path).read("a").tolist() == [1.0]
