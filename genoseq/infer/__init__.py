"""Using a model: embeddings, likelihoods, effects of variants, generation.

Names are loaded on first use, so that importing this costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genoseq.infer.embedding import Embedded as Embedded
    from genoseq.infer.embedding import Embeddings as Embeddings
    from genoseq.infer.embedding import embed as embed
    from genoseq.infer.embedding import iter_embeddings as iter_embeddings
    from genoseq.infer.generation import Generated as Generated
    from genoseq.infer.generation import Sampling as Sampling
    from genoseq.infer.generation import generate as generate
    from genoseq.infer.likelihood import Score as Score
    from genoseq.infer.likelihood import per_base as per_base
    from genoseq.infer.likelihood import score as score
    from genoseq.infer.mutagenesis import Mutagenesis as Mutagenesis
    from genoseq.infer.mutagenesis import mutate as mutate
    from genoseq.infer.mutagenesis_figure import draw_mutagenesis as draw_mutagenesis
    from genoseq.infer.reference import Reference as Reference
    from genoseq.infer.segmentation import segmenter as segmenter
    from genoseq.infer.variants import AltScore as AltScore
    from genoseq.infer.variants import Variant as Variant
    from genoseq.infer.variants import VariantScore as VariantScore
    from genoseq.infer.variants import score_variants as score_variants

_PUBLIC = {
    "AltScore": "genoseq.infer.variants",
    "Embedded": "genoseq.infer.embedding",
    "Embeddings": "genoseq.infer.embedding",
    "Generated": "genoseq.infer.generation",
    "Mutagenesis": "genoseq.infer.mutagenesis",
    "Reference": "genoseq.infer.reference",
    "Sampling": "genoseq.infer.generation",
    "Score": "genoseq.infer.likelihood",
    "Variant": "genoseq.infer.variants",
    "VariantScore": "genoseq.infer.variants",
    "draw_mutagenesis": "genoseq.infer.mutagenesis_figure",
    "embed": "genoseq.infer.embedding",
    "generate": "genoseq.infer.generation",
    "iter_embeddings": "genoseq.infer.embedding",
    "mutate": "genoseq.infer.mutagenesis",
    "per_base": "genoseq.infer.likelihood",
    "score": "genoseq.infer.likelihood",
    "score_variants": "genoseq.infer.variants",
    "segmenter": "genoseq.infer.segmentation",
}

__all__ = [
    "AltScore",
    "Embedded",
    "Embeddings",
    "Generated",
    "Mutagenesis",
    "Reference",
    "Sampling",
    "Score",
    "Variant",
    "VariantScore",
    "draw_mutagenesis",
    "embed",
    "generate",
    "iter_embeddings",
    "mutate",
    "per_base",
    "score",
    "score_variants",
    "segmenter",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'genoseq.infer' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
