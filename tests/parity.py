"""Reference vectors of public model families, which the project does not carry; tests that need them skip where they are absent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["arrays", "assert_close", "config", "parity_case", "weights"]

ROOT = Path(__file__).resolve().parent.parent
# What "the same" means for logits, hidden states and gradients in float32: |a - b| <= 1e-4 + 1e-4 |b|.
TOLERANCE = 1e-4


def parity_case(name: str) -> Path:
    """The folder of one case; skips the test where there is none."""
    folder = Path(os.environ.get("GENOSEQ_SHARED", ROOT.parent / "shared")) / "parity" / name
    if not folder.is_dir():
        pytest.skip(f"no reference vectors {name} (set GENOSEQ_SHARED to the folder that holds parity/)")
    return folder


def config(folder: Path) -> dict[str, Any]:
    """The case's config.json."""
    values: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return values


def weights(folder: Path, file: str = "model.safetensors") -> dict[str, Tensor]:
    """The tensors of a safetensors file of the case."""
    return load_file(str(folder / file))


def arrays(folder: Path) -> dict[str, Tensor]:
    """All .npy files of the case by their name without the ending."""
    return {path.stem: torch.from_numpy(np.asarray(np.load(path))) for path in sorted(folder.glob("*.npy"))}


def assert_close(found: Tensor, expected: Tensor, *, tolerance: float = TOLERANCE) -> None:
    """Fail unless |found - expected| <= tolerance + tolerance |expected| everywhere."""
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=tolerance, atol=tolerance)
