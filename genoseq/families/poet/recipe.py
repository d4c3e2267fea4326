"""Recipe of a PoET trained from scratch: everything that decides its weights, with defaults.

Read by :func:`genoseq.recipes.load_recipe`. Paths are relative to the recipe's folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from genoseq.train.language_recipe import LanguageOptimiser

__all__ = ["FamilyData", "PoETRecipe"]


@dataclass(frozen=True)
class FamilyData:
    """What is learnt from, and what is judged on: one file a family.

    Attributes:
        train: alignments or FASTA files, or patterns of them (``families/*.a3m.gz``).
        validation: families of which nothing is learnt.
        context: tokens per set of sequences.
        sets: validation sets of each family.
        reverse: share of the training sets that are read from the last residues.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    context: int = 2048
    sets: int = 5
    reverse: float = 0.5

    def __post_init__(self) -> None:
        if not self.train or not self.validation:
            raise ValueError("train and validation need at least one family each")
        if self.context < 8 or self.sets < 1 or not 0 <= self.reverse <= 1:
            raise ValueError(
                f"context is {self.context}, sets {self.sets}, reverse {self.reverse}; expected at least 8 and 1, and a share"
            )


@dataclass(frozen=True)
class PoETRecipe:
    """PoET, trained on sets of sequences of families.

    Attributes:
        net: values of `genoseq.nets.models.poet.PoETConfig`.
        steps: of the optimiser.
        batch_tokens: tokens of a step: as many sets as fit, one at least.
        precision: of the net's arithmetic in training; the weights are float32.
        checkpointing: make activations again in the backward pass instead of keeping them.
        threads: of the CPU; another number may give other rounding.
    """

    net: dict[str, Any]
    data: FamilyData
    model: Literal["poet"] = "poet"
    seed: int = 0
    steps: int = 1000
    batch_tokens: int = 16_384
    optimiser: LanguageOptimiser = field(default_factory=LanguageOptimiser)
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpointing: bool = False
    threads: int = 2

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_tokens < 1 or self.threads < 1:
            raise ValueError(
                f"steps is {self.steps}, batch_tokens {self.batch_tokens}, threads {self.threads}; expected at least 1"
            )
