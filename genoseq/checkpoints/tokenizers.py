"""The tokenizer that lies beside a net: one that genoseq saved, or one in the common form of ``tokenizer.json``.

Tokenizers that are programs of their own (``tokenization_*.py``) are never run: genoseq has its own of every family.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from genoseq.errors import GenoseqError, InputError

__all__ = ["saved_tokenizer", "tokenizer_settings"]


def tokenizer_settings(folder: Path | None) -> dict[str, Any]:
    """The content of ``tokenizer_config.json``; empty if there is none.

    Raises:
        InputError: it is damaged.
    """
    path = None if folder is None else folder / "tokenizer_config.json"
    if path is None or not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"is not valid JSON ({error})", path=path, remedy="fetch it again") from error
    if not isinstance(settings, dict):
        raise InputError(f"holds a {type(settings).__name__}, expected keys and values", path=path)
    return settings


def saved_tokenizer(folder: Path | None) -> Any:
    """The tokenizer that genoseq saved in a folder, or one that ``tokenizer.json`` describes whole; None if there is neither.

    Raises:
        InputError: its files are damaged, or a newer genoseq wrote them.
    """
    settings = tokenizer_settings(folder)
    if folder is None:
        return None
    name = str(settings.get("tokenizer_class", ""))
    own = _own_class(name) if "genoseq_format" in settings or name.startswith("Genoseq") else None
    try:
        if own is not None:
            return own.from_pretrained(folder)
        if (folder / "tokenizer.json").is_file():
            from transformers import PreTrainedTokenizerFast

            return PreTrainedTokenizerFast.from_pretrained(folder)
    except GenoseqError:
        raise
    except Exception as error:  # transformers and tokenizers raise anything on a damaged file
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"holds a tokenizer that cannot be read ({reason})", path=folder) from error
    return None


def _own_class(name: str) -> Any:
    """The class of a tokenizer of genoseq's by its name; None if there is none."""
    from genoseq.tokenizers.auto import SAVED_CLASSES

    return getattr(import_module(SAVED_CLASSES[name]), name) if name in SAVED_CLASSES else None
