"""Rules for homology groups compared: how many groups, how even the folds, how much of a test sequence training still holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genoseq.classify.benchmark.plan import BenchmarkPlan
from genoseq.classify.homology import HomologyGroupKFold, homology_groups
from genoseq.classify.leakage import leakage_report
from genoseq.classify.settings import FOLDS, RULES, find_file, read_labelled

__all__ = ["RuleResult", "compare_rules"]


@dataclass(frozen=True)
class RuleResult:
    """A rule on the human sequences.

    Attributes:
        rule: what it is called.
        groups: number of groups.
        largest: sequences of the largest.
        sizes: test sequences of each fold.
        above_tenth, above_half: share of the test sequences with more than 10 % (50 %) of their 16-mers in one training sequence.
        covered: mean share of the 16-mers of a test sequence that are anywhere in training.
    """

    rule: str
    groups: int
    largest: int
    sizes: tuple[int, ...]
    above_tenth: float
    above_half: float
    covered: float


def compare_rules(plan: BenchmarkPlan, rule: str) -> RuleResult:
    """Groups by one of :data:`genoseq.classify.settings.RULES`, and what its five folds leak."""
    sequences, texts = read_labelled(find_file(Path(plan.data), "human_data.txt"))
    labels = np.array(texts)
    groups = homology_groups(sequences, threads=plan.threads, **RULES[rule])
    sizes, figures = [], []
    for train, test in HomologyGroupKFold(FOLDS, seed=plan.seed).split(sequences, labels, groups):
        known, asked = ([sequences[at] for at in part] for part in (train, test))
        report = leakage_report(known, asked, threads=plan.threads)
        covered = report.covered[~np.isnan(report.covered)]
        sizes.append(len(test))
        figures.append((report.share_above(0.1), report.share_above(0.5), float(covered.mean()) if len(covered) else 0.0))
    tenth, half, anywhere = np.average(figures, axis=0, weights=sizes).tolist()
    return RuleResult(rule, len(np.unique(groups)), int(np.bincount(groups).max()), tuple(sizes), tenth, half, anywhere)
