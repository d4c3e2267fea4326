"""``genoseq index``: build the index of a reference, register it by name, list and choose."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from genoseq.cli.options import threads_option

__all__ = ["index"]


@click.command(name="index")
@click.argument("reference", metavar="[REF]", required=False)
@click.option("-o", "--output", metavar="DIR", help="Folder to make. Default: a folder of its own under the user's data.")
@click.option("--name", metavar="NAME", help="Name to register it by. Default: the reference's file name.")
@click.option("--k", type=int, help="Anchor length, bp. Default: from the size of the reference.")
@click.option("--density", type=float, help="Fraction of k-mers that anchor. Default: 1/2, less if memory is short.")
@threads_option
@click.option("--list", "listing", is_flag=True, help="List the registered indexes and stop.")
@click.option("--default", "default", metavar="NAME", help="Make a registered index the default and stop.")
def index(
    reference: str | None,
    output: str | None,
    name: str | None,
    k: int | None,
    density: float | None,
    threads: int,
    listing: bool,
    default: str | None,
) -> None:
    """Build the index of REF, a FASTA file (plain, gzip, bgzip or zstd; - is standard input).

    It is registered by name for this user; the first one registered is the default, so that `genoseq align reads.fq` works.
    """
    from genoseq.align.registry import Registry, data_folder

    registry = Registry.load()
    if listing or default is not None:
        if reference is not None:
            raise click.UsageError("--list and --default take no reference")
        if default is not None:
            registry = registry.with_default(default)
            registry.save()
        if listing:
            _list(registry)
        return
    if reference is None:
        raise click.UsageError("missing REF: a FASTA file to index (or --list, or --default NAME)")
    if name is None:
        name = _name_of(reference if output is None or reference != "-" else output)
    elif not re.fullmatch(r"[A-Za-z0-9._+-]+", name):
        raise click.UsageError(f"--name {name!r}: use letters, digits and . _ + - only")

    from genoseq.align.index import build_index
    from genoseq.log import Progress

    folder = Path(output) if output is not None else data_folder() / "indexes" / name
    if output is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
    with Progress(None, unit="codes", label="indexing") as progress:

        def report(done: int, total: int) -> None:
            progress.total = total
            progress.update(done - progress.done)

        built = build_index(reference, folder, k=k, density=density, threads=threads, progress=report)
    registry = Registry.load().register(name, folder)
    registry.save()
    size = built.bytes_on_disk
    click.echo(
        f"{name}\t{os.fspath(folder)}\t{built.bases} bp\t{len(built.names)} contigs\tk {built.manifest['k']}\t"
        f"density {built.manifest['density']:g}\t{size} bytes ({size / built.bases:.2f} per bp)"
    )


def _name_of(path: str) -> str:
    """Name for an index: the file's name without the endings of FASTA and compression."""
    stem = re.sub(r"\.(gz|bgz|zst|zstd)$", "", Path(path).name, flags=re.IGNORECASE)
    stem = re.sub(r"\.(fa|fasta|fna|ffn|fas)$", "", stem, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._+-]", "_", stem) or "reference"


def _list(registry: object) -> None:
    from genoseq.align.index import Index
    from genoseq.align.registry import Registry
    from genoseq.errors import GenoseqError

    assert isinstance(registry, Registry)
    click.echo("name\tdefault\tbases\tcontigs\tstate\tfolder")
    for name, path in registry.paths.items():
        mark = "*" if name == registry.default else ""
        try:
            opened = Index.open(path)
            click.echo(f"{name}\t{mark}\t{opened.bases}\t{len(opened.names)}\tready\t{path}")
        except GenoseqError as error:
            click.echo(f"{name}\t{mark}\t\t\tunusable: {error}\t{path}")
