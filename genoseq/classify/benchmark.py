"""Classifiers of gene families compared: one method in one setting at a time, with intervals, beside the published figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score

from genoseq.classify.kmer import KmerNeighbors, kmer_naive_bayes, kmer_svm
from genoseq.classify.leakage import leakage_report
from genoseq.classify.ncd import ClassCompressor, NCDClassifier
from genoseq.classify.settings import SETTINGS, Setting, load_setting
from genoseq.errors import UsageError
from genoseq.outputs import whole_file
from genoseq.recipes import build_recipe

__all__ = [
    "METHODS",
    "PUBLISHED",
    "BenchmarkPlan",
    "MethodPlan",
    "Result",
    "parse_plan",
    "run_method",
    "wilson",
    "write_leakage",
    "write_report",
    "write_results",
]

MIXTURE = "genoseq.classify.estimator"
BOOTSTRAPS = 1000

METHODS: Mapping[str, Callable[[int], Any]] = {
    "gzip-ncd": lambda threads: NCDClassifier.published("gzip", threads=threads),
    "bz2-ncd": lambda threads: NCDClassifier.published("bz2", threads=threads),
    "lzma-ncd": lambda threads: NCDClassifier.published("lzma", threads=threads),
    "brotli-ncd": lambda threads: NCDClassifier.published("brotli", threads=threads),
    "zstd-ncd": lambda threads: NCDClassifier.published("zstd", threads=threads),
    "gzip-ncd-50": lambda threads: NCDClassifier(candidates=50, threads=threads),
    "zstd-conditional": lambda threads: NCDClassifier(compressor="zstd", method="conditional", threads=threads),
    "zstd-3-class": lambda threads: ClassCompressor(level=3, threads=threads),
    "zstd-19-class": lambda threads: ClassCompressor(level=19, threads=threads),
    "kmer-8-nb": lambda threads: kmer_naive_bayes(8),
    "kmer-8-svm": lambda threads: kmer_svm(8),
    "jaccard-12": lambda threads: KmerNeighbors(word=12, threads=threads),
    "aa-3-svm": lambda threads: kmer_svm(3, kind="translated"),
    "mixture": lambda threads: _mixture(threads, mode="nucleotide"),
    "mixture-translated": lambda threads: _mixture(threads, mode="translated"),
    "mixture-combined": lambda threads: _mixture(threads, mode="combined"),
}
"""Makers of the methods by name; each takes the number of threads."""

DESCRIPTIONS = {
    "gzip-ncd": "gzip NCD, 1-NN, as published",
    "bz2-ncd": "bzip2 NCD, 1-NN, as published",
    "lzma-ncd": "lzma NCD, 1-NN, as published",
    "brotli-ncd": "brotli NCD, 1-NN, as published",
    "zstd-ncd": "zstd NCD, 1-NN, as published",
    "gzip-ncd-50": "gzip NCD, 1-NN among the 50 nearest by 12-mers (not exact)",
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

PUBLISHED = {"gzip-ncd": 0.962, "brotli-ncd": 0.966, "lzma-ncd": 0.958, "bz2-ncd": 0.924, "zstd-ncd": 0.930}
"""Accuracy in setting O by arXiv 2401.14025."""


def _mixture(threads: int, **options: Any) -> Any:
    try:
        made = import_module(MIXTURE).ContextMixtureClassifier
    except ImportError as error:
        raise UsageError(f"the context mixture is not part of this genoseq ({error})") from error
    return made(n_jobs=threads, **options)


@dataclass(frozen=True)
class MethodPlan:
    """A method and where it is run.

    Attributes:
        name: one of :data:`METHODS`.
        settings: where; empty for all of the plan.
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
        output: folder of the results.
        seed: of splits and subsets.
        threads: threads of a method.
    """

    data: str
    methods: tuple[MethodPlan, ...]
    settings: tuple[str, ...] = SETTINGS
    output: str = "results"
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        wrong = [name for name in (*self.settings, *(s for m in self.methods for s in m.settings)) if name not in SETTINGS]
        if wrong:
            raise ValueError(f"setting {wrong[0]!r} is unknown; known settings: {', '.join(SETTINGS)}")
        if len({method.name for method in self.methods}) < len(self.methods):
            raise ValueError("a method is named twice")

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


@dataclass(frozen=True)
class Result:
    """One method in one setting. Times are processor seconds; intervals are 95 %.

    Attributes:
        method, setting: their names.
        train: training sequences (of the first fold).
        tested: test sequences that were classified.
        available: test sequences there are; more than ``tested`` for a subset.
        accuracy, accuracy_low, accuracy_high: with Wilson's interval.
        macro_f1, macro_f1_low, macro_f1_high: with a bootstrap interval.
        fit_seconds, predict_seconds: over all folds.
        labels: the classes.
        confusion: rows true, columns predicted, one row after another.
        bins: of the probability given to the predicted label, ten bins: count, summed probability, number right; empty if the
            method gives none.
    """

    method: str
    setting: str
    train: int
    tested: int
    available: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    fit_seconds: float
    predict_seconds: float
    labels: tuple[str, ...]
    confusion: tuple[int, ...]
    bins: tuple[tuple[float, ...], ...]

    @property
    def rate(self) -> float:
        """Sequences classified in a processor second."""
        return self.tested / max(self.predict_seconds, 1e-9)

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error over ten bins (Naeini et al., AAAI 2015); None without probabilities."""
        if not self.bins:
            return None
        return sum(abs(total - right) for _, total, right in self.bins) / self.tested


def wilson(right: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    >>> tuple(round(x, 3) for x in wilson(96, 100))
    (0.902, 0.984)
    """
    share = right / count
    middle = share + z * z / (2 * count)
    half = z * float(np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)))
    scale = 1 + z * z / count
    return (middle - half) / scale, (middle + half) / scale


def run_method(plan: BenchmarkPlan, name: str, setting: str) -> Result:
    """Train and test a method in a setting."""
    chosen = plan.method(name)
    data = load_setting(Path(plan.data), setting, seed=plan.seed, threads=plan.threads)
    rng = np.random.default_rng(plan.seed)
    truth, found, sure = [], [], []
    fitting = predicting = 0.0
    gives = False
    for fold in data.folds:
        test = fold.test
        if chosen.subset is not None and chosen.subset < len(test):
            test = np.sort(rng.choice(test, chosen.subset, replace=False))
        model = METHODS[name](plan.threads)
        begun = time.process_time()
        model.fit([data.sequences[at] for at in fold.train], data.labels[fold.train])
        fitted = time.process_time()
        asked = [data.sequences[at] for at in test]
        predicted = model.predict(asked)
        predicting += time.process_time() - fitted
        fitting += fitted - begun
        gives = hasattr(model, "predict_proba") and not isinstance(model, (NCDClassifier, KmerNeighbors))
        if gives:  # of the neighbours' votes one is everything: no probability
            chances = model.predict_proba(asked)
            columns = {label: at for at, label in enumerate(model.classes_.tolist())}
            sure.append(chances[np.arange(len(test)), [columns[label] for label in predicted.tolist()]])
        truth.append(data.labels[test])
        found.append(predicted)
    return _judged(
        name,
        data,
        truth=np.concatenate(truth),
        found=np.concatenate(found),
        sure=np.concatenate(sure) if gives else None,
        seconds=(fitting, predicting),
        seed=plan.seed,
    )


def _judged(
    name: str,
    data: Setting,
    *,
    truth: NDArray[np.str_],
    found: NDArray[np.str_],
    sure: NDArray[np.float64] | None,
    seconds: tuple[float, float],
    seed: int,
) -> Result:
    labels = np.unique(data.labels)
    right = truth == found
    low, high = wilson(int(right.sum()), len(right))
    codes, guesses = np.searchsorted(labels, truth), np.searchsorted(labels, found)
    f1_low, f1_high = _bootstrap_f1(codes, guesses, len(labels), seed)
    bins: tuple[tuple[float, ...], ...] = ()
    if sure is not None:
        at = np.minimum((sure * 10).astype(int), 9)
        columns = [np.bincount(at, weights=w, minlength=10) for w in (np.ones(len(sure)), sure, right.astype(float))]
        bins = tuple(tuple(float(value) for value in row) for row in np.stack(columns, axis=1))
    return Result(
        method=name,
        setting=data.name,
        train=len(data.folds[0].train),
        tested=len(truth),
        available=sum(len(fold.test) for fold in data.folds),
        accuracy=float(right.mean()),
        accuracy_low=low,
        accuracy_high=high,
        macro_f1=float(f1_score(truth, found, average="macro", zero_division=0.0)),
        macro_f1_low=f1_low,
        macro_f1_high=f1_high,
        fit_seconds=seconds[0],
        predict_seconds=seconds[1],
        labels=tuple(labels.tolist()),
        confusion=tuple(int(n) for n in confusion_matrix(codes, guesses, labels=np.arange(len(labels))).ravel()),
        bins=bins,
    )


def _bootstrap_f1(truth: NDArray[np.intp], found: NDArray[np.intp], classes: int, seed: int) -> tuple[float, float]:
    """95 % interval of macro-F1 over test sequences drawn again with replacement."""
    rng = np.random.default_rng(seed)
    cells = np.bincount(truth * classes + found, minlength=classes * classes)
    drawn = rng.multinomial(len(truth), cells / len(truth), size=BOOTSTRAPS).reshape(-1, classes, classes)
    right = np.einsum("bii->bi", drawn)
    total = drawn.sum(1) + drawn.sum(2)
    scores = np.where(total > 0, 2 * right / np.maximum(total, 1), np.nan)  # classes that were not drawn do not count
    low, high = np.quantile(np.nanmean(scores, axis=1), [0.025, 0.975])
    return float(low), float(high)


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
    "fit_seconds",
    "predict_seconds",
    "per_second",
    "published",
]


def write_results(results: Sequence[Result], path: Path) -> None:
    """One line per method and setting, tab-separated, with a header."""
    with whole_file(path) as temporary, open(temporary, "w") as out:
        print(*COLUMNS, sep="\t", file=out)
        for one in results:
            error = one.calibration_error
            values: list[Any] = [one.method, one.setting, one.train, one.tested, one.available]
            shares = (one.accuracy, one.accuracy_low, one.accuracy_high, one.macro_f1, one.macro_f1_low, one.macro_f1_high)
            values += [f"{share:.4f}" for share in shares]
            values += ["NA" if error is None else f"{error:.4f}"]
            values += [f"{one.fit_seconds:.3f}", f"{one.predict_seconds:.3f}", f"{one.rate:.1f}"]
            values += [PUBLISHED.get(one.method, "NA") if one.setting == "O" else "NA"]
            print(*values, sep="\t", file=out)


def write_leakage(plan: BenchmarkPlan, setting: str, path: Path) -> None:
    """What the training sets of a setting hold of its test sets, fold by fold: fold, measure, value."""
    data = load_setting(Path(plan.data), setting, seed=plan.seed, threads=plan.threads)
    with whole_file(path) as temporary, open(temporary, "w") as out:
        print("setting", "fold", "measure", "value", sep="\t", file=out)
        for number, fold in enumerate(data.folds):
            train, test = ([data.sequences[at] for at in part] for part in fold)
            for measure, value in leakage_report(train, test, threads=plan.threads).rows():
                print(setting, number, measure, f"{value:.4f}".rstrip("0").rstrip("."), sep="\t", file=out)


def write_report(plan: BenchmarkPlan, results: Sequence[Result], path: Path) -> None:
    """The table to read: accuracy of each method in each setting, with intervals, beside the published figures (Markdown)."""
    cells = {(one.method, one.setting): one for one in results}
    shown = [setting for setting in plan.settings if any(one.setting == setting for one in results)]
    with whole_file(path) as temporary, open(temporary, "w") as out:
        print("# Classifiers of gene families compared\n", file=out)
        print("Accuracy with Wilson's 95 % interval; in brackets the number of test sequences where it is a subset.\n", file=out)
        print("| method | " + " | ".join(shown) + " | published (O) | sequences/s |", file=out)
        print("| :--- |" + " ---: |" * (len(shown) + 2), file=out)
        for method in plan.methods:
            mine = [cells[method.name, setting] for setting in shown if (method.name, setting) in cells]
            if not mine:
                continue
            row = [DESCRIPTIONS[method.name]]
            row += [_cell(cells[method.name, s]) if (method.name, s) in cells else "–" for s in shown]
            row += [f"{PUBLISHED[method.name]:.3f}" if method.name in PUBLISHED else "–"]
            rate = sum(one.tested for one in mine) / max(1e-9, sum(one.predict_seconds for one in mine))
            row += [f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"]
            print("| " + " | ".join(row) + " |", file=out)


def _cell(one: Result) -> str:
    part = f" ({one.tested})" if one.tested < one.available else ""
    return f"{one.accuracy:.3f} [{one.accuracy_low:.3f}, {one.accuracy_high:.3f}]{part}"
