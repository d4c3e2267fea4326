"""Reading VCF: its header and records as text, with what is needed of a record taken apart.

Read are VCF (plain, gzip, bgzip, zstd, standard input) and BCF; a region needs the file's index. VCF specification 4.4, sections
1.4 and 5.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.infer.variants import Variant
from genoseq.seqs.stream import open_bytes

__all__ = ["VcfLine", "VcfSource", "open_vcf", "quiet_htslib"]

log = logging.getLogger(__name__)

T = TypeVar("T")

COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
REGION = re.compile(r"(?P<contig>.+?)(?::(?P<start>[\d,]+)(?:-(?P<end>[\d,]+)?)?)?")
BASES = re.compile(r"[ACGTUNRYSWKMBDHVXacgtunryswkmbdhvx]+")
OTHER_ALLELE = re.compile(r"\*|<[^\s,<>]+>|[^\s,]*[\[\]][^\s,]*|\.[A-Za-z]+|[A-Za-z]+\.")
BLOCK = 1 << 18  # bytes read at a time


class VcfLine(NamedTuple):
    """One record.

    Attributes:
        number: its number in the file or region, from 1.
        text: its line, without the end.
        variant: what it says.
    """

    number: int
    text: str
    variant: Variant


class VcfSource:
    """A VCF file that is open for reading.

    Attributes:
        path: as given.
        header: the lines that begin with ``##``.
        columns: the line that begins with ``#CHROM``.
    """

    def __init__(self, path: str, lines: Iterator[str]) -> None:
        self.path = path
        self.header: list[str] = []
        self.columns = ""
        self._lines = lines
        for line in lines:
            if not self.header and not line.startswith("##fileformat=VCF"):
                self._fail(f"is no VCF file: expected ##fileformat=VCFv4..., found {_quoted(line)}")
            if line.startswith("##"):
                self.header.append(line)
                continue
            if not line.startswith(COLUMNS):
                self._fail(f"has no line of column names: expected {COLUMNS[:12]!r}..., found {_quoted(line)}")
            self.columns = line
            break
        if not self.columns:
            self._fail("is empty or ends inside its header", "it may be truncated: copy or download it again")

    def __iter__(self) -> Iterator[VcfLine]:
        """Yield the records."""
        for number, line in enumerate((line for line in self._lines if line), 1):
            fields = line.split("\t", 8)
            if len(fields) < 8:
                self._fail(f"has {len(fields)} columns, expected at least 8, separated by tabs", record=number)
            contig, position, _, ref, alt = fields[:5]
            if not position.isdecimal():
                self._fail(f"has the position {_quoted(position)}, expected a number", record=number)
            alts = () if alt == "." else tuple(alt.split(","))
            if not BASES.fullmatch(ref):
                self._fail(f"has the reference allele {_quoted(ref)}, expected bases", record=number)
            for allele in alts:
                if not BASES.fullmatch(allele) and not OTHER_ALLELE.fullmatch(allele):
                    self._fail(f"has the allele {_quoted(allele)}, expected bases or a symbolic allele", record=number)
            yield VcfLine(number, line, Variant(contig, int(position) - 1, ref, alts))

    def _fail(self, message: str, remedy: str | None = None, record: int | None = None) -> NoReturn:
        raise InputError(message, path=self.path, record=record, remedy=remedy)


@contextlib.contextmanager
def open_vcf(path: Pathlike, *, region: str | None = None, warn: bool = True) -> Iterator[VcfSource]:
    """Open a VCF or BCF file.

    Args:
        path: the file; ``-`` is standard input.
        region: ``CONTIG``, ``CONTIG:START`` or ``CONTIG:START-END``, from 1, both ends included; needs an index.
        warn: log it if the file has no records on the contig of the region.

    Raises:
        InputError: it cannot be read, is no VCF, or has no index and a region is asked for.
        UsageError: the region makes no sense.
    """
    name = str(path)
    if region is not None:
        with _region(name, region, warn=warn) as lines:
            yield VcfSource(name, lines)
        return
    with open_bytes(path) as stream:
        lines = _lines(stream.read)
        first = next(lines, "")
        if not first.startswith("BCF"):
            yield VcfSource(name, itertools.chain([first], lines) if first else lines)
            return
    with _bcf(name) as found:
        yield VcfSource(name, found)


def _lines(read: Callable[[int], bytes]) -> Iterator[str]:
    """Lines of a stream of bytes, without LF or CRLF."""
    tail = b""
    while block := read(BLOCK):
        *whole, tail = (tail + block).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
    if tail:
        yield tail.removesuffix(b"\r").decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _bcf(name: str) -> Iterator[Iterator[str]]:
    """The lines of a BCF file as VCF text."""
    import pysam

    if name == "-":
        raise InputError("is BCF, which is read from files only", path=name, remedy="convert it (bcftools view)")
    with quiet_htslib(), _told(name, lambda: pysam.VariantFile(name)) as file:
        yield _guarded(name, itertools.chain(str(file.header).splitlines(), (str(record).rstrip("\n") for record in file)))


@contextlib.contextmanager
def _region(name: str, region: str, *, warn: bool) -> Iterator[Iterator[str]]:
    """The header and the records of a region, through the index."""
    import pysam

    if name == "-":
        raise UsageError("--region needs a file with an index, not standard input")
    found = REGION.fullmatch(region)
    if found is None:
        raise UsageError(f"--region {region}: expected CONTIG, CONTIG:START or CONTIG:START-END")
    contig = found["contig"]
    start = int(found["start"].replace(",", "")) - 1 if found["start"] else None
    end = int(found["end"].replace(",", "")) if found["end"] else None
    if (start is not None and start < 0) or (start is not None and end is not None and end <= start):
        raise UsageError(f"--region {region}: positions count from 1, and the end is not before the start")
    with open_bytes(name) as stream:  # a missing file is told as everywhere
        compression, is_bcf = stream.compression, stream.read(3) == b"BCF"
    index = next((place for ending in (".tbi", ".csi") if Path(place := f"{name}{ending}").is_file()), None)
    if index is None:
        make = f"bcftools index {name}" if is_bcf else f"tabix -p vcf {name}"
        if compression != "bgzip":
            make = f"bgzip {name}; tabix -p vcf {name}.gz"
        raise InputError("has no index, which --region needs", path=name, remedy=f"make one: {make}")
    opened: Any = pysam.VariantFile if is_bcf else functools.partial(pysam.TabixFile, index=index, encoding="utf-8")
    with quiet_htslib(), _told(name, lambda: opened(name)) as file:
        header = str(file.header).splitlines() if is_bcf else list(file.header)
        contigs = file.index if is_bcf else file.contigs
        if region in contigs:  # a name with colons in it, such as HLA-A*01:01
            contig, start, end = region, None, None
        known = contig in contigs
        if warn and not known:
            log.warning("%s: has no records on contig %r", name, contig)
        records = file.fetch(contig, start, end) if known else ()
        yield _guarded(name, itertools.chain(header, (str(record).rstrip("\n") for record in records)))


@contextlib.contextmanager
def quiet_htslib() -> Iterator[None]:
    """Keep htslib from writing to standard error."""
    import pysam

    before = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(before)


def _told(name: str, make: Callable[[], T]) -> T:
    """What ``make`` makes; what htslib says about the file becomes an InputError."""
    try:
        return make()
    except (OSError, ValueError, NotImplementedError) as error:
        remedy = "it or its index may be damaged: copy or download it again"
        raise InputError(f"cannot be read ({error})", path=name, remedy=remedy) from error


def _guarded(name: str, lines: Iterable[str]) -> Iterator[str]:
    """The lines; an error of htslib on the way becomes an InputError."""
    source = iter(lines)
    while True:
        line = _told(name, lambda: next(source, None))
        if line is None:
            return
        yield line


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
