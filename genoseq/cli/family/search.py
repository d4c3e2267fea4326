"""``genoseq family search``: the homologues of a protein or a family, as an alignment."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genoseq.cli.family.alignment_options import format_option, print_rows, query_of, warn_of_no_query, wild_type_option
from genoseq.cli.options import Whole, threads_option

if TYPE_CHECKING:
    from genoseq.families.alignments.homologues import Homologues

__all__ = ["search"]

log = logging.getLogger("genoseq.family")

FORMAT, VERSION = "genoseq.family-hits", 2
NEAREST = 1000
COLUMNS = ("name", "start", "end", "evalue", "bits", "part_c_evalue", "part_i_evalue", "part_bits", "coverage", "identity")


@click.command(name="search")
@click.argument("query")
@click.argument("database")
@click.option("-o", "--output", metavar="FILE", help="The alignment, a3m. Default: standard output.")
@click.option("--hits", "hits_path", metavar="FILE", help="Also a table of the hits, TSV.")
@click.option(
    "--iterations", type=Whole(1), default=3, show_default=True, help="Searches at most; fewer if nothing new is found."
)
@click.option(
    "--evalue",
    type=click.FloatRange(min=0, min_open=True),
    default=1e-3,
    show_default=True,
    help="Hits up to this E-value, and the parts of them up to this conditional one.",
)
@click.option(
    "--bits-per-residue",
    type=click.FloatRange(0, 10, min_open=True, max_open=True),
    help="Instead of --evalue: hits of at least so many bits for each residue of the query.",
)
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Write only hits that cover this share of the query.",
)
@click.option(
    "--near",
    "embeddings",
    metavar="NPZ",
    help="Look only at the sequences nearest to QUERY by these embeddings of DATABASE (`genoseq embed`).",
)
@click.option("--nearest", type=Whole(1), metavar="N", help="With --near: so many sequences. Default: 1000.")
@click.option("--near-model", metavar="NAME|DIR", help="With --near: where its net lies now. Default: where it lay then.")
@wild_type_option
@format_option
@threads_option
@click.pass_context
def search(
    context: click.Context,
    query: str,
    database: str,
    output: str | None,
    hits_path: str | None,
    iterations: int,
    evalue: float,
    bits_per_residue: float | None,
    min_coverage: float,
    embeddings: str | None,
    nearest: int | None,
    near_model: str | None,
    wild_type: str,
    alignment_format: str | None,
    threads: int,
) -> None:
    """Search DATABASE, a FASTA file of proteins of any size, for homologues of QUERY, and align them to it.

    QUERY is one protein (FASTA) or an alignment (a3m, a2m, Stockholm or aligned FASTA), whose profile is then searched
    with first; without a wild type (--wild-type) the columns are the profile's. Files may be plain, gzip, bgzip or zstd; - is
    standard input.
    """
    given = click.core.ParameterSource.COMMANDLINE
    if bits_per_residue is not None and context.get_parameter_source("evalue") is given:
        raise click.UsageError("--evalue and --bits-per-residue contradict each other")
    if embeddings is None and (nearest is not None or near_model is not None):
        raise click.UsageError("--nearest and --near-model are about --near")
    if query == database == "-":
        raise click.UsageError("only one of QUERY and DATABASE can be standard input")
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.alignments.a3m import written_names
    from genoseq.families.alignments.files import read_alignment
    from genoseq.families.alignments.filtering import filter_alignment
    from genoseq.families.alignments.homologues import Inclusion, search_homologues
    from genoseq.log import counted

    output = target_of(output)
    if output is None and hits_path is not None and target_of(hits_path) is None:
        raise click.UsageError("the alignment and --hits cannot both go to standard output")
    check_targets([output] + ([target_of(hits_path)] if hits_path else []), [query, database, embeddings])
    alignment = read_alignment(query, query=query_of(wild_type), format=alignment_format)  # type: ignore[arg-type]
    single = len(alignment) == 1 and alignment.query is not None
    only = _near(alignment.query, embeddings, nearest or NEAREST, near_model, threads) if embeddings is not None else None
    found = search_homologues(
        str(alignment.query) if single else alignment,
        database,
        name=alignment.names[0],
        start=alignment.start,
        iterations=iterations,
        inclusion=Inclusion(evalue, bits_per_residue),
        only=only,
        threads=threads,
    )
    kept = found.aligned.alignment
    if min_coverage > 0:
        kept = filter_alignment(kept, min_coverage=min_coverage, max_unknown=1.0)
    chosen = set(kept.names)
    names = found.aligned.alignment.names
    rows = zip(names, written_names(found.aligned.alignment), found.aligned.rows, strict=True)
    print_rows(((written, row) for name, written, row in rows if name in chosen), output)
    if hits_path is not None:
        settings: dict[str, object] = {"iterations": iterations, "evalue": evalue, "bits_per_residue": bits_per_residue}
        if only is not None:
            settings |= {"near": embeddings, "nearest": len(only)}
        asked = names[0] if alignment.query is not None else "standard input" if query == "-" else Path(query).name
        _write_hits(found, chosen, hits_path, {"query": asked, "database": database, **settings})
    log.info(
        "%s in %s; %s",
        f"{counted(len(found.hits), 'hit')} among {counted(found.searched, 'sequence')}",
        counted(found.iterations, "iteration"),
        "nothing new in the last" if found.converged else "stopped there",
    )
    if alignment.query is None:
        warn_of_no_query(output)


def _near(query: str | None, path: str, number: int, model: str | None, threads: int) -> frozenset[str]:
    """Names of the sequences whose embeddings are nearest to the query's."""
    from genoseq.cli.family.model_source import torch_threads
    from genoseq.families.alignments.near import read_database_embeddings

    if query is None:
        raise click.UsageError("--near embeds the wild type of QUERY, and it has none: say which row it is (--wild-type)")
    found = read_database_embeddings(path)
    with torch_threads(threads):
        names = found.nearest(found.embed(query, model=model), number)
    log.info("looking at %s sequences nearest to the query, of %s", f"{len(names):,}", f"{len(found.names):,}")
    return names


def _write_hits(found: Homologues, chosen: set[str], path: str, metadata: dict[str, object]) -> None:
    """A row for each part of a sequence that was written; coordinates from 1, inclusive."""
    import numpy as np

    from genoseq import __version__
    from genoseq.cli.targets import target_of
    from genoseq.families.alignments.filtering import identity_to_query
    from genoseq.families.alphabet import GAP
    from genoseq.outputs import whole_file

    alignment = found.aligned.alignment
    first = len(alignment) - len(found.hits)
    coverage = (alignment.matrix != GAP).mean(axis=1)
    identity = identity_to_query(alignment) if alignment.query is not None else np.full(len(alignment), np.nan)
    head = {"format": FORMAT, "version": VERSION, "genoseq": __version__, **metadata}
    lines = [f"#{json.dumps(head)}\n", "\t".join(COLUMNS) + "\n"]
    for number, hit in enumerate(found.hits, first):
        if alignment.names[number] in chosen:
            parts = (f"{hit.part_c_evalue:.3g}", f"{hit.part_i_evalue:.3g}", f"{hit.part_bits:.1f}")
            values = (f"{hit.evalue:.3g}", f"{hit.bits:.1f}", *parts)
            shares = (f"{coverage[number]:.4f}", f"{identity[number]:.4f}")
            lines.append("\t".join((hit.name, str(hit.start + 1), str(hit.stop), *values, *shares)) + "\n")
    if target_of(path) is None:
        click.echo("".join(lines), nl=False)
        return
    with whole_file(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
