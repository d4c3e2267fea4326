"""``genoseq index``: build the index of a reference, register it by name, list and choose."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    from genoseq.align.registry import Registry

__all__ = ["index"]

log = logging.getLogger("genoseq.index")

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")


@click.command(name="index")
@click.argument("reference", metavar="[REF]", required=False)
@click.option("-o", "--output", metavar="DIR", help="Folder to make. Default: a folder of its own under the user's data.")
@click.option("--name", metavar="NAME", help="Name to register it by. Default: the reference's file name.")
@click.option("--k", type=int, help="Anchor length, bp. Default: from the size of the reference.")
@click.option("--density", type=float, help="Fraction of k-mers that anchor. Default: 1/2, less if memory is short.")
@click.option("--encoder", metavar="DIR", help="Window encoder made by `genoseq train`, or 'random' for the untrained baseline.")
@threads_option
@click.option("--list", "listing", is_flag=True, help="List the registered indexes and stop.")
@click.option("--default", "default", metavar="NAME", help="Make a registered index the default and stop.")
def index(
    reference: str | None,
    output: str | None,
    name: str | None,
    k: int | None,
    density: float | None,
    encoder: str | None,
    threads: int,
    listing: bool,
    default: str | None,
) -> None:
    """Build the index of REF, a FASTA file (plain, gzip, bgzip or zstd; - is standard input).

    It is registered by name for this user; the first one registered is the default, so that `genoseq align reads.fq` works.
    """
    from genoseq.align.registry import Registry

    if listing or default is not None:
        if reference is not None:
            raise click.UsageError("--list and --default take no reference")
        registry = Registry.load()
        if default is not None:
            registry = Registry.change(lambda found: found.with_default(default))
        if listing:
            _list(registry)
        return
    if reference is None:
        raise click.UsageError("missing REF: a FASTA file to index (or --list, or --default NAME)")
    if name is None:
        if reference == "-" and output is None:
            raise click.UsageError("a reference from standard input has no name: give --name NAME")
        name = _name_of(output if reference == "-" and output is not None else reference)
    elif not NAME.fullmatch(name):
        raise click.UsageError(f"--name {name!r}: use letters, digits and . _ + - only, and not . + - at the start")

    from genoseq.align.index import build_index
    from genoseq.align.warm import compile_kernels
    from genoseq.cli.compiling import announce_compilation
    from genoseq.log import Progress

    table = None
    if encoder is not None:
        from genoseq.embed.window import WindowEncoder

        table = WindowEncoder.random() if encoder == "random" else WindowEncoder.load(encoder)
    if output is None:
        Registry.load()  # a damaged one is told before the work
    folder = Path(output) if output is not None else _own_folder(name)
    before = _contigs_of(name)
    announce_compilation()
    with Progress(None, unit="codes", label="indexing") as progress:

        def report(done: int, total: int) -> None:
            progress.total = total
            progress.update(done - progress.done)

        built = build_index(reference, folder, k=k, density=density, encoder=table, threads=threads, progress=report)
    _register(name, folder, required=output is None)
    compile_kernels(built)
    if before not in (None, list(zip(built.names, built.md5, strict=True))):
        log.warning("the name %s meant another genome before; --name gives each its own", name)
    click.echo(
        f"{name}\t{click.format_filename(folder)}\t{built.bases} bp\t{len(built.names)} contigs\t"
        f"k {built.manifest['k']}\tdensity {built.manifest['density']:g}\t"
        f"{built.bytes_on_disk} bytes ({built.bytes_on_disk / built.bases:.2f} per bp)"
    )


def _own_folder(name: str) -> Path:
    """Folder of an index of this name among the user's data, its parent made.

    Raises:
        OutputError: it cannot be made there.
    """
    from genoseq.align.registry import data_folder
    from genoseq.errors import OutputError
    from genoseq.outputs import describe_os_error

    folder = data_folder() / "indexes" / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = describe_os_error(error, folder.parent)
        raise OutputError(f"{reason}; or give -o FOLDER, or set GENOSEQ_HOME") from error
    return folder


def _contigs_of(name: str) -> list[tuple[str, str]] | None:
    """Names and MD5 of the contigs of the index registered as ``name``; None if there is none to open."""
    from genoseq.align.index import Index
    from genoseq.align.registry import Registry
    from genoseq.errors import GenoseqError

    try:
        path = Registry.load().paths.get(name)
        opened: Index | None = Index.open(path) if path is not None else None
    except GenoseqError:  # nothing that could be mistaken for the new one
        return None
    return list(zip(opened.names, opened.md5, strict=True)) if opened is not None else None


def _register(name: str, folder: Path, *, required: bool) -> None:
    """Register a finished index. One in a folder of the user's choice is of use even if that fails."""
    from genoseq.align.registry import Registry
    from genoseq.errors import GenoseqError

    try:
        Registry.change(lambda found: found.register(name, folder))
    except GenoseqError as error:
        if required:
            raise
        log.warning("not registered by name (%s); use it by its folder: -x %s", error, click.format_filename(folder))


def _name_of(path: str) -> str:
    """Name for an index: the file's name without the endings of FASTA and compression."""
    stem = re.sub(r"\.(gz|bgz|zst|zstd)$", "", Path(path).resolve().name, flags=re.IGNORECASE)
    stem = re.sub(r"\.(fa|fasta|fna|ffn|fas)$", "", stem, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._+-]", "_", stem).lstrip(".+-") or "reference"


def _list(registry: Registry) -> None:
    from genoseq.align.index import Index
    from genoseq.errors import GenoseqError

    click.echo("name\tdefault\tbases\tcontigs\tstate\tfolder")
    for name, path in registry.paths.items():
        mark = "*" if name == registry.default else ""
        try:
            opened = Index.open(path)
        except GenoseqError as error:
            click.echo(f"{name}\t{mark}\t\t\tunusable: {error}\t{click.format_filename(path)}")
        else:
            click.echo(f"{name}\t{mark}\t{opened.bases}\t{len(opened.names)}\tready\t{click.format_filename(path)}")
