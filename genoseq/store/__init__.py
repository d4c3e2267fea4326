"""Vector stores: binary codes filed by cell, searched by Hamming distance, opened by memory map."""

from genoseq.store.base import CodeStore, RangeResult, SearchResult
from genoseq.store.exact import ExactStore
from genoseq.store.ivf import AnchorIVFStore, ListView

__all__ = ["AnchorIVFStore", "CodeStore", "ExactStore", "ListView", "RangeResult", "SearchResult"]
