"""What the commands that read and write alignments share."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

__all__ = ["format_option", "print_rows", "query_of", "wild_type_option"]

wild_type_option = click.option(
    "--wild-type",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="The query of the alignment: a row's name, 'first', or 'none'. 'auto': the first of a3m and a2m, else none.",
)
format_option = click.option(
    "--alignment-format",
    type=click.Choice(["a3m", "a2m", "stockholm", "fasta"]),
    help="What to read the alignment as. Default: by its content.",
)


def query_of(wild_type: str) -> str | None:
    """What ``--wild-type`` says to :func:`genoseq.families.alignments.files.read_alignment`."""
    return None if wild_type == "none" else wild_type


def print_rows(rows: Iterable[tuple[str, str]], output: str | None) -> None:
    """Write rows of an alignment to a file, whole or not at all, or to standard output (None)."""
    if output is None:
        for name, row in rows:
            sys.stdout.write(f">{name}\n{row}\n")
        sys.stdout.flush()
        return
    from genoseq.families.alignments.a3m import write_rows

    write_rows(rows, output)
