"""Recipe of a language model of sequences: everything that decides its weights, with defaults.

Read by :func:`genoseq.recipes.load_recipe`. Paths are relative to the recipe's folder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["LanguageData", "LanguageOptimiser", "LanguageRecipe", "LengthStage", "Tokens"]


@dataclass(frozen=True)
class Tokens:
    """The tokenizer.

    Attributes:
        name: one of ``genoseq.tokenizers.names()``.
        options: its own.
    """

    name: str = "nucleotide"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LanguageData:
    """What is learnt from, and what is judged on.

    Attributes:
        train: FASTA files.
        validation: FASTA files of which nothing is learnt; how much of them occurs in ``train`` is measured and reported.
        length: tokens per training window.
        both_strands: each window is from either strand with even chance.
        windows: validation windows judged, evenly spread.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    length: int = 1024
    both_strands: bool = True
    windows: int = 200

    def __post_init__(self) -> None:
        if not self.train or not self.validation:
            raise ValueError("train and validation need at least one FASTA file each")
        if self.length < 8 or self.windows < 1:
            raise ValueError(f"length is {self.length}, windows {self.windows}; expected at least 8 and 1")


@dataclass(frozen=True)
class LengthStage:
    """A part of training with shorter windows (sequence length warm-up; Nguyen et al. 2023): cheaper, and steadier at the start.

    Attributes:
        until: share of the steps at which it ends.
        length: tokens per window; the batch grows so that a step sees as many tokens as any other.
    """

    until: float
    length: int

    def __post_init__(self) -> None:
        if not 0 < self.until <= 1 or self.length < 8:
            raise ValueError(f"until is {self.until}, length {self.length}; expected a share of the steps and at least 8")


@dataclass(frozen=True)
class LanguageOptimiser:
    """AdamW with a linear warm-up and a cosine decay.

    Attributes:
        rate: highest learning rate.
        final: fraction of it that is left at the end.
        warm_up: share of the steps.
        betas: decay of the two moments.
        weight_decay: of matrices; vectors (norms, biases, decays) have none.
        clip: largest norm of the gradient.
    """

    rate: float = 2.0e-3
    final: float = 0.05
    warm_up: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    clip: float = 1.0

    def __post_init__(self) -> None:
        if not (self.rate > 0 and 0 <= self.final <= 1 and 0 <= self.warm_up < 1 and self.clip > 0 and self.weight_decay >= 0):
            raise ValueError("expected rate and clip above 0, final and warm_up from 0 to 1, weight_decay not negative")

    def rate_at(self, step: int, *, steps: int) -> float:
        """The learning rate at a step, from 0, of ``steps``; never above ``rate``, however short the warm-up."""
        warm_up = self.warm_up * steps
        if step < warm_up:
            return self.rate * ((step + 1) / max(1.0, warm_up))
        done = (step - warm_up) / max(1.0, steps - warm_up)
        return self.rate * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class LanguageRecipe:
    """A language model of sequences.

    Attributes:
        architecture: of the net, as in configurations' ``model_type``: for example ``genoseq_hybrid``, ``genoseq_mamba``,
            ``hyenadna``, ``caduceus``, ``hnet``, ``mergedna``.
        net: the configuration's values.
        objective: predict the next token, or tokens that were masked.
        masked: share of tokens masked; MergeDNA, which masks its own words in training, is only judged by it.
        steps: of the optimiser.
        batch: windows per step (of full length).
        stages: lengths before the full one.
        precision: of the net's arithmetic in training; the weights are float32.
        checkpointing: make activations again in the backward pass instead of keeping them.
        threads: of the CPU; another number may give other rounding.
    """

    net: dict[str, Any]
    data: LanguageData
    model: Literal["language-model"] = "language-model"
    seed: int = 0
    architecture: str = "genoseq_hybrid"
    tokens: Tokens = field(default_factory=Tokens)
    objective: Literal["causal", "masked"] = "causal"
    masked: float = 0.15
    steps: int = 1000
    batch: int = 16
    stages: tuple[LengthStage, ...] = ()
    optimiser: LanguageOptimiser = field(default_factory=LanguageOptimiser)
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpointing: bool = False
    threads: int = 2

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.threads < 1:
            raise ValueError(f"steps is {self.steps}, batch {self.batch}, threads {self.threads}; expected at least 1")
        if not 0 < self.masked < 1:
            raise ValueError(f"masked is {self.masked}; expected a share of the tokens between 0 and 1")
        ends = [stage.until for stage in self.stages]
        if ends != sorted(ends):
            raise ValueError(f"stages end at {ends}; expected rising shares of the steps")

    def length_at(self, step: int) -> int:
        """Tokens per window at a step."""
        for stage in self.stages:
            if step < stage.until * self.steps:
                return stage.length
        return self.data.length
