"""What the commands that read and write alignments share."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable

import click

__all__ = ["format_option", "print_rows", "query_of", "warn_of_no_query", "wild_type_option"]

log = logging.getLogger("genoseq.family")

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


def warn_of_no_query(output: str | None) -> None:
    """Say that the first row of an a3m or a2m without a wild type would be taken for one by what reads it next."""
    log.warning(
        "%s: there is no wild type, the first row is none: read it with --wild-type none, or its first row is taken for the "
        "query and the columns where that has gaps are dropped",
        output or "standard output",
    )


def print_rows(rows: Iterable[tuple[str, str]], output: str | None) -> None:
    """Write rows of an alignment to a file, whole or not at all, or to standard output (None)."""
    if output is None:
        for name, row in rows:
            sys.stdout.write(f">{name}\n{row}\n")
        sys.stdout.flush()
        return
    from genoseq.families.alignments.a3m import write_rows

    write_rows(rows, output)
