"""Small checkpoints for the tests, made from nets with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

ESM = {
    "architectures": ["EsmForMaskedLM"],
    "model_type": "esm",
    "vocab_size": 33,
    "mask_token_id": 32,
    "pad_token_id": 1,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "position_embedding_type": "rotary",
    "token_dropout": True,
    "tie_word_embeddings": True,
}

Writer = Callable[..., Path]


def _write(
    folder: Path, state: Mapping[str, Tensor], config: Mapping[str, Any] | None, *, file: str = "model.safetensors"
) -> Path:
    """Write a folder with weights and configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    if file.endswith(".safetensors"):
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / file)
    else:
        torch.save(dict(state), folder / file)
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small nets: more threads only wait for each other, most of all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def write_checkpoint() -> Writer:
    """Writes a folder with weights and configuration: ``(folder, state, config, file=...)``."""
    return _write


@pytest.fixture
def esm_config() -> dict[str, Any]:
    """The configuration of a small ESM-2."""
    return dict(ESM)


@pytest.fixture
def esm_state() -> dict[str, Tensor]:
    """Weights of a small ESM-2 with a language head, the map to the vocabulary left out: it is the table of embeddings."""
    from genoseq.nets.models.esm import EsmConfig, EsmForMaskedLM

    torch.manual_seed(0)
    values = {key: value for key, value in ESM.items() if key not in ("architectures", "model_type")}
    net = EsmForMaskedLM(EsmConfig(**values))
    state = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
    del state["lm_head.decoder.weight"]
    return state


@pytest.fixture
def esm(tmp_path: Path, esm_state: dict[str, Tensor]) -> Path:
    """A folder with a small ESM-2, as on the hub."""
    return _write(tmp_path / "esm", esm_state, ESM)
