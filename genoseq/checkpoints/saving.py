"""``genoseq.save``: a net and its tokenizer as one folder, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from genoseq import __version__
from genoseq.checkpoints.genoseq_format import FORMAT, MARKER, VERSION, hash_file
from genoseq.errors import Pathlike, UsageError
from genoseq.nets.architectures import find_class
from genoseq.outputs import set_new_mode, whole_folder

__all__ = ["save", "write_net"]

SHARD = 5_000_000_000
"""Bytes of the largest file of weights; larger nets are written as several, with an index."""


def save(model: Any, tokenizer: Any, folder: Pathlike) -> None:
    """Write a net and its tokenizer to a folder that `genoseq.load` reads, and transformers too.

    The folder appears whole or not at all. One that stands there is replaced only if genoseq wrote it. Every file is hashed, so
    that a copy that lost something is noticed when it is loaded.

    Args:
        model: a net of genoseq.
        tokenizer: its tokenizer; None to save none.
        folder: where to write.

    Raises:
        UsageError: the net is not one of genoseq's.
        OutputError: the folder cannot be written, or holds something else.
    """
    name = type(model).__name__
    if find_class(name) is None or not hasattr(model, "state_dict"):
        raise UsageError(f"genoseq.save writes the nets of genoseq, not a {name}; use torch.save or safetensors for it")
    with whole_folder(folder, marker=MARKER, known=files_of_net) as place:
        write_net(model, tokenizer, place)


def write_net(model: Any, tokenizer: Any, place: Path) -> None:
    """Write a net and its tokenizer into an empty folder that is there: `save` without the care for the folder."""
    _write_config(model, place / "config.json")
    _write_weights(model.state_dict(keep_vars=True), place)
    if tokenizer is not None:
        tokenizer.save_pretrained(place)
    files = {path.name: hash_file(path) for path in sorted(place.iterdir()) if path.is_file()}
    told = {"format": FORMAT, "version": VERSION, "genoseq": __version__, "class": type(model).__name__, "files": files}
    (place / MARKER).write_text(json.dumps(told, indent=1) + "\n")


def files_of_net(folder: Path) -> set[str]:
    """Names of the files that `write_net` wrote into a folder, by what it says of them there."""
    try:
        return {MARKER, *json.loads((folder / MARKER).read_text())["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {MARKER}


def _write_config(model: Any, path: Path) -> None:
    """The configuration, without where the net was loaded from: that is nobody else's business."""
    values = json.loads(model.config.to_json_string(use_diff=False))
    values |= {"architectures": [type(model).__name__], "dtype": str(model.dtype).removeprefix("torch.")}
    for key in ("_name_or_path", "name_or_path", "transformers_version"):
        values.pop(key, None)
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def _write_weights(state: Mapping[str, Tensor], folder: Path) -> None:
    """Every tensor once, under the first of its names; in several files where one would be too large."""
    once = {id(tensor): name for name, tensor in reversed([*state.items()])}
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name in sorted(once.values()):
        tensor = state[name].detach()
        if size and size + tensor.nbytes > SHARD:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file({name: tensor.cpu().contiguous() for name, tensor in shard.items()}, folder / file, metadata={"format": "pt"})
        set_new_mode(folder / file)
        places |= dict.fromkeys(shard, file)
    if len(shards) > 1:
        total = sum(state[name].nbytes for name in places)
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
