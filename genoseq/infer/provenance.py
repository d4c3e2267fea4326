"""Which model and tokenizer a result comes from: hashes that every file written by inference carries."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

import torch

from genoseq import __version__
from genoseq.nets.base import Net

__all__ = ["Provenance", "model_hash", "provenance_of", "tokenizer_hash"]


class Provenance(NamedTuple):
    """Where results come from.

    Attributes:
        model: what the user called the model.
        model_sha256: see `model_hash`.
        tokenizer_sha256: see `tokenizer_hash`.
        options: the options that the results depend on.
    """

    model: str
    model_sha256: str
    tokenizer_sha256: str
    options: dict[str, Any]

    def described(self, format_name: str, version: int) -> str:
        """All of it as one line of JSON, with the name and version of the file's format."""
        content = {
            "format": format_name,
            "version": version,
            "genoseq": __version__,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "tokenizer_sha256": self.tokenizer_sha256,
            "options": self.options,
        }
        return json.dumps(content, ensure_ascii=True)


def provenance_of(model: Net, tokenizer: Any, *, name: str, options: dict[str, Any]) -> Provenance:
    """The provenance of results of this model and tokenizer."""
    return Provenance(name, model_hash(model), tokenizer_hash(tokenizer), options)


def model_hash(model: Net) -> str:
    """SHA-256 of the class, and of name, type, shape and bytes of every weight and buffer that is saved with the model."""
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, value in sorted(model.state_dict().items()):
        plain = value.detach().cpu().contiguous()
        digest.update(f"\n{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(memoryview(plain.reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


def tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 of what decides the tokens: the tokenizer's own digest, else its class, vocabulary and special tokens."""
    own = getattr(tokenizer, "digest", None)
    if isinstance(own, str):
        return own
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda pair: (pair[1], pair[0]))
    special = sorted((name, str(token)) for name, token in tokenizer.special_tokens_map.items())
    content = json.dumps([type(tokenizer).__name__, vocabulary, special])
    return hashlib.sha256(content.encode()).hexdigest()
