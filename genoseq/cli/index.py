"""``genoseq index``: build the index of a reference, register it by name, list, choose and remove."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    from genoseq.align.index import Index
    from genoseq.align.registry import Registry

__all__ = ["index"]

log = logging.getLogger("genoseq.index")

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")


@click.command(name="index")
@click.argument("reference", metavar="[REF]", required=False)
@click.option("-o", "--output", metavar="DIR", help="Folder to make. Default: a folder of its own under the user's data.")
@click.option("--name", metavar="NAME", help="Name to register it by. Default: the reference's file name.")
@click.option("--k", type=int, help="Length of the k-mers that anchor codes, 4 to 13 bp. Default: by the size of the reference.")
@click.option("--density", type=float, help="Fraction of k-mers that anchor. Default: 1/2, less if memory is short.")
@click.option("--encoder", metavar="DIR", help="Window encoder made by `genoseq train`, or 'random' for the untrained baseline.")
@threads_option
@click.option("--list", "listing", is_flag=True, help="List the registered indexes and stop.")
@click.option("--default", "default", metavar="NAME", help="Make a registered index the default and stop.")
@click.option(
    "--remove", "removed", metavar="NAME", help="Forget a registered index, delete it unless it was made with -o, and stop."
)
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
    removed: str | None,
) -> None:
    """Build the index of REF, a FASTA file (plain, gzip, bgzip or zstd; - is standard input).

    It is registered by name for this user; the first one registered is the default, which `genoseq align reads.fq` maps to, and
    stays it until --default names another or its folder is gone.
    """
    from genoseq.align.registry import Registry

    if listing or default is not None or removed is not None:
        if reference is not None:
            raise click.UsageError("--list, --default and --remove take no reference")
        if removed is not None:
            _remove(removed)
        if default is not None:
            Registry.change(lambda found: found.with_default(default))
            log.info("the default is %s", default)
        if listing:
            _list(Registry.load())
        return
    if reference is None:
        raise click.UsageError("missing REF: a FASTA file to index (or --list, --default NAME, --remove NAME)")
    if name is None:
        if reference == "-" and output is None:
            raise click.UsageError("a reference from standard input has no name: give --name NAME")
        name = _name_of(output if reference == "-" and output is not None else reference)
    elif not NAME.fullmatch(name):
        raise click.UsageError(f"--name {name!r}: use letters, digits and . _ + - only, and not . + - at the start")

    from genoseq.align.index import build_index
    from genoseq.align.warm import compile_kernels
    from genoseq.log import Progress, counted

    table = None
    if encoder is not None:
        from genoseq.embed.window import WindowEncoder

        table = WindowEncoder.random() if encoder == "random" else WindowEncoder.load(encoder)
    if output is None:
        Registry.load()  # a damaged one is told before the work
    folder = Path(output) if output is not None else _own_folder(name)
    replaced = _Genome.within(folder)
    with Progress(None, unit="codes", label="indexing") as progress:

        def report(done: int, total: int) -> None:
            progress.total = total
            progress.update(done - progress.done)

        built = build_index(reference, folder, k=k, density=density, encoder=table, threads=threads, progress=report)
    _register(name, built, replaced, required=output is None)
    compile_kernels()
    click.echo(
        f"{name}\t{click.format_filename(folder)}\t{built.bases} bp\t{counted(len(built.names), 'contig').replace(',', '')}\t"
        f"k {built.manifest['k']}\tdensity {built.manifest['density']:g}\t"
        f"{built.bytes_on_disk} bytes ({built.bytes_on_disk / built.bases:.2f} per bp)"
    )


def _own_folder(name: str) -> Path:
    """Folder of an index of this name among the user's data, its parent made.

    Raises:
        OutputError: it cannot be made there.
    """
    from genoseq.align.registry import index_folder
    from genoseq.errors import OutputError
    from genoseq.outputs import describe_os_error

    folder = index_folder(name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = describe_os_error(error, folder.parent)
        raise OutputError(f"{reason}; or give -o FOLDER, or set GENOSEQ_HOME") from error
    return folder


class _Genome(NamedTuple):
    """What tells the genome of an index from another."""

    reference: str
    contigs: list[tuple[str, str]]

    @classmethod
    def of(cls, index: Index) -> _Genome:
        return cls(index.reference, list(zip(index.names, index.md5, strict=True)))

    @classmethod
    def within(cls, folder: Path | str) -> _Genome | None:
        """That of the index in a folder; None if there is none to open."""
        from genoseq.align.index import Index
        from genoseq.errors import GenoseqError

        try:
            return cls.of(Index.open(folder))
        except GenoseqError:  # nothing that could be mistaken for another
            return None


def _register(name: str, built: Index, replaced: _Genome | None, *, required: bool) -> None:
    """Register a finished index, and say what its name means from now on.

    One in a folder of the user's choice is of use even if that fails. ``replaced`` is the genome whose index lay in its folder.
    """
    from genoseq.align.registry import Registry
    from genoseq.errors import GenoseqError

    found = Registry({}, None)

    def registered(registry: Registry) -> Registry:
        nonlocal found
        found = registry
        return registry.register(name, built.folder)

    try:
        default = Registry.change(registered).default
    except GenoseqError as error:
        if required:
            raise
        shown = click.format_filename(built.folder)
        log.warning("not registered by name (%s); use it by its folder: -x %s", error, shown)
        default = None
    _warn_of_changes(name, built, replaced, found)
    if default is None:
        return
    here = f"{name} in {click.format_filename(Registry.file().parent)}" if os.environ.get("GENOSEQ_HOME") else name
    if default != name:
        log.info("registered as %s; the default is still %s: `genoseq index --default %s` changes that", here, default, name)
    elif found.default in (None, name):
        log.info("registered as %s, the default", here)
    else:
        log.info("registered as %s, the default from now on: the index of %s is no longer there", here, found.default)


def _warn_of_changes(name: str, built: Index, replaced: _Genome | None, found: Registry) -> None:
    """Tell if the name or the folder meant something else before, by the registry as it was found."""
    made, folder = _Genome.of(built), built.folder.resolve()
    stood = found.paths.get(name)
    if replaced is not None and replaced.contigs != made.contigs:
        others = [other for other, path in found.paths.items() if path == str(folder) and other != name]
        also = f"; {' and '.join(others)} now means {made.reference}, too" if others else ""
        log.warning("%s: held the index of another genome (%s), which is replaced%s", folder, replaced.reference, also)
    if stood is None:
        return
    before = replaced if stood == str(folder) else _Genome.within(stood)
    if before is not None and before.contigs != made.contigs:
        was = f"{before.reference}, in {stood}"
        log.warning("the name %s meant another genome before (%s); --name gives each its own", name, was)
    elif before is not None and stood != str(folder):
        log.warning("the name %s meant %s before and now means %s; --name gives each its own", name, stood, folder)


def _remove(name: str) -> None:
    from genoseq.align.registry import Registry, remove_index

    was_default = Registry.load().default == name
    folder, deleted = remove_index(name)
    shown = click.format_filename(folder)
    state = f"{shown} is deleted" if deleted else f"its folder {shown} stays" if folder.exists() else f"{shown} was gone already"
    log.info("%s is no longer registered; %s", name, state)
    if was_default and (others := ", ".join(Registry.load().paths)):
        log.info("it was the default; choose another with `genoseq index --default NAME`: %s", others)


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
