"""Files of torch.save: read without running anything, wrappings taken off, damage said."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from genoseq.checkpoints.reader import open_weights
from genoseq.checkpoints.torch_file import Record, read_torch_file, state_of
from genoseq.errors import InputError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1, 2])}


class Attack:
    """Unpickled without care, makes a file."""

    def __init__(self, target: Path, how: str = "system") -> None:
        self.target, self.how = target, how

    def __reduce__(self) -> tuple[Any, ...]:
        if self.how == "system":
            return os.system, (f"touch {self.target}",)
        if self.how == "open":
            return open, (str(self.target), "w")
        if self.how == "exec":
            return exec, (f"open({str(self.target)!r}, 'w')",)
        return eval, (f"open({str(self.target)!r}, 'w')",)


@pytest.mark.parametrize("how", ["system", "open", "exec", "eval"])
@pytest.mark.parametrize("ending", [".pt", ".bin", ".pth", ".ckpt"])
def test_a_pickle_that_wants_code_run_is_refused_and_runs_nothing(tmp_path: Path, how: str, ending: str) -> None:
    made = tmp_path / "made"
    file = tmp_path / f"model{ending}"
    torch.save({"state_dict": STATE, "extra": Attack(made, how)}, file)
    with pytest.raises(InputError, match="wants to have code run") as caught:
        open_weights(file)
    assert not made.exists()
    names = {"system": "posix.system", "open": "io.open", "exec": "builtins.exec", "eval": "builtins.eval"}
    assert names[how] in str(caught.value) and "safetensors" in str(caught.value)


@pytest.mark.parametrize("how", ["system", "open", "exec"])
def test_refused_in_the_old_format_and_as_a_bare_pickle_too(tmp_path: Path, how: str) -> None:
    made, old, bare = tmp_path / "made", tmp_path / "old.pt", tmp_path / "bare.pt"
    torch.save({"state_dict": STATE, "extra": Attack(made, how)}, old, _use_new_zipfile_serialization=False)
    bare.write_bytes(pickle.dumps({"state_dict": 1, "extra": Attack(made, how)}, protocol=2))
    for file in (old, bare):
        with pytest.raises(InputError):
            open_weights(file)
    assert not made.exists()


def test_the_attack_is_one(tmp_path: Path) -> None:
    """The files above do run when they are unpickled without care, so that their refusal means something."""
    made = tmp_path / "made"
    pickle.loads(pickle.dumps(Attack(made)))
    assert made.exists()


def test_a_whole_pickled_net_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save(torch.nn.Linear(2, 2), file)
    with pytest.raises(InputError, match=r"torch\.nn\.modules\.linear\.Linear"):
        open_weights(file)


@pytest.fixture
def settings_package() -> Iterator[Any]:
    """A module that calls itself omegaconf, so that pickles can name it, gone when they are read."""
    package = types.ModuleType("omegaconf.dictconfig")

    class DictConfig:
        def __init__(self, content: dict[str, Any]) -> None:
            self.content = content

        def __reduce__(self) -> tuple[Any, ...]:
            return DictConfig, (self.content,), {"_content": self.content}

    DictConfig.__module__, DictConfig.__qualname__ = "omegaconf.dictconfig", "DictConfig"
    package.DictConfig = DictConfig  # type: ignore[attr-defined]
    sys.modules["omegaconf.dictconfig"] = package
    sys.modules["omegaconf"] = types.ModuleType("omegaconf")
    yield DictConfig
    sys.modules.pop("omegaconf.dictconfig", None)
    sys.modules.pop("omegaconf", None)


def test_settings_of_trainers_are_passed_over(tmp_path: Path, settings_package: Any) -> None:
    """As in the published HyenaDNA files: settings beside the weights, which torch by itself refuses."""
    file = tmp_path / "weights.ckpt"
    counts = collections.defaultdict(int, {"steps": 3})
    content = {"state_dict": STATE, "hyper_parameters": settings_package({"d_model": 3}), "counts": counts, "epoch": 3}
    torch.save(content, file)
    del sys.modules["omegaconf.dictconfig"], sys.modules["omegaconf"]
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)
    allowed = set(torch.serialization.get_safe_globals())
    weights = open_weights(file)
    assert sorted(weights) == sorted(STATE)
    assert torch.equal(weights.read("a.weight"), STATE["a.weight"])
    assert isinstance(read_torch_file(file)["hyper_parameters"], Record)
    assert "omegaconf" not in sys.modules
    assert set(torch.serialization.get_safe_globals()) == allowed


def test_functions_of_trainers_are_refused(tmp_path: Path, settings_package: Any) -> None:
    """A class of settings is passed over; a function of the same package would be called, and is not."""

    class Call:
        def __reduce__(self) -> tuple[Any, ...]:
            return sys.modules["omegaconf.dictconfig"].instantiate, ("x",)

    def instantiate(target: str) -> None:
        raise AssertionError("was called")

    instantiate.__module__, instantiate.__qualname__ = "omegaconf.dictconfig", "instantiate"
    sys.modules["omegaconf.dictconfig"].instantiate = instantiate  # type: ignore[attr-defined]
    torch.save({"state_dict": STATE, "call": Call()}, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match=r"omegaconf\.dictconfig\.instantiate"):
        open_weights(tmp_path / "x.ckpt")


def test_buffers_of_transformer_engine_are_no_tensors(tmp_path: Path) -> None:
    """As in the published Evo 2 files."""
    file = tmp_path / "evo.pt"
    torch.save({**STATE, "a._extra_state": io.BytesIO(b"scales"), "b._extra_state": None}, file)
    weights = open_weights(file)
    assert weights.others == {"a._extra_state", "b._extra_state"}
    assert len(weights) == 2 and weights.pickled


@pytest.mark.parametrize(
    "wrapped",
    [{"state_dict": STATE, "step": torch.tensor(3)}, {"model": STATE}, {"module": {"model": STATE}}, STATE],
)
def test_wrappings_are_taken_off(tmp_path: Path, wrapped: Any) -> None:
    torch.save(wrapped, tmp_path / "w.pt")
    assert sorted(open_weights(tmp_path / "w.pt")) == sorted(STATE)


def test_old_format_of_torch_is_read(tmp_path: Path) -> None:
    file = tmp_path / "old.bin"
    torch.save(STATE, file, _use_new_zipfile_serialization=False)
    assert torch.equal(open_weights(file).read("a.weight"), STATE["a.weight"])


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], 5])
def test_files_without_weights(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match="holds no weights by name"):
        open_weights(tmp_path / "x.pt")


def test_what_is_held_instead_is_said() -> None:
    with pytest.raises(InputError, match="its keys are epoch, lr"):
        state_of({"epoch": 1, "lr": 2.0}, Path("x.pt"))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_zip_cut_short(tmp_path: Path, share: float) -> None:
    file = tmp_path / "x.pt"
    torch.save({"a": torch.zeros(1000)}, file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"x\.pt: is (cut short or )?damaged"):
        open_weights(file)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_old_format_cut_short(tmp_path: Path, share: float) -> None:
    file = tmp_path / "x.pt"
    torch.save({"a": torch.zeros(1000)}, file, _use_new_zipfile_serialization=False)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"x\.pt: is "):
        open_weights(file)


def test_any_flipped_byte_is_an_error_or_no_harm(tmp_path: Path) -> None:
    """Damage anywhere in the pickle of names: an error of genoseq's, never another one."""
    file = tmp_path / "x.pt"
    torch.save(STATE, file)
    data = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        start = data.index(archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl"))))
    for offset in range(0, 120, 3):
        changed = bytearray(data)
        changed[start + offset] ^= 0x55
        file.write_bytes(bytes(changed))
        with contextlib.suppress(InputError):
            open_weights(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "is no checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
        (b"\x80\x02garbage that is no pickle", "x.pt: is "),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_weights(tmp_path / "x.pt")


def test_zip_that_is_no_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(InputError, match="zip archive, but no checkpoint"):
        open_weights(tmp_path / "x.pt")


def test_torchscript_is_a_program(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/constants.pkl", b"")
        archive.writestr("x/data.pkl", b"")
    with pytest.raises(InputError, match="TorchScript"):
        open_weights(tmp_path / "x.pt")
