"""Weights of a checkpoint by name, whatever files they are in; types and shapes are known before any data are read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from genoseq.checkpoints.safetensors_file import SafetensorsFile, TensorInfo
from genoseq.checkpoints.torch_file import read_torch_file, state_of
from genoseq.errors import InputError, Pathlike
from genoseq.outputs import refusal

__all__ = ["SAFETENSORS", "TORCH", "Weights", "find_weights", "open_weights"]

SAFETENSORS = (".safetensors",)
TORCH = (".bin", ".pt", ".pth", ".ckpt")

# Names that weights have in a folder, the first found is taken: one file before shards, safetensors before pickles.
ORDER = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "weights.ckpt",
    "pytorch_model.pt",
)
AGAIN = "fetch it again"

# Files that look like weights and are something else.
NO_WEIGHTS = ("optimizer", "scheduler", "training_args", "rng_state", "adapter_model", "grads")


class Weights:
    """Tensors by name. ``name in weights``, ``len(weights)`` and iteration are over the names.

    Attributes:
        path: the file, or the index of the shards; for messages.
        others: names that stand for something other than a tensor (scaling factors of kernels, for example).
        pickled: True if the weights are in files of torch's own format.
    """

    def __init__(self, path: Path, tensors: Mapping[str, Any], *, others: Iterable[str] = (), pickled: bool = False) -> None:
        self.path = path
        self.others = frozenset(others)
        self.pickled = pickled
        self._tensors = dict(tensors)

    @classmethod
    def from_state(cls, state: Mapping[str, Any], path: Path) -> Weights:
        """Of a dictionary of tensors, as torch keeps them."""
        tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        others = [name for name, value in state.items() if not isinstance(value, Tensor)]
        return cls(path, tensors, others=others, pickled=True)

    @classmethod
    def from_safetensors(cls, file: SafetensorsFile) -> Weights:
        """Of one safetensors file."""
        return cls(file.path, dict.fromkeys(file.tensors, file))

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def info(self, name: str) -> TensorInfo:
        """Type and shape of a tensor."""
        holder = self._tensors[name]
        if isinstance(holder, Tensor):
            return TensorInfo(holder.dtype, tuple(holder.shape))
        known: TensorInfo = holder.tensors[name]
        return known

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.info(name).shape

    def read(self, name: str) -> Tensor:
        """The tensor, in memory of its own.

        Raises:
            InputError: the file cannot be read, or numbers of the tensor are NaN or infinite.
        """
        holder = self._tensors[name]
        if isinstance(holder, Tensor):
            tensor = holder.detach().to(device="cpu", copy=True, memory_format=torch.contiguous_format)
        else:
            tensor = holder.read(name)
        _check_finite(tensor, name, self.path)
        return tensor


def open_weights(path: Pathlike) -> Weights:
    """Weights of a file, of the shards that an index lists, or of a folder that holds one or the other.

    Raises:
        InputError: there are none; a shard is missing; a file is damaged, cut short, or wants to run code.
    """
    place = find_weights(Path(path)) if Path(path).is_dir() else Path(path)
    if place.name.endswith(".index.json"):
        return _sharded(place)
    return _one_file(place)


def find_weights(folder: Path) -> Path:
    """The file of weights in a folder, or the index of its shards.

    Raises:
        InputError: there is none, more than one, or shards without an index.
    """
    try:
        files = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise InputError(refusal(error), path=folder) from error
    for name in ORDER:
        if name in files:
            return folder / name
    found = [name for name in files if name.endswith((*SAFETENSORS, *TORCH)) and not name.startswith(NO_WEIGHTS)]
    preferred = [name for name in found if name.endswith(SAFETENSORS)] or found
    shards = [name for name in preferred if "-of-" in name]
    if shards:
        index = "model.safetensors.index.json" if shards[0].endswith(SAFETENSORS) else "pytorch_model.bin.index.json"
        raise InputError(f"holds shards of weights ({shards[0]}, ...) but not their index {index}", path=folder)
    if len(preferred) == 1:
        return folder / preferred[0]
    if preferred:
        raise InputError(f"holds more than one file of weights: {', '.join(preferred)}", path=folder, remedy="name one of them")
    parts = [name for name in files if ".pt.part" in name]
    if parts:
        whole = parts[0].partition(".part")[0]
        remedy = f"put them together: `cat {whole}.part* > {whole}`"
        raise InputError(f"holds weights in {len(parts)} parts ({parts[0]}, ...)", path=folder, remedy=remedy)
    held = f"it holds {', '.join(files[:6])}{', ...' if len(files) > 6 else ''}" if files else "it is empty"
    expected = "model.safetensors, pytorch_model.bin, or one file ending in .safetensors, .bin, .pt, .pth or .ckpt"
    raise InputError(f"holds no weights: {held}; expected {expected}", path=folder)


def _one_file(path: Path) -> Weights:
    if path.suffix in SAFETENSORS:
        return Weights.from_safetensors(SafetensorsFile(path))
    if path.suffix in TORCH or not path.exists():
        return Weights.from_state(state_of(read_torch_file(path), path), path)
    endings = ", ".join((*SAFETENSORS, *TORCH))
    raise InputError(f"is no file of weights that genoseq knows: their names end in {endings}", path=path)


def _sharded(index: Path) -> Weights:
    """Weights in the shards that an index lists."""
    try:
        places = json.loads(index.read_bytes())["weight_map"]
        shards: dict[str, list[str]] = {}
        for name, file in places.items():
            shards.setdefault(file, []).append(name)
    except OSError as error:
        raise InputError(refusal(error), path=index) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"is no index of shards ({type(error).__name__}: {error})", path=index, remedy="fetch it again"
        ) from error
    outside = [file for file in shards if not file or PurePosixPath(file).name != file or file in (".", "..")]
    if outside:
        raise InputError(f"names a shard outside its own folder ({outside[0]!r}), which is not read", path=index)
    missing = sorted(file for file in shards if not (index.parent / file).is_file())
    if missing:
        shown = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
        lost = sum(len(shards[file]) for file in missing)
        found = f"{len(missing)} of {len(shards)} shards missing: {shown} ({lost} of {len(places)} tensors)"
        raise InputError(found, path=index, remedy=f"fetch the missing files into {index.parent}")
    tensors: dict[str, Any] = {}
    others: set[str] = set()
    pickled = False
    for file, names in sorted(shards.items()):
        part = _one_file(index.parent / file)
        absent = [name for name in names if name not in part and name not in part.others]
        if absent:
            found = f"lacks {len(absent)} of the {len(names)} tensors that {index.name} says it holds, the first {absent[0]!r}"
            raise InputError(found, path=index.parent / file, remedy="fetch the index and its shards again, together")
        # What a shard holds besides, another shard may be meant to hold.
        extra = {name: part._tensors[name] for name in part if name not in places}
        tensors |= extra | {name: part._tensors[name] for name in names if name in part}
        others |= part.others
        pickled = pickled or part.pickled
    return Weights(index, tensors, others=others, pickled=pickled)


def _check_finite(tensor: Tensor, name: str, path: Path) -> None:
    """Refuse NaN and infinity: the smallest and largest number show both, and finding them needs no memory."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
        return
    numbers = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    if tensor.dtype.itemsize < 2:  # numbers of eight bits have no order in torch
        numbers = numbers.float()
    low, high = torch.aminmax(numbers)
    if bool(low.isfinite()) and bool(high.isfinite()):
        return
    bad = ~(tensor if tensor.dtype.itemsize >= 2 else numbers).isfinite()
    first = [int(number) for number in bad.nonzero()[0]]
    kind = "NaN" if bool(numbers.isnan().any()) else "infinite"
    raise InputError(
        f"{int(bad.sum()):,} of the {tensor.numel():,} numbers of tensor {name!r} are {kind}, the first at {first}",
        path=path,
        remedy="the file is damaged, or training had diverged when it was written: use an earlier checkpoint",
    )
