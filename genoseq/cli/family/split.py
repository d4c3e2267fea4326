"""``genoseq family split``: an alignment in a train and a held-out part that share no cluster."""

from __future__ import annotations

import json
import logging

import click

from genoseq.cli.family.alignment_options import format_option, query_of, wild_type_option

__all__ = ["split"]

log = logging.getLogger("genoseq.family")
MARKER = "split.json"
PARTS = ("train.a3m", "held_out.a3m")


@click.command(name="split")
@click.argument("alignment_path", metavar="ALIGNMENT")
@click.option("-o", "--output", required=True, metavar="FOLDER", help="Folder to write: train.a3m, held_out.a3m, split.json.")
@click.option(
    "--identity", type=click.FloatRange(0, 1, min_open=True), default=0.6, show_default=True,
    help="Sequences of at least this identity, directly or through others, stay together.",
)  # fmt: skip
@click.option(
    "--held-out", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.2, show_default=True,
    help="Share of the sequences to hold out, about.",
)  # fmt: skip
@click.option(
    "--min-coverage", type=click.FloatRange(0, 1), default=0.7, show_default=True,
    help="Rows with residues in at least this share of the columns.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the order of the clusters.")
@wild_type_option
@format_option
def split(
    alignment_path: str,
    output: str,
    identity: float,
    held_out: float,
    min_coverage: float,
    seed: int,
    wild_type: str,
    alignment_format: str | None,
) -> None:
    """Split ALIGNMENT (a3m, a2m, Stockholm or FASTA) by connected components of similar sequences.

    The wild type, if there is one, stays in the train part. An older split in FOLDER is replaced, unless other files lie beside
    it. Prints the sizes, the largest identity across the parts and how
    many held-out sequences leak (none).
    """
    import numpy as np

    from genoseq import __version__
    from genoseq.families.alignments.a3m import write_alignment
    from genoseq.families.alignments.files import read_alignment
    from genoseq.families.alignments.filtering import filter_alignment
    from genoseq.families.judging.splits import split_family
    from genoseq.outputs import whole_folder

    alignment = read_alignment(alignment_path, query=query_of(wild_type), format=alignment_format)  # type: ignore[arg-type]
    kept = filter_alignment(alignment, min_coverage=min_coverage)
    found = split_family(kept.matrix, identity=identity, held_out=held_out, seed=seed, keep=0 if kept.query is not None else None)
    content = {
        "format": "genoseq.family-split",
        "version": 1,
        "genoseq": __version__,
        "identity": identity,
        "min_coverage": min_coverage,
        "seed": seed,
        "sequences": len(kept),
        "columns": kept.length,
        "components": int(found.component.max()) + 1,
        "largest_component": int(np.bincount(found.component).max()),
        "train": len(found.train),
        "held_out": len(found.held_out),
        "largest_cross_identity": round(found.largest, 6),
        "median_cross_identity": round(float(np.median(found.nearest)), 6),
        "leaks": found.leaks,
    }
    with whole_folder(output, marker=MARKER, known=lambda folder: PARTS) as folder:
        for name, rows in zip(PARTS, (found.train, found.held_out), strict=True):
            write_alignment(kept.subset(rows), folder / name)
        (folder / MARKER).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for name in (
        "sequences", "columns", "components", "largest_component", "train", "held_out", "largest_cross_identity",
        "median_cross_identity", "leaks",
    ):  # fmt: skip
        click.echo(f"{name}\t{content[name]}")
    log.info("%s: train.a3m, held_out.a3m, %s", output, MARKER)
    if kept.query is None:
        log.info("there is no wild type: give train.a3m with --wild-type none")
