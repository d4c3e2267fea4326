"""genoseq: learned embeddings of sequences, and the pipelines that use them.

Public names are loaded on first use, so that ``import genoseq`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genoseq.align.aligner import Aligner as Aligner
    from genoseq.align.aligner import Alignment as Alignment
    from genoseq.align.index import build_index as build_index
    from genoseq.checkpoints.loading import Loaded as Loaded
    from genoseq.checkpoints.loading import load as load
    from genoseq.checkpoints.saving import save as save
    from genoseq.errors import GenoseqError as GenoseqError
    from genoseq.seqs.fastx import read_fastx as read_fastx
    from genoseq.seqs.record import Record as Record

__version__ = "0.1.0"

_PUBLIC = {
    "Aligner": "genoseq.align.aligner",
    "Alignment": "genoseq.align.aligner",
    "GenoseqError": "genoseq.errors",
    "Loaded": "genoseq.checkpoints.loading",
    "Record": "genoseq.seqs.record",
    "build_index": "genoseq.align.index",
    "load": "genoseq.checkpoints.loading",
    "read_fastx": "genoseq.seqs.fastx",
    "save": "genoseq.checkpoints.saving",
}

__all__ = [
    "Aligner",
    "Alignment",
    "GenoseqError",
    "Loaded",
    "Record",
    "__version__",
    "build_index",
    "load",
    "read_fastx",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'genoseq' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
