"""``genoseq family evaluate``: samples of a family beside natural, copied and shuffled ones."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genoseq.cli.family.alignment_options import format_option, query_of
from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    from genoseq.families.alignments.alignment import Alignment

__all__ = ["evaluate"]

log = logging.getLogger("genoseq.family")
MEASURED_WITH = 400  # samples behind the limits of the verdict
FEW = 200
FORMS = (".png", ".svg", ".pdf")


@click.command(name="evaluate")
@click.argument("samples_path", metavar="SAMPLES")
@click.option("--train", required=True, metavar="ALIGNMENT", help="What the sampler saw.")
@click.option("--held-out", required=True, metavar="FILE", help="Natural sequences it did not see, aligned or not.")
@click.option("--model", metavar="FILE", help="An autoregressive model: compare its held-out likelihood with those of its peers.")
@click.option("--potts", metavar="FILE", help="A Potts model with a gap state, one more peer of --model.")
@click.option("-o", "--output", metavar="FILE", help="The panel as JSON. The table goes to standard output in any case.")
@click.option("--figure", metavar="FILE", help="Draw identities, covariances, map and logos here (.png, .svg or .pdf).")
@click.option("--title", default="", help="Title of the figure.")
@click.option(
    "--resamples", type=click.IntRange(min=0), default=100, show_default=True, metavar="N", help="For the intervals; 0: none."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of anchors, halves and intervals.")
@click.option(
    "--wild-type", default="none", show_default=True, metavar="NAME",
    help="The query of --train, whose residues are the columns: a row's name, 'first', 'auto', 'none' (columns as they are).",
)  # fmt: skip
@format_option
@threads_option
def evaluate(
    samples_path: str,
    train: str,
    held_out: str,
    model: str | None,
    potts: str | None,
    output: str | None,
    figure: str | None,
    title: str,
    resamples: int,
    seed: int,
    wild_type: str,
    alignment_format: str | None,
    threads: int,
) -> None:
    """Judge SAMPLES (FASTA; aligned to the columns of --train, or unaligned and then aligned by its profile).

    The table has the samples first, then natural held-out sequences, copies, substituted and shuffled ones; below it the
    verdict, line by line.
    """
    if potts is not None and model is None:
        raise click.UsageError("--potts has no effect without --model")
    if title and figure is None:
        raise click.UsageError("--title has no effect without --figure")
    if figure is not None and Path(figure).suffix.lower() not in FORMS:
        raise click.UsageError(f"--figure {figure}: expected a name that ends in {', '.join(FORMS)}")
    if [samples_path, train, held_out].count("-") > 1:
        raise click.UsageError("only one of SAMPLES, --train and --held-out can be standard input")
    import numpy as np

    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.alignments.files import read_alignment
    from genoseq.families.alignments.laid_out import read_rows_like
    from genoseq.families.judging.panel import Yardstick, make_panel
    from genoseq.families.judging.panel_files import panel_json, panel_table
    from genoseq.log import counted
    from genoseq.outputs import whole_file

    output = target_of(output)
    check_targets([output, figure], [samples_path, train, held_out, model, potts])
    learned = read_alignment(train, query=query_of(wild_type), format=alignment_format)  # type: ignore[arg-type]
    apart = read_rows_like(held_out, learned, threads=threads)
    samples = read_rows_like(samples_path, learned, threads=threads)
    columns = learned.modelled
    yardstick = Yardstick.of(_narrowed(learned, columns), _narrowed(apart, columns), seed=seed)
    rows = np.ascontiguousarray(samples.matrix[:, columns])
    if len(rows) < FEW:
        log.warning(
            "%s: %s; the limits of the verdict were measured with %d, and recall and covariances come out lower with fewer",
            samples_path, counted(len(rows), "sample"), MEASURED_WITH,
        )  # fmt: skip
    panel = make_panel(yardstick, rows, samples.sequences, resamples=resamples)
    likelihoods = _likelihoods(model, potts, learned, apart) if model is not None else ()
    if output is not None:
        about = {"samples": samples_path, "train": train, "held_out": held_out, "seed": seed, "resamples": resamples}
        with whole_file(output) as temporary:
            temporary.write_text(panel_json(panel, likelihoods=likelihoods, about=about), encoding="utf-8")
    if figure is not None:
        from genoseq.report.family_panel import draw_panel

        draw_panel(panel, yardstick, rows, Path(figure), seed=seed, title=title)
    click.echo(panel_table(panel, likelihoods=likelihoods), nl=False)


def _narrowed(alignment: Alignment, columns: Any) -> Alignment:
    """The modelled columns only."""
    from dataclasses import replace

    import numpy as np

    if columns.all():
        return alignment
    return replace(alignment, matrix=np.ascontiguousarray(alignment.matrix[:, columns]), modelled=columns[columns], query=None)


def _likelihoods(model: str, potts: str | None, train: Alignment, held_out: Alignment) -> Any:
    from genoseq.errors import InputError
    from genoseq.families.models.autoregressive import AutoregressiveModel
    from genoseq.families.models.likelihoods import compare_likelihoods
    from genoseq.families.models.model_file import load_model
    from genoseq.families.models.potts import PottsModel

    found = load_model(model, kind="autoregressive")
    peer = load_model(potts, kind="potts") if potts is not None else None
    for one, path in ((found, model), (peer, potts)):
        if one is not None and one.focus.length != int(train.modelled.sum()):
            raise InputError(f"has {one.focus.length} columns, --train {int(train.modelled.sum())}", path=path)
    if not isinstance(found, AutoregressiveModel) or not (peer is None or isinstance(peer, PottsModel)):
        raise InputError("holds a model of another kind", path=model)
    return compare_likelihoods(found, train, held_out, potts=peer)
