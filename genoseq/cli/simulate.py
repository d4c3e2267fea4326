"""``genoseq simulate``: reads with known places."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from genoseq.cli.options import Whole

__all__ = ["simulate"]


@click.command(name="simulate")
@click.argument("reference", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "-n", "--number", type=Whole(0), default=10000, show_default=True, help="Reads, or pairs of reads."
)
@click.option(
    "-l",
    "--length",
    "lengths",
    type=int,
    multiple=True,
    default=(150,),
    show_default=True,
    help="Read length in bases; given several times, each read draws one of them.",
)
@click.option(
    "-d",
    "--divergence",
    type=float,
    default=0.0,
    show_default=True,
    help="Edits per base between the sampled genome and the reference (0.02 is 2 %).",
)
@click.option(
    "--mix",
    type=float,
    nargs=3,
    default=(8.0, 1.0, 1.0),
    show_default=True,
    metavar="SUB INS DEL",
    help="Shares of substitutions, insertions and deletions among the edits.",
)
@click.option(
    "-e",
    "--errors",
    type=float,
    default=0.0,
    show_default=True,
    help="Mean sequencing error rate per base, as substitutions that follow the written qualities.",
)
@click.option("-p", "--paired", is_flag=True, help="Two mates per fragment, facing each other.")
@click.option(
    "--insert",
    type=float,
    nargs=2,
    default=(350.0, 50.0),
    show_default=True,
    metavar="MEAN SD",
    help="Fragment length in bp, outer ends of both mates.",
)
@click.option("--seed", type=Whole(0), default=1, show_default=True, help="Same seed, same bytes.")
@click.option(
    "-o",
    "--output",
    "outputs",
    type=click.Path(path_type=Path),
    multiple=True,
    help="FASTQ file, compressed if named .gz; for pairs give two (one: interleaved). Default: standard output.",
)
def simulate(
    reference: tuple[Path, ...],
    number: int,
    lengths: tuple[int, ...],
    divergence: float,
    mix: tuple[float, float, float],
    errors: float,
    paired: bool,
    insert: tuple[float, float],
    seed: int,
    outputs: tuple[Path, ...],
) -> None:
    """Simulate reads of REFERENCE, one or more FASTA files.

    The name of a read is its true place: s{number}!{contig}!{start}!{strand}!{end}, start and end 0-based, half-open; a
    pair has !{start}!{strand}!{end} of the second mate behind that. `genoseq judge` reads it back.
    """
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.evaluate.simulate import ReadModel, read_genomes, simulate_reads, write_fastq, write_reads

    model = ReadModel(
        lengths=lengths,
        divergence=divergence,
        mix=mix,
        errors=errors,
        paired=paired,
        insert_mean=insert[0],
        insert_sd=insert[1],
        seed=seed,
    )
    check_targets([target_of(str(path)) for path in outputs], [str(path) for path in reference])
    genome = read_genomes(reference)
    if outputs in ((), (Path("-"),)):
        write_fastq(simulate_reads(genome, model, count=number), [sys.stdout.buffer])
    else:
        write_reads(genome, model, outputs, count=number)
