"""The classifiers that are compared, by name: how each is made, what it is called in tables, and what was published of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from genoseq.classify.benchmark.pruned import PRUNED, PrunedNCD
from genoseq.classify.estimator import ContextMixtureClassifier
from genoseq.classify.kmer import KmerNeighbors, kmer_naive_bayes, kmer_svm
from genoseq.classify.ncd import ClassCompressor, NCDClassifier

__all__ = ["DESCRIPTIONS", "METHODS", "PUBLISHED"]

COMPRESSORS = {"gzip": "gzip", "bz2": "bzip2", "lzma": "lzma", "brotli": "brotli", "zstd": "zstd"}
"""Compressors of the published recipe, and what their programs are called."""

CANDIDATES = 50


def _exact(compressor: str, threads: int) -> NCDClassifier:
    return NCDClassifier.published(compressor, threads=threads)


def _pruned(compressor: str, threads: int) -> NCDClassifier:
    return PrunedNCD.published(compressor, threads=threads)


def _nearest(compressor: str, threads: int) -> NCDClassifier:
    return NCDClassifier(compressor=compressor, candidates=CANDIDATES, threads=threads)


METHODS: Mapping[str, Callable[[int], Any]] = {
    **{f"{name}-ncd": partial(_exact, name) for name in COMPRESSORS},
    **{f"{name}-ncd-pruned": partial(_pruned, name) for name in PRUNED},
    **{f"{name}-ncd-50": partial(_nearest, name) for name in COMPRESSORS},
    "zstd-conditional": lambda threads: NCDClassifier(compressor="zstd", method="conditional", threads=threads),
    "zstd-3-class": lambda threads: ClassCompressor(level=3, threads=threads),
    "zstd-19-class": lambda threads: ClassCompressor(level=19, threads=threads),
    "kmer-8-nb": lambda threads: kmer_naive_bayes(8),
    "kmer-8-svm": lambda threads: kmer_svm(8),
    "jaccard-12": lambda threads: KmerNeighbors(word=12, threads=threads),
    "aa-3-svm": lambda threads: kmer_svm(3, kind="translated"),
    "mixture": lambda threads: ContextMixtureClassifier(mode="nucleotide", n_jobs=threads),
    "mixture-translated": lambda threads: ContextMixtureClassifier(mode="translated", n_jobs=threads),
    "mixture-combined": lambda threads: ContextMixtureClassifier(mode="combined", n_jobs=threads),
}
"""Makers of the methods by name; each takes the number of threads."""

DESCRIPTIONS = {
    **{f"{name}-ncd": f"{called} NCD, 1-NN, as published" for name, called in COMPRESSORS.items()},
    **{
        f"{name}-ncd-pruned": f"{called} NCD, 1-NN, as published, without pairs that cannot be nearest"
        for name, called in COMPRESSORS.items()
        if name in PRUNED
    },
    **{
        f"{name}-ncd-50": f"{called} NCD, 1-NN among the 50 nearest by 12-mers (not exact)"
        for name, called in COMPRESSORS.items()
    },
    "zstd-conditional": "zstd C(x given y), 1-NN",
    "zstd-3-class": "zstd -3 given the whole class",
    "zstd-19-class": "zstd -19 given the whole class",
    "kmer-8-nb": "8-mers, naive Bayes",
    "kmer-8-svm": "8-mers, linear SVM",
    "jaccard-12": "12-mers, Jaccard 1-NN",
    "aa-3-svm": "amino-acid 3-mers of frame 0, linear SVM",
    "mixture": "genoseq context mixture, nucleotide",
    "mixture-translated": "genoseq context mixture, translated",
    "mixture-combined": "genoseq context mixture, combined (default)",
}

FIGURES = {"gzip": 0.962, "brotli": 0.966, "lzma": 0.958, "bz2": 0.924, "zstd": 0.930}
PUBLISHED = {
    f"{name}-ncd{kind}": share for name, share in FIGURES.items() for kind in ("", "-pruned") if f"{name}-ncd{kind}" in METHODS
}
"""Accuracy in setting O by arXiv 2401.14025."""
