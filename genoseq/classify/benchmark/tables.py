"""The tables of a comparison: all results line by line, errors, leakage; and the report to read, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from genoseq.classify.benchmark.group_rules import RuleResult
from genoseq.classify.benchmark.methods import DESCRIPTIONS, PUBLISHED
from genoseq.classify.benchmark.novelty import LeftOutResult, NoveltyResult
from genoseq.classify.benchmark.plan import BenchmarkPlan
from genoseq.classify.benchmark.runs import Result, binned_error
from genoseq.classify.leakage import leakage_report
from genoseq.classify.other_data import OTHER_DATA
from genoseq.classify.settings import load_setting
from genoseq.outputs import whole_file

__all__ = ["write_errors", "write_leakage", "write_report", "write_results"]

COLUMNS = [
    "method",
    "setting",
    "train",
    "tested",
    "available",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "macro_f1",
    "macro_f1_low",
    "macro_f1_high",
    "calibration_error",
    "calibration_error_by_chance",
    "ties_lowest",
    "ties_expected",
    "ties_highest",
    "largest_class",
    "fit_seconds",
    "predict_seconds",
    "per_second",
    "published",
]


def write_results(results: Sequence[Result], path: Path) -> None:
    """One line per method and setting, tab-separated, with a header; ``NA`` where a method has no such figure."""
    with whole_file(path) as temporary, open(temporary, "w") as out:
        print(*COLUMNS, sep="\t", file=out)
        for one in results:
            values: list[Any] = [one.method, one.setting, one.train, one.tested, one.available]
            shares = (one.accuracy, one.accuracy_low, one.accuracy_high, one.macro_f1, one.macro_f1_low, one.macro_f1_high)
            values += [f"{share:.4f}" for share in shares]
            ties = one.ties or (None, None, None)
            values += [_number(value) for value in (one.calibration_error, one.calibration_error_by_chance, *ties)]
            values += [f"{one.largest_class:.4f}"]
            values += [f"{one.fit_seconds:.3f}", f"{one.predict_seconds:.3f}", f"{one.rate:.1f}"]
            values += [PUBLISHED.get(one.method, "NA") if one.setting == "O" else "NA"]
            print(*values, sep="\t", file=out)


def write_errors(results: Sequence[Result], path: Path) -> None:
    """Every wrong answer: method, setting, length of the sequence, its label, the answer; tab-separated, with a header."""
    with whole_file(path) as temporary, open(temporary, "w") as out:
        print("method", "setting", "length", "label", "answer", sep="\t", file=out)
        for one in results:
            for length, label, answer in one.wrong:
                print(one.method, one.setting, length, one.labels[label], one.labels[answer], sep="\t", file=out)


def write_leakage(plan: BenchmarkPlan, setting: str, path: Path) -> None:
    """What the training sets of a setting hold of its test sets, by fold and over ``all`` of them: fold, measure, value."""
    data = load_setting(Path(plan.data), setting, seed=plan.seed, threads=plan.threads)
    found: list[dict[str, float]] = []
    for train, test in data.folds:
        known, asked = ([data.sequences[at] for at in part] for part in (train, test))
        rows = dict(leakage_report(known, asked, threads=plan.threads).rows())
        labels: dict[str, set[str]] = {}
        for at in train:
            labels.setdefault(data.sequences[at], set()).add(str(data.labels[at]))
        other = [str(data.labels[at]) not in labels.get(data.sequences[at], {str(data.labels[at])}) for at in test]
        found.append({**rows, "exact copies, all under another label": float(np.mean(other))})
    sizes = [len(fold.test) for fold in data.folds]
    mean = {measure: float(np.average([one[measure] for one in found], weights=sizes)) for measure in found[0]}
    with whole_file(path) as temporary, open(temporary, "w") as out:
        print("setting", "fold", "measure", "value", sep="\t", file=out)
        for fold, one in [*enumerate(found), ("all", mean)]:
            for measure, value in one.items():
                print(setting, fold, measure, f"{value:.4f}".rstrip("0").rstrip("."), sep="\t", file=out)


def write_report(
    plan: BenchmarkPlan,
    results: Sequence[Result],
    path: Path,
    *,
    novelty: Sequence[NoveltyResult] = (),
    left_out: Sequence[LeftOutResult] = (),
    groups: Sequence[RuleResult] = (),
) -> None:
    """The tables to read: each method in each setting, with intervals, beside the published figures (Markdown)."""
    families = [one for one in results if one.setting not in OTHER_DATA]
    others = [one for one in results if one.setting in OTHER_DATA]
    with whole_file(path) as temporary, open(temporary, "w") as out:
        print("# Classifiers compared", file=out)
        if families:
            _families(plan, families, out)
        if others:
            _others(plan, others, out)
        if tied := [one for one in results if one.ties]:
            _ties(tied, out)
        if sure := [one for one in results if one.bins]:
            _calibration(sure, out)
            _folds([one for one in sure if len(one.folds) > 1], out)
        if novelty or left_out:
            _novelty(novelty, left_out, out)
        if groups:
            _groups(groups, out)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO, *, texts: int = 1) -> None:
    """A Markdown table whose first columns are texts, the others numbers."""
    print("| " + " | ".join(head) + " |", file=out)
    print("|" + " :--- |" * texts + " ---: |" * (len(head) - texts), file=out)
    for row in rows:
        print("| " + " | ".join(row) + " |", file=out)


def _families(plan: BenchmarkPlan, results: Sequence[Result], out: TextIO) -> None:
    print("\n## Gene families\n", file=out)
    print("Accuracy with Wilson's 95 % interval; in brackets the number of test sequences where it is a subset.\n", file=out)
    cells = {(one.method, one.setting): one for one in results}
    shown = [setting for setting in plan.settings if any(one.setting == setting for one in results)]
    rows = []
    for method in plan.methods:
        mine = [cells[method.name, setting] for setting in shown if (method.name, setting) in cells]
        if not mine:
            continue
        row = [DESCRIPTIONS[method.name]]
        row += [_cell(cells[method.name, s]) if (method.name, s) in cells else "–" for s in shown]
        row += [f"{PUBLISHED[method.name]:.3f}" if method.name in PUBLISHED else "–"]
        rate = sum(one.tested for one in mine) / max(1e-9, sum(one.predict_seconds for one in mine))
        rows.append([*row, f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"])
    _table(["method", *shown, "published (O)", "sequences/s"], rows, out)


def _others(plan: BenchmarkPlan, results: Sequence[Result], out: TextIO) -> None:
    print("\n## Other kinds of data\n", file=out)
    methods = [method.name for method in plan.methods if any(one.method == method.name for one in results)]
    rows = []
    for setting in plan.settings:
        mine = {one.method: one for one in results if one.setting == setting}
        if mine:
            first = next(iter(mine.values()))
            row = [setting, str(len(first.labels)), f"{first.train:,} / {first.available:,}"]
            row += [_cell(mine[name]) if name in mine else "–" for name in methods]
            rows.append([*row, f"{first.largest_class:.3f}"])
    _table(["data", "classes", "training / test", *(DESCRIPTIONS[name] for name in methods), "largest class"], rows, out)


def _ties(results: Sequence[Result], out: TextIO) -> None:
    print("\n## Ties of nearest neighbours\n", file=out)
    print("Accuracy as measured, and if every tie went wrong, were broken at random (mean), and went right.\n", file=out)
    rows = [
        [DESCRIPTIONS[one.method], one.setting, f"{one.accuracy:.4f}", *(f"{value:.4f}" for value in one.ties)] for one in results
    ]
    _table(["method", "setting", "accuracy", "wrong", "at random", "right"], rows, out, texts=2)


def _calibration(results: Sequence[Result], out: TextIO) -> None:
    print("\n## Macro-F1 and calibration\n", file=out)
    print("By chance: the calibration error that exact probabilities would show in so many sequences.\n", file=out)
    rows = [
        [
            DESCRIPTIONS[one.method],
            one.setting,
            f"{one.macro_f1:.3f} [{one.macro_f1_low:.3f}, {one.macro_f1_high:.3f}]",
            f"{one.calibration_error:.3f}",
            f"{one.calibration_error_by_chance:.3f}",
        ]
        for one in results
    ]
    _table(["method", "setting", "macro-F1", "calibration error", "by chance"], rows, out, texts=2)


def _folds(results: Sequence[Result], out: TextIO) -> None:
    if not results:
        return
    print("\n## Fold by fold\n", file=out)
    rows = []
    for one in results:
        for number, fold in enumerate(one.folds):
            error = binned_error(fold.bins) or 0.0
            share = f"{fold.right / fold.tested:.3f}"
            rows.append([DESCRIPTIONS[one.method], one.setting, str(number), f"{fold.tested:,}", share, f"{error:.3f}"])
        whole = [f"{one.tested:,}", f"{one.accuracy:.3f}", f"{one.calibration_error:.3f}"]
        rows.append([DESCRIPTIONS[one.method], one.setting, "all", *whole])
    _table(["method", "setting", "fold", "tested", "accuracy", "calibration error"], rows, out, texts=3)


def _novelty(found: Sequence[NoveltyResult], left_out: Sequence[LeftOutResult], out: TextIO) -> None:
    print("\n## Novelty\n", file=out)
    if found:
        print("Test sequences against others: area under the ROC curve, and shares rejected by novelty above 0.99.\n", file=out)
        rows = [
            [
                one.others,
                one.setting,
                *(f"{value:.3f}" for value in (one.by_novelty, one.by_rate, one.lost, one.rejected)),
            ]
            for one in found
        ]
        head = ["others", "setting", "by novelty", "by bits per base", "test sequences rejected", "others rejected"]
        _table(head, rows, out, texts=2)
        _unknown({one.setting: one.unknown for one in found}, out)
    if left_out:
        print("\nOne class left out of training, against the others: area under the ROC curve.\n", file=out)
        rows = [
            [one.setting, label, *(f"{row[at]:.3f}" for row in (one.by_novelty, one.by_rate, one.by_residue_rate))]
            for one in left_out
            for at, label in enumerate(one.labels)
        ]
        for one in left_out:
            means = (np.mean(row) for row in (one.by_novelty, one.by_rate, one.by_residue_rate))
            rows.append([one.setting, "mean", *(f"{value:.3f}" for value in means)])
        _table(["setting", "class", "by novelty", "by bits per base", "by bits per residue"], rows, out, texts=2)
        for one in left_out:
            if one.skipped:
                names = f"{len(one.skipped)} of the classes learned ({', '.join(one.skipped)})"
                print(f"\n{one.setting}: without {names}, which cannot be told from others in its test set.", file=out)
        _unknown({one.setting: one.unknown for one in left_out}, out)


def _unknown(counts: Mapping[str, int], out: TextIO) -> None:
    """A line for each setting with test sequences of a label that training does not have."""
    for setting, count in counts.items():
        if count:
            print(f"\n{setting}: without {count:,} test sequences of a label that training does not have.", file=out)


def _groups(found: Sequence[RuleResult], out: TextIO) -> None:
    print("\n## Rules for homology groups\n", file=out)
    rows = [
        [
            one.rule,
            str(one.groups),
            str(one.largest),
            f"{min(one.sizes):,} to {max(one.sizes):,}",
            *(f"{100 * value:.2f} %" for value in (one.above_tenth, one.above_half, one.covered)),
        ]
        for one in found
    ]
    head = ["rule", "groups", "largest", "sizes of the folds", "over 10 % in one", "over 50 % in one", "found anywhere"]
    _table(head, rows, out)


def _number(value: float | None) -> str:
    return "NA" if value is None else f"{value:.4f}"


def _cell(one: Result) -> str:
    part = f" ({one.tested})" if one.tested < one.available else ""
    return f"{one.accuracy:.3f} [{one.accuracy_low:.3f}, {one.accuracy_high:.3f}]{part}"
