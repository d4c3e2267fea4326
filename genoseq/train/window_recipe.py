"""Recipe of the window encoder: everything that decides its table, with defaults.

Read by :func:`genoseq.recipes.load_recipe`; the sections ``genomes`` and ``ends`` are those of
:mod:`genoseq.train.window_data`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from genoseq.train.window_data import Genomes, ReadEnds

__all__ = ["Evaluation", "Objective", "Optimiser", "WindowRecipe"]


@dataclass(frozen=True)
class Objective:
    """What is optimised.

    Attributes:
        hamming: weight of the loss of bits against bits.
        sums: weight of the loss of query sums against bits.
        sharpness: scale of the scores (in standard deviations of a false pair's score) at the start; it is
            learnt.
        width: half-width of the interval around zero in which a sum lets the gradient through to its bit.
    """

    hamming: float = 1.0
    sums: float = 1.0
    sharpness: float = 3.5
    width: float = 1.2

    def __post_init__(self) -> None:
        if self.hamming < 0 or self.sums < 0 or self.hamming + self.sums == 0:
            raise ValueError(
                f"hamming is {self.hamming}, sums {self.sums}; expected weights of which one is positive"
            )
        if not (self.sharpness > 0 and self.width > 0):
            raise ValueError(f"sharpness is {self.sharpness}, width {self.width}; expected more than 0")


@dataclass(frozen=True)
class Optimiser:
    """Adam with a linear warm-up and a cosine decay.

    Attributes:
        rate: highest learning rate.
        final: fraction of it that is left at the end.
        warm_up: steps.
        betas: decay of Adam's two moments.
    """

    rate: float = 0.02
    final: float = 0.02
    warm_up: int = 100
    betas: tuple[float, float] = (0.9, 0.98)

    def __post_init__(self) -> None:
        if not (self.rate > 0 and 0 <= self.final <= 1 and self.warm_up >= 0):
            raise ValueError("expected rate above 0, final from 0 to 1, warm_up of at least 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {list(self.betas)}; expected 0 to less than 1")


@dataclass(frozen=True)
class Evaluation:
    """Trials on random genomes never trained on.

    Attributes:
        groups: genomes; windows, queries: of each.
        edits: edit rates.
        seed: of the trials.
    """

    groups: int = 16
    windows: int = 1000
    queries: int = 200
    edits: tuple[float, ...] = (0.05, 0.1, 0.2, 0.25)
    seed: int = 2024

    def __post_init__(self) -> None:
        if min(self.groups, self.queries) < 1 or self.windows < 2 or not self.edits:
            raise ValueError(
                "expected groups and queries of at least 1, windows of at least 2, and some edits"
            )
        if not all(0 <= rate < 1 for rate in self.edits):
            raise ValueError(f"edits are {list(self.edits)}; expected rates from 0 to less than 1")


@dataclass(frozen=True)
class WindowRecipe:
    """Everything that decides a table.

    Attributes:
        model: what the recipe makes.
        seed: of the first table and the data.
        context: bases per feature, 1 to 3; the table has ``4**context`` vectors per position.
        smoothing: standard deviation (bp) of the Gaussian that smooths the first, random table along each
            flank.
        steps: batches; batch: pairs in each, all from one random genome.
        threads: cores. Another number may round sums in another order and so give other weights.
        edits: range of edit rates in training, edits per base.
    """

    model: Literal["window-encoder"] = "window-encoder"
    seed: int = 0
    context: int = 1
    smoothing: float = 1.0
    steps: int = 6000
    batch: int = 1024
    threads: int = 1
    edits: tuple[float, float] = (0.08, 0.28)
    genomes: Genomes = field(default_factory=Genomes)
    ends: ReadEnds = field(default_factory=ReadEnds)
    objective: Objective = field(default_factory=Objective)
    optimiser: Optimiser = field(default_factory=Optimiser)
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; expected at least 0")
        if self.context not in (1, 2, 3):
            raise ValueError(f"context is {self.context}; expected 1, 2 or 3")
        if self.smoothing < 0:
            raise ValueError(f"smoothing is {self.smoothing}; expected at least 0")
        if self.steps < 0 or self.batch < 2 or self.threads < 1:
            found = f"steps is {self.steps}, batch {self.batch}, threads {self.threads}"
            raise ValueError(f"{found}; expected at least 0, 2, 1")
        if not 0 <= self.edits[0] <= self.edits[1] < 1:
            raise ValueError(f"edits is {list(self.edits)}; expected a range inside 0 to 1, lower end first")
