"""``genoseq family fit``: a model of an alignment, in one file."""

from __future__ import annotations

import logging
from typing import Any

import click

from genoseq.cli.family.alignment_options import format_option, query_of, wild_type_option
from genoseq.cli.family.fit_options import device_option, fit_options, fit_settings, kind_option
from genoseq.cli.options import threads_option

__all__ = ["fit"]

log = logging.getLogger("genoseq.family")


@click.command(name="fit")
@click.argument("alignment_path", metavar="ALIGNMENT")
@click.option("-o", "--output", required=True, metavar="FILE", help="The model, one file.")
@kind_option
@wild_type_option
@format_option
@fit_options
@click.option(
    "--sampler/--no-sampler", default=None,
    help="Beside an ensemble, also fit what `genoseq family generate` draws from. Default: yes.",
)  # fmt: skip
@device_option
@threads_option
def fit(
    alignment_path: str,
    output: str,
    kind: str | None,
    wild_type: str,
    alignment_format: str | None,
    sampler: bool | None,
    device: str,
    threads: int,
    **options: Any,
) -> None:
    """Fit a model to ALIGNMENT (a3m, a2m, Stockholm or FASTA; plain, gzip, bgzip or zstd; - is standard input)."""
    from genoseq.cli.targets import check_targets
    from genoseq.families.alignments.files import read_alignment
    from genoseq.families.models.fitting import fit_model
    from genoseq.families.models.model_file import save_model

    check_targets([output], [alignment_path])
    alignment = read_alignment(alignment_path, query=query_of(wild_type), format=alignment_format)  # type: ignore[arg-type]
    model = fit_model(
        alignment,
        kind or "ensemble",  # type: ignore[arg-type]
        settings=fit_settings(options),
        sampler=kind in (None, "ensemble") if sampler is None else sampler,
        device=device,
        threads=threads,
    )
    digest = save_model(model, output)
    log.info("%s: %s, %d columns; sha256 %s", output, model.kind, model.focus.length, digest[:12])
