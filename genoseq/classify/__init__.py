"""Classification by compression: context mixtures, compression distances, k-mer neighbours, and honest evaluation.

Names are loaded on first use, so that importing this costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genoseq.classify.distance_files import read_distances as read_distances
    from genoseq.classify.distances import DistanceMatrix as DistanceMatrix
    from genoseq.classify.distances import code_length_distances as code_length_distances
    from genoseq.classify.distances import compression_distances as compression_distances
    from genoseq.classify.distances import conditional_distances as conditional_distances
    from genoseq.classify.distances import word_distances as word_distances
    from genoseq.classify.estimator import ContextMixtureClassifier as ContextMixtureClassifier
    from genoseq.classify.evaluation import SplitResult as SplitResult
    from genoseq.classify.evaluation import evaluate as evaluate
    from genoseq.classify.homology import HomologyGroupKFold as HomologyGroupKFold
    from genoseq.classify.homology import homology_groups as homology_groups
    from genoseq.classify.kmer import KmerCounts as KmerCounts
    from genoseq.classify.kmer import KmerNeighbors as KmerNeighbors
    from genoseq.classify.kmer import kmer_naive_bayes as kmer_naive_bayes
    from genoseq.classify.kmer import kmer_svm as kmer_svm
    from genoseq.classify.labelled import read_labelled as read_labelled
    from genoseq.classify.leakage import LeakageReport as LeakageReport
    from genoseq.classify.leakage import leakage_report as leakage_report
    from genoseq.classify.model_file import load_classifier as load_classifier
    from genoseq.classify.model_file import save_classifier as save_classifier
    from genoseq.classify.ncd import ClassCompressor as ClassCompressor
    from genoseq.classify.ncd import NCDClassifier as NCDClassifier
    from genoseq.classify.trees import midpoint_rooted as midpoint_rooted
    from genoseq.classify.trees import neighbour_joining as neighbour_joining
    from genoseq.classify.trees import newick as newick
    from genoseq.classify.trees import upgma as upgma
    from genoseq.classify.words import Words as Words

_PUBLIC = {
    "ClassCompressor": "genoseq.classify.ncd",
    "ContextMixtureClassifier": "genoseq.classify.estimator",
    "DistanceMatrix": "genoseq.classify.distances",
    "HomologyGroupKFold": "genoseq.classify.homology",
    "KmerCounts": "genoseq.classify.kmer",
    "KmerNeighbors": "genoseq.classify.kmer",
    "LeakageReport": "genoseq.classify.leakage",
    "NCDClassifier": "genoseq.classify.ncd",
    "SplitResult": "genoseq.classify.evaluation",
    "Words": "genoseq.classify.words",
    "code_length_distances": "genoseq.classify.distances",
    "compression_distances": "genoseq.classify.distances",
    "conditional_distances": "genoseq.classify.distances",
    "evaluate": "genoseq.classify.evaluation",
    "homology_groups": "genoseq.classify.homology",
    "kmer_naive_bayes": "genoseq.classify.kmer",
    "kmer_svm": "genoseq.classify.kmer",
    "leakage_report": "genoseq.classify.leakage",
    "load_classifier": "genoseq.classify.model_file",
    "midpoint_rooted": "genoseq.classify.trees",
    "neighbour_joining": "genoseq.classify.trees",
    "newick": "genoseq.classify.trees",
    "read_distances": "genoseq.classify.distance_files",
    "read_labelled": "genoseq.classify.labelled",
    "save_classifier": "genoseq.classify.model_file",
    "upgma": "genoseq.classify.trees",
    "word_distances": "genoseq.classify.distances",
}

__all__ = [
    "ClassCompressor",
    "ContextMixtureClassifier",
    "DistanceMatrix",
    "HomologyGroupKFold",
    "KmerCounts",
    "KmerNeighbors",
    "LeakageReport",
    "NCDClassifier",
    "SplitResult",
    "Words",
    "code_length_distances",
    "compression_distances",
    "conditional_distances",
    "evaluate",
    "homology_groups",
    "kmer_naive_bayes",
    "kmer_svm",
    "leakage_report",
    "load_classifier",
    "midpoint_rooted",
    "neighbour_joining",
    "newick",
    "read_distances",
    "read_labelled",
    "save_classifier",
    "upgma",
    "word_distances",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'genoseq.classify' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
