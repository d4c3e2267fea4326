"""VCF with scores: INFO fields are added to records, everything else stays as it was, byte for byte.

Written is VCF: plain, or bgzip with a tabix index. VCF specification 4.4, sections 1.4 and 1.6.1.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.infer.reference import Reference
from genoseq.infer.variants import NOTES, Variant, VariantScore, compare_reference
from genoseq.infer.vcf_source import VcfLine, VcfSource, quiet_htslib
from genoseq.outputs import whole_file

__all__ = [
    "FIELDS",
    "FORMAT",
    "VERSION",
    "Annotation",
    "LineSink",
    "annotate",
    "check_records",
    "check_vcf_name",
    "vcf_output",
]

log = logging.getLogger(__name__)

FORMAT = "genoseq.variant-scores"
VERSION = 1
REPORTED = 1000
"""Records whose reference allele is wrong that are named one by one, at most."""
TBI_LONGEST = 1 << 29
"""Positions beyond this need a CSI index."""

FIELDS = {
    "GS_LLR": (
        "Float",
        "Log-likelihood ratio, alternative minus reference window, nats; negative: the model finds the allele less probable",
    ),
    "GS_REF_LL": ("Float", "Log-likelihood of the reference window, nats"),
    "GS_ALT_LL": ("Float", "Log-likelihood of the alternative window, nats; both windows have the same number of bases"),
    "GS_NOTE": ("String", f"Why there is no score: {'; '.join(f'{name} ({text})' for name, text in NOTES.items())}"),
}
"""Type and description of the INFO fields; each has one value per alternative allele."""


class Annotation(NamedTuple):
    """What became of the records.

    Attributes:
        records: records written.
        counts: alternative alleles: ``scored``, or the note of `NOTES` about why not.
    """

    records: int
    counts: Counter[str]


class LineSink(Protocol):
    """Where lines of text go."""

    def write(self, data: bytes, /) -> Any:
        """Write bytes."""
        ...


def annotate(
    source: VcfSource,
    reference: Reference,
    score: Callable[[Iterable[Variant]], Iterator[VariantScore]],
    sink: LineSink,
    *,
    metadata: str,
    skip_mismatch: bool = False,
    report: Callable[[int], None] = lambda records: None,
) -> Annotation:
    """Write each record with its scores; see `FIELDS`.

    Args:
        source: the records.
        reference: the genome.
        score: gives the scores of variants, in their order.
        sink: takes the lines.
        metadata: about the scores, for the header.
        skip_mismatch: records that disagree with the reference get no score; otherwise they are an error.
        report: is told how many records were written since it was last told.

    Raises:
        InputError: records disagree with the reference. Each was reported by then; none after the first was scored.
    """
    waiting: deque[VcfLine] = deque()
    checked = _Checked(source, reference, skip_mismatch=skip_mismatch)

    def variants() -> Iterator[Variant]:
        for line in checked:
            waiting.append(line)
            yield line.variant

    for text in _annotated_header(source, metadata):
        sink.write(_encoded(text))
    counts: Counter[str] = Counter()
    records = 0
    for scored in score(variants()):
        line = waiting.popleft()
        sink.write(_encoded(_annotated(line.text, scored)))
        counts.update(alt.note or "scored" for alt in scored.alts)
        records += 1
        report(1)
    checked.finish()
    return Annotation(records, counts)


def check_records(source: VcfSource, reference: Reference) -> None:
    """Compare all records with the reference, before any is scored.

    Raises:
        InputError: some disagree; each was reported.
    """
    checked = _Checked(source, reference, skip_mismatch=False)
    deque(checked, maxlen=0)
    checked.finish()


class _Checked:
    """The records that agree with the reference, or all of them if others may be skipped; reports those that do not."""

    def __init__(self, source: VcfSource, reference: Reference, *, skip_mismatch: bool) -> None:
        self._source, self._reference, self._skip = source, reference, skip_mismatch
        self._wrong: Counter[str] = Counter()
        self._records = 0

    def __iter__(self) -> Iterator[VcfLine]:
        for line in self._source:
            self._records += 1
            wrong = compare_reference(line.variant, self._reference)
            if wrong is not None:
                self._tell(line, wrong)
            if self._skip or not self._wrong:
                yield line

    def _tell(self, line: VcfLine, wrong: tuple[str, str]) -> None:
        self._wrong[wrong[0]] += 1
        told = self._wrong.total()
        if told <= REPORTED:
            where = f"{line.variant.contig}:{line.variant.start + 1}"
            say = log.warning if self._skip else log.error
            say("%s, record %d (%s): %s", self._source.path, line.number, where, wrong[1])
        elif told == REPORTED + 1:
            log.warning("further records that disagree with the reference are only counted")

    def finish(self) -> None:
        """Fail if records disagreed and may not be skipped."""
        if not self._wrong or self._skip:
            return
        mismatches, absent = self._wrong["ref_mismatch"], self._wrong["no_contig"]
        parts = [f"{mismatches:,} disagree with the FASTA file"] if mismatches else []
        parts += [f"{absent:,} are on contigs that it does not have"] if absent else []
        raise InputError(
            f"of {self._records:,} records, {' and '.join(parts)}",
            path=self._source.path,
            remedy="is this the assembly that the variants were called on? --skip-mismatch writes such records without scores",
        )


def _annotated_header(source: VcfSource, metadata: str) -> Iterator[str]:
    """The header with the definitions of the fields; older definitions of them are left out."""
    own = tuple(f"##INFO=<ID={name}," for name in FIELDS)
    for line in source.header:
        if not line.startswith(own) and not line.startswith("##genoseq_variants="):
            yield line
    for name, (kind, description) in FIELDS.items():
        yield f'##INFO=<ID={name},Number=A,Type={kind},Description="{description}">'
    yield f"##genoseq_variants={metadata}"
    yield source.columns


def _annotated(line: str, scored: VariantScore) -> str:
    fields = line.split("\t", 8)
    kept = [item for item in fields[7].split(";") if item not in ("", ".") and item.partition("=")[0] not in FIELDS]
    alts = scored.alts
    if any(alt.note is None for alt in alts):
        kept.append(f"GS_LLR={','.join(_number(alt.llr) for alt in alts)}")
        kept.append(f"GS_REF_LL={','.join(_number(alt.ref) for alt in alts)}")
        kept.append(f"GS_ALT_LL={','.join(_number(alt.alt) for alt in alts)}")
    if any(alt.note is not None for alt in alts):
        kept.append(f"GS_NOTE={','.join(alt.note or '.' for alt in alts)}")
    fields[7] = ";".join(kept) or "."
    return "\t".join(fields)


def _number(value: float | None) -> str:
    """Six digits of a number whatever its size, never as -0."""
    return "." if value is None else f"{value + 0.0:.6g}" if abs(value) >= 1e-6 else "0"


def _encoded(line: str) -> bytes:
    return f"{line}\n".encode("utf-8", "surrogateescape")


@contextlib.contextmanager
def vcf_output(path: Pathlike | None, *, longest: int = 0) -> Iterator[LineSink]:
    """A sink for a VCF: standard output (``None`` or ``-``), plain, or bgzip with an index if the name ends in ``.gz``.

    A file appears when the block has succeeded. Records that are not sorted by position cannot be indexed: then there is a
    warning, and no index.

    Args:
        path: where to write.
        longest: bases of the longest contig, which decides the kind of index.

    Raises:
        OutputError: it cannot be written.
    """
    if path is None or str(path) == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    if not target.name.endswith((".vcf.gz", ".vcf.bgz")):
        with whole_file(target) as temporary, open(temporary, "wb") as file:
            yield file
        return
    import pysam

    kind = "csi" if longest >= TBI_LONGEST else "tbi"
    index = target.with_name(f"{target.name}.{kind}")
    with whole_file(target) as temporary:
        with contextlib.closing(pysam.BGZFile(str(temporary), "wb", None)) as packed:
            yield packed
        made = Path(f"{temporary}.{kind}")
        try:
            with quiet_htslib():
                pysam.tabix_index(str(temporary), preset="vcf", force=True, csi=kind == "csi", index=str(made))
        except (OSError, ValueError):
            log.warning("%s: its records are not sorted by position, so it has no index (bcftools sort)", path)
            made.unlink(missing_ok=True)
            index.unlink(missing_ok=True)
            return
        try:
            with whole_file(index) as beside:
                made.replace(beside)
        finally:
            made.unlink(missing_ok=True)


def check_vcf_name(path: str | None) -> None:
    """Refuse an output whose name promises another format.

    Raises:
        UsageError: it does.
    """
    if path is None or path.endswith((".vcf.gz", ".vcf.bgz")):
        return
    if path.endswith((".bcf", ".gz", ".bgz", ".zst", ".bz2")):
        raise UsageError(f"-o {path}: VCF is written as .vcf or .vcf.gz")
