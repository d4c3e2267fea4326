"""``genoseq classify``: learn classes from labelled sequences, tell which class others belong to, and say how well that works."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import IO, TYPE_CHECKING

import click

from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    from genoseq.classify.labelled import Labelled

__all__ = ["classify"]

log = logging.getLogger("genoseq.classify")

CALLS_FORMAT, EVALUATION_FORMAT, VERSION = "genoseq.classes", "genoseq.classify-evaluation", 1
MODES = ("combined", "nucleotide", "translated", "protein")

mode_option = click.option("--mode", type=click.Choice(MODES), default="combined", show_default=True, help="What to look at.")
strands_option = click.option(
    "--strands", type=click.Choice(["both", "forward"]), default="both", show_default=True, help="Strands to learn from."
)
code_option = click.option("--genetic-code", default="1", show_default=True, help="NCBI's number or name, for translation.")
labels_option = click.option("--labels", metavar="TSV", help="Table of names and labels, instead of those in the headers.")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of the parts held out."
)


@click.group(name="classify")
def classify() -> None:
    """Classify sequences by how well each class compresses them."""


@classify.command(name="fit")
@click.argument("labelled", nargs=-1, required=True, metavar="LABELLED...")
@click.option("-o", "--output", required=True, metavar="FILE", help="The model, one file.")
@labels_option
@mode_option
@strands_option
@code_option
@seed_option
@threads_option
def fit(
    labelled: tuple[str, ...],
    output: str,
    labels: str | None,
    mode: str,
    strands: str,
    genetic_code: str,
    seed: int,
    threads: int,
) -> None:
    """Learn classes from LABELLED sequences.

    LABELLED is FASTA or FASTQ with the label in each header (>name label=X, or the first word after the name) or in a
    table (--labels); one file a class (viral=a.fa host=b.fa); or a table of sequences and labels.
    """
    from genoseq.classify.model_file import save_classifier
    from genoseq.cli.targets import check_targets

    check_targets([output], [_path_of(one) for one in labelled] + ([labels] if labels else []))
    found = _read(labelled, labels, mode)
    model = _model(mode, strands, genetic_code, seed, threads).fit(found.sequences, found.labels)
    digest = save_classifier(model, output)
    bases = sum(map(len, found.sequences))
    log.info(
        "%s: %d classes, %s sequences, %s letters; %.0f MB in memory; sha256 %s",
        output, len(model.classes_), f"{len(found.names):,}", f"{bases:,}", model.nbytes / 1e6, digest[:12],
    )  # fmt: skip


@classify.command(name="predict")
@click.argument("model_path", metavar="MODEL")
@click.argument("reads")
@click.option("-o", "--output", metavar="FILE", help="The table, TSV. Default: standard output.")
@click.option("--reject-margin", type=click.FloatRange(0), metavar="BITS", help="Label 'unknown' below this margin.")
@click.option("--reject-novelty", type=click.FloatRange(0, 1), help="Label 'unknown' above this novelty.")
@click.option("--split-dir", metavar="DIR", help="Also write the records as FASTA, one file a label.")
@click.option("--windows", type=click.IntRange(min=1), metavar="N", help="Classify windows of N bases along each record.")
@click.option("--step", type=click.IntRange(min=1), metavar="N", help="Distance between windows. Default: half a window.")
@click.option("--figure", metavar="FILE", help="With --windows: draw the labels along the contigs (PNG, PDF or SVG).")
@threads_option
def predict(
    model_path: str,
    reads: str,
    output: str | None,
    reject_margin: float | None,
    reject_novelty: float | None,
    split_dir: str | None,
    windows: int | None,
    step: int | None,
    figure: str | None,
    threads: int,
) -> None:
    """Tell the class of each record of READS (FASTA or FASTQ; plain, gzip, bgzip or zstd; - is standard input)."""
    if windows is None and (step is not None or figure is not None):
        raise click.UsageError("--step and --figure need --windows")
    if windows is not None and split_dir is not None:
        raise click.UsageError("--windows and --split-dir contradict each other")
    from genoseq.classify.calling import COLUMNS, WINDOW_COLUMNS, SplitFolder, call_file, call_windows, rows
    from genoseq.classify.evaluation_figures import Window, check_figure_name, draw_windows
    from genoseq.classify.model_file import load_classifier
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.errors import InputError

    if reject_margin is not None and math.isnan(reject_margin):
        raise click.BadParameter("is no number", param_hint="--reject-margin")
    output = target_of(output)
    check_figure_name(figure)
    check_targets([output, figure] if figure else [output], [model_path, reads])
    model = load_classifier(model_path, n_jobs=threads).set_params(reject_margin=reject_margin, reject_novelty=reject_novelty)
    if reject_novelty is not None and not model.measures_novelty:
        raise InputError(
            "was fitted to too few sequences to measure novelty by",
            path=model_path, remedy="leave out --reject-novelty, or fit it to more sequences of each class",
        )  # fmt: skip
    found: Counter[str] = Counter()
    drawn: list[Window] = []
    metadata = {"format": CALLS_FORMAT, "version": VERSION, "model": model.digest_, "mode": model.mode}
    batches = (
        call_file(model, reads) if windows is None else call_windows(model, reads, size=windows, step=step or -(-windows // 2))
    )
    # Before the header is written: what cannot be classified at all leaves standard output empty.
    first = list(islice(batches, 1))
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(SplitFolder(split_dir)) if split_dir else None
        file = stack.enter_context(_table(output, metadata, COLUMNS if windows is None else WINDOW_COLUMNS))
        for batch in chain(first, batches):
            file.writelines(rows(batch, windows=windows is not None))
            found.update(map(str, batch.calls.labels.tolist()))
            if folder is not None:
                folder.add(batch)
            if figure is not None:
                for who, (start, end), label in zip(batch.owner, batch.spans.tolist(), batch.calls.labels.tolist(), strict=True):
                    drawn.append(Window(batch.reads.name(int(who)), start, end, str(label)))
    if not found:
        log.warning("%s: no sequences", reads)
    if figure is not None:
        draw_windows(drawn, figure, unknown=str(model.unknown))
    log.info("%s", "; ".join(f"{label}: {count:,}" for label, count in found.most_common(12)) or "nothing to classify")


@classify.command(name="evaluate")
@click.argument("labelled", nargs=-1, required=True, metavar="LABELLED...")
@click.option("-o", "--output", metavar="FILE", help="The results as JSON too.")
@click.option("--figure", metavar="FILE", help="Confusion matrices and reliability (PNG, PDF or SVG).")
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Parts that are tested in turn.")
@labels_option
@mode_option
@strands_option
@code_option
@seed_option
@threads_option
def evaluate(
    labelled: tuple[str, ...],
    output: str | None,
    figure: str | None,
    folds: int,
    labels: str | None,
    mode: str,
    strands: str,
    genetic_code: str,
    seed: int,
    threads: int,
) -> None:
    """Say how well LABELLED sequences (as for `fit`) are told apart: by random folds, and by folds without close relatives.

    The second is the honest figure for sequences unlike those in training. Both come with 95 % intervals and with what
    the training part of the split gives away.
    """
    from genoseq.classify.evaluation import evaluate as evaluate_all
    from genoseq.classify.evaluation_figures import check_figure_name, draw_evaluation
    from genoseq.cli.targets import check_targets
    from genoseq.outputs import whole_file

    check_figure_name(figure)
    check_targets([one for one in (output, figure) if one], [_path_of(one) for one in labelled] + ([labels] if labels else []))
    found = _read(labelled, labels, mode)
    model = _model(mode, strands, genetic_code, seed, threads)
    classes, results = evaluate_all(model, found.sequences, found.labels, folds=folds, seed=seed)
    columns = (
        "split", "sequences", "groups", "accuracy", "low", "high", "macro_f1", "f1_low", "f1_high",
        "calibration_error", "exact_copies", "reverse_copies", "close_relatives",
    )  # fmt: skip
    click.echo("\t".join(columns))
    table = []
    for result in results:
        values = (
            *result.accuracy,
            *result.macro_f1,
            result.calibration_error,
            result.copies,
            result.reverse_copies,
            result.close,
        )
        row = (result.split, len(result.truth), len(set(result.groups.tolist())), *(round(float(value), 4) for value in values))
        table.append(dict(zip(columns, row, strict=True)))
        click.echo("\t".join(map(str, row)))
    if figure is not None:
        draw_evaluation([str(one) for one in classes], results, figure)
    if output is not None:
        confusion = {
            one.split: [
                [int(((one.truth == i) & (one.predicted == j)).sum()) for j in range(len(classes))] for i in range(len(classes))
            ]
            for one in results
        }
        content = {
            "format": EVALUATION_FORMAT, "version": VERSION, "mode": mode, "folds": folds, "seed": seed,
            "classes": [str(one) for one in classes], "splits": table, "confusion": confusion,
        }  # fmt: skip
        with whole_file(output) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")


def _model(mode: str, strands: str, code: str, seed: int, threads: int):  # type: ignore[no-untyped-def]
    from genoseq.classify.estimator import ContextMixtureClassifier
    from genoseq.tokenizers.genetic import genetic_code

    genetic_code(code)  # an unknown one is told before the work
    return ContextMixtureClassifier(mode=mode, strands=strands, genetic_code=code, n_jobs=threads, random_state=seed)  # type: ignore[arg-type]


def _read(labelled: tuple[str, ...], labels: str | None, mode: str) -> Labelled:
    from genoseq.classify.labelled import read_labelled
    from genoseq.errors import InputError

    found = read_labelled(labelled, labels=labels, protein=mode == "protein")
    if len(set(found.labels)) < 2:
        raise InputError(f"there is one class only ({found.labels[0]})", remedy="give sequences of at least two classes")
    return found


def _path_of(source: str) -> str:
    """The file of ``label=file``."""
    label, mark, path = source.partition("=")
    return path if mark and "/" not in label else source


@contextlib.contextmanager
def _table(path: str | None, metadata: dict[str, object], columns: tuple[str, ...]) -> Iterator[IO[str]]:
    """A table that begins with ``#`` and JSON; on standard output as it comes, in a file when it is whole."""
    from genoseq.outputs import whole_file

    head = f"#{json.dumps(metadata)}\n" + "\t".join(columns) + "\n"
    if path is None:
        sys.stdout.write(head)
        yield sys.stdout
        sys.stdout.flush()
        return
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(head)
        yield file
