"""The nets of genoseq by kind and head: where each class is, so that listing and registering them imports nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from genoseq.errors import UsageError
from genoseq.registry import suggestion

__all__ = ["ARCHITECTURES", "HEADS", "Architecture", "find_class"]

HEADS = {
    "backbone": "Model",
    "causal_lm": "ForCausalLM",
    "masked_lm": "ForMaskedLM",
    "sequence": "ForSequenceClassification",
    "token": "ForTokenClassification",
}
"""What a net can be loaded for, and how the names of such classes end."""


@dataclass(frozen=True)
class Architecture:
    """One kind of net.

    Attributes:
        model_type: its name in configurations.
        module: where its classes are.
        stem: what the names of its classes begin with.
        heads: those of `HEADS` that it has.
    """

    model_type: str
    module: str
    stem: str
    heads: tuple[str, ...]

    @property
    def config_class(self) -> Any:
        """The class of its configurations."""
        return getattr(import_module(self.module), f"{self.stem}Config")

    def class_name(self, head: str) -> str:
        """Name of the class with a head.

        Raises:
            UsageError: it has no such head; the message lists those it has.
        """
        if head not in self.heads:
            known = ", ".join(self.heads)
            raise UsageError(f"{self.stem} has no head {head!r}{suggestion(head, self.heads)}; it has: {known}")
        return self.stem + HEADS[head]

    def net_class(self, head: str) -> Any:
        """The class with a head."""
        return getattr(import_module(self.module), self.class_name(head))


def _table() -> Mapping[str, Architecture]:
    causal = ("backbone", "causal_lm", "sequence", "token")
    masked = ("backbone", "masked_lm", "sequence", "token")
    rows = (
        ("hyenadna", "hyenadna", "HyenaDNA", causal),
        ("caduceus", "caduceus", "Caduceus", ("backbone", "masked_lm", "causal_lm", "sequence", "token")),
        ("genoseq_mamba", "mamba", "Mamba", causal),
        ("stripedhyena", "stripedhyena", "StripedHyena", causal),
        ("evo2", "evo2", "Evo2", causal),
        ("hnet", "hnet", "HNet", ("backbone", "causal_lm")),
        ("genoseq_esm", "esm", "Esm", masked),
        ("dnabert2", "dnabert2", "DNABert2", masked),
        ("mergedna", "mergedna", "MergeDNA", masked),
        ("poet", "poet", "PoET", causal),
        ("genoseq_hybrid", "hybrid", "Hybrid", ("backbone", "causal_lm", "masked_lm", "sequence", "token")),
    )
    return {
        model_type: Architecture(model_type, f"genoseq.nets.models.{module}", stem, heads)
        for model_type, module, stem, heads in rows
    }


ARCHITECTURES = _table()


def find_class(name: str) -> tuple[Architecture, str] | None:
    """The architecture and head of a class by its name; None if genoseq has no such class.

    >>> find_class("HyenaDNAForCausalLM")[1]
    'causal_lm'
    """
    for architecture in ARCHITECTURES.values():
        for head in architecture.heads:
            if architecture.class_name(head) == name:
                return architecture, head
    return None
