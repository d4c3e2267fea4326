"""``genoseq family align``: sequences laid into the columns of an alignment."""

from __future__ import annotations

from collections.abc import Iterable

import click

from genoseq.cli.family.alignment_options import format_option, print_rows, query_of, warn_of_no_query, wild_type_option
from genoseq.cli.options import threads_option

__all__ = ["align"]


@click.command(name="align")
@click.argument("sequences")
@click.option("--to", "reference", required=True, metavar="ALIGNMENT", help="The alignment (a3m, a2m, Stockholm, aligned FASTA).")
@click.option("-o", "--output", metavar="FILE", help="The result. Default: standard output.")
@click.option("--keep", is_flag=True, help="Write all rows of ALIGNMENT first, not only its query.")
@click.option(
    "--layout",
    type=click.Choice(["a3m", "a2m", "fasta"]),
    default="a3m",
    show_default=True,
    help="With insertions (a3m), with columns that are not modelled in lower case (a2m), or the columns alone.",
)
@wild_type_option
@format_option
@threads_option
def align(
    sequences: str,
    reference: str,
    output: str | None,
    keep: bool,
    layout: str,
    wild_type: str,
    alignment_format: str | None,
    threads: int,
) -> None:
    """Align SEQUENCES (FASTA of proteins) to the columns of an alignment, by its profile.

    Files may be plain, gzip, bgzip or zstd; - is standard input.
    """
    if sequences == reference == "-":
        raise click.UsageError("only one of SEQUENCES and --to can be standard input")
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.alignments.a3m import masked_row, written_names
    from genoseq.families.alignments.files import read_alignment
    from genoseq.families.alignments.profile_alignment import align_proteins
    from genoseq.families.alignments.protein_records import read_proteins

    output = target_of(output)
    check_targets([output], [sequences, reference])
    alignment = read_alignment(reference, query=query_of(wild_type), format=alignment_format)  # type: ignore[arg-type]
    found = align_proteins(alignment, read_proteins(sequences), keep=keep, threads=threads)
    rows: Iterable[str] = found.rows
    if layout != "a3m":
        modelled = found.alignment.modelled | (layout == "fasta")
        rows = (masked_row(row, modelled) for row in found.alignment.matrix)
    print_rows(zip(written_names(found.alignment), rows, strict=True), output)
    if alignment.query is None and layout != "fasta":  # aligned FASTA has no wild type unless one is named
        warn_of_no_query(output)
