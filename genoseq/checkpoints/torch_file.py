"""Tensors of a file that ``torch.save`` wrote, read without running anything that is in it.

Such a file is a pickle: it may name any function of any installed package and have it called. It is therefore only ever read by
``torch.load(weights_only=True)``, which makes tensors and plain containers and refuses everything else. There is no way around
this, and no option.

Published checkpoints of trainers hold more than weights: settings (``omegaconf``), the state of callbacks and loops
(``lightning``), scaling factors in byte buffers (Transformer Engine). torch refuses those too, weights and all. Here objects of
the packages in `RECORDS` are read as `Record`: a shell of genoseq's own that takes whatever it is given and does nothing. The
package that a name belongs to is neither imported nor called, so this is as safe as refusing it; the weights beside it can be
read. Any other name is refused, and said.
"""

from __future__ import annotations

import pickle
import re
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from genoseq.errors import InputError
from genoseq.outputs import refusal

__all__ = ["Record", "read_torch_file", "state_of"]

RECORDS = frozenset(
    {
        "deepspeed",
        "hydra",
        "lightning",
        "lightning_fabric",
        "lightning_utilities",
        "omegaconf",
        "pytorch_lightning",
        "timm",
        "torchmetrics",
        "transformer_engine",
    }
)
"""Packages whose classes stand in checkpoints for settings and counters; read as `Record`. Their functions are not."""

PLAIN = frozenset(
    {
        "_io.BytesIO",
        "abc.ABCMeta",
        "argparse.Namespace",
        "builtins.dict",
        "builtins.int",
        "builtins.list",
        "builtins.str",
        "builtins.tuple",
        "collections.defaultdict",
        "io.BytesIO",
        "pathlib.PosixPath",
        "typing.Any",
    }
)
"""Classes of Python that settings are made of; read as `Record` too."""

WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
"""Keys under which trainers keep the weights: Lightning's first."""

CONVERT = (
    "if you trust whoever made it, convert it where it was made: "
    "`safetensors.torch.save_file(checkpoint['state_dict'], 'model.safetensors')`"
)

_allowing = threading.Lock()


class Record:
    """Stands for an object of a package in `RECORDS`; keeps nothing and does nothing."""

    def __new__(cls, *_: object, **__: object) -> Record:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_torch_file(path: Path) -> Any:
    """What ``torch.save`` was given. Tensors of a file in the current format are mapped, not read.

    Raises:
        InputError: no such file; no checkpoint; cut short; or one that wants to run code, with the names it would call.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise InputError(refusal(error), path=path) from error
    zipped = start.startswith(b"PK\x03\x04")
    _check_start(path, start, zipped)
    names = _names(path) if zipped else []
    refused = [name for name in names if not _harmless(name)]
    if refused:
        raise _wants_code(path, refused)
    stand_ins: list[Any] = [(_plain_dict if name == "collections.defaultdict" else Record, name) for name in names]
    with _allowing, torch.serialization.safe_globals(stand_ins):
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except pickle.UnpicklingError as error:
            named = re.search(r"(?:GLOBAL|class|function) ([\w.]+)", str(error))
            if named:
                raise _wants_code(path, [named[1]]) from error
            raise InputError(f"is no checkpoint that can be read ({_first_line(error)})", path=path, remedy=CONVERT) from error
        except Exception as error:  # a damaged pickle can make the unpickler fail in any way
            raise InputError(f"is damaged or no checkpoint ({_first_line(error)})", path=path, remedy="fetch it again") from error


def state_of(content: Any, path: Path) -> Mapping[str, Any]:
    """The weights by name in what a file held, out of the wrapping that trainers put around them.

    Raises:
        InputError: there are none.
    """
    candidates: list[Any] = []
    if isinstance(content, Mapping):
        candidates = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        # DeepSpeed's "module" and others may be one level further in.
        candidates += [inner[key] for inner in candidates for key in WRAPPERS if isinstance(inner.get(key), Mapping)]
    candidates.append(content)
    for candidate in candidates:
        if isinstance(candidate, Mapping) and any(isinstance(value, torch.Tensor) for value in candidate.values()):
            return {str(name): value for name, value in candidate.items()}
    if isinstance(content, Mapping):
        held = f"its keys are {', '.join(map(str, list(content)[:8]))}" if content else "it is empty"
    else:
        held = f"it holds a {type(content).__name__}"
    raise InputError(f"holds no weights by name: {held}", path=path)


def _check_start(path: Path, start: bytes, zipped: bool) -> None:
    """Say what a file is that its first bytes show to be no checkpoint."""
    if not start:
        raise InputError("is empty", path=path, remedy="fetch it again")
    if start.startswith(b"version https://git-lfs"):
        raise InputError(
            "is a pointer of Git LFS, not the weights", path=path, remedy="fetch the file itself with `git lfs pull`"
        )
    if zipped:
        return
    if not start.startswith(b"\x80"):  # every pickle of protocol 2 or later, as torch.save writes
        raise InputError("is no checkpoint: it is neither a zip archive nor a pickle", path=path)


def _names(path: Path) -> list[str]:
    """Names of functions and classes in a zipped checkpoint that torch would not take by itself."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(name).name for name in archive.namelist()}
        if "constants.pkl" in members:
            raise InputError("is a TorchScript archive, which is a program and not weights", path=path, remedy=CONVERT)
        if "data.pkl" not in members:
            raise InputError("is a zip archive, but no checkpoint of torch", path=path)
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except InputError:
        raise
    except Exception as error:  # a damaged file can make these readers fail in any way
        raise InputError(f"is cut short or damaged ({_first_line(error)})", path=path, remedy="fetch it again") from error


def _harmless(name: str) -> bool:
    """Whether a name is that of a class of settings; classes, unlike functions, begin with a capital."""
    return name in PLAIN or (name.partition(".")[0] in RECORDS and name.rpartition(".")[2][:1].isupper())


def _plain_dict(*_: object) -> dict[Any, Any]:
    """Stands for ``collections.defaultdict``, into which the unpickler puts items."""
    return {}


def _wants_code(path: Path, names: list[str]) -> InputError:
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return InputError(
        f"wants to have code run when it is read ({shown}), which genoseq never does: only tensors and plain containers are read",
        path=path,
        remedy=CONVERT,
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
