"""What a comparison of classifiers runs: methods, settings, and the measurements that are no single accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genoseq.classify.benchmark.methods import METHODS
from genoseq.classify.settings import SETTINGS
from genoseq.recipes import build_recipe

__all__ = ["BenchmarkPlan", "MethodPlan", "parse_plan"]


@dataclass(frozen=True)
class MethodPlan:
    """A method and where it is run.

    Attributes:
        name: one of :data:`genoseq.classify.benchmark.methods.METHODS`.
        settings: where, of the settings of the plan; empty for all of them.
        subset: test sequences drawn at random in each fold, for slow methods; None tests all.
    """

    name: str
    settings: tuple[str, ...] = ()
    subset: int | None = None

    def __post_init__(self) -> None:
        if self.name not in METHODS:
            raise ValueError(f"method {self.name!r} is unknown; known methods: {', '.join(METHODS)}")
        if self.subset is not None and self.subset < 1:
            raise ValueError(f"subset is {self.subset}, expected at least 1")


@dataclass(frozen=True)
class BenchmarkPlan:
    """What is compared.

    Attributes:
        data: folder of the tables of sequences, see `genoseq.classify.settings`.
        methods: methods, in the order of the table.
        settings: settings, in the order of the table.
        novelty: settings in which the context mixture is asked what is new, see `genoseq.classify.benchmark.novelty`.
        left_out: settings in which one class after another is left out of training and asked for.
        strangers: name of a FASTA file of the data folder with sequences of another kind, for ``novelty``.
        groups: whether rules for homology groups are compared, see `genoseq.classify.benchmark.group_rules`.
        leakage: whether it is measured what training sets hold of test sets.
        output: folder of the results.
        seed: of splits and subsets.
        threads: threads of a method.
    """

    data: str
    methods: tuple[MethodPlan, ...] = ()
    settings: tuple[str, ...] = ("A", "B", "C", "C5", "S5", "O")
    novelty: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    strangers: str = "ecoli_k12_cds.fna"
    groups: bool = False
    leakage: bool = True
    output: str = "results"
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        named = (*self.settings, *(s for m in self.methods for s in m.settings), *self.novelty, *self.left_out)
        wrong = [name for name in named if name not in SETTINGS]
        if wrong:
            raise ValueError(f"setting {wrong[0]!r} is unknown; known settings: {', '.join(SETTINGS)}")
        if len({method.name for method in self.methods}) < len(self.methods):
            raise ValueError("a method is named twice")
        for method in self.methods:
            if absent := [name for name in method.settings if name not in self.settings]:
                raise ValueError(
                    f"method {method.name!r} is to run in {', '.join(absent)}, which the plan does not have "
                    f"(settings: {', '.join(self.settings)}): add to them, or take it from the method"
                )

    def method(self, name: str) -> MethodPlan:
        """The method of this name."""
        return next(method for method in self.methods if method.name == name)

    def jobs(self) -> list[tuple[str, str]]:
        """Names of method and setting of every run."""
        return [(m.name, s) for m in self.methods for s in self.settings if not m.settings or s in m.settings]


def parse_plan(values: Mapping[str, Any]) -> BenchmarkPlan:
    """The plan from nested mappings, such as a Snakemake configuration.

    Raises:
        RecipeError: an unknown key, method or setting, or a value that does not fit.
    """
    return build_recipe(values, BenchmarkPlan, name="configuration")
