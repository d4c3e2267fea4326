"""Records of a file classified one batch after another: rows of a table, at constant memory."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from genoseq.classify.channels import letters
from genoseq.classify.context import Flat
from genoseq.classify.estimator import Calls, ContextMixtureClassifier
from genoseq.classify.labelled import read_records
from genoseq.classify.sequences import SequenceInputError, check_sequences
from genoseq.errors import InputError
from genoseq.outputs import whole_folder
from genoseq.seqs.alphabet import CODES
from genoseq.seqs.batch import ReadBatch, batch_of
from genoseq.seqs.chunks import read_chunks

__all__ = ["COLUMNS", "WINDOW_COLUMNS", "CalledBatch", "SplitFolder", "call_file", "call_windows", "rows"]

COLUMNS = ("name", "length", "label", "probability", "margin_bits", "bits_per_base", "novelty")
WINDOW_COLUMNS = ("name", "start", "end", *COLUMNS[2:])
BATCH, BATCH_BASES = 4096, 1 << 22
MARKER = "labels.tsv"
LINE = 80


class CalledBatch(NamedTuple):
    """Reads and what was said of them.

    Attributes:
        reads: the records.
        owner: number of the read of each call, ``(c,)``; a read has one call, or one a window.
        spans: first base of each call and the one after the last, ``(c, 2)``.
        calls: ``c`` of them.
    """

    reads: ReadBatch
    owner: NDArray[np.int64]
    spans: NDArray[np.int64]
    calls: Calls


def call_file(model: ContextMixtureClassifier, path: str) -> Iterator[CalledBatch]:
    """Whole records, in the order of the file.

    Raises:
        InputError: names the record and the line at fault.
    """
    for batch in _batches(model, path):
        flat = _codes(model, batch)
        lengths = np.diff(batch.offsets)
        spans = np.stack([np.zeros(len(batch), np.int64), lengths], axis=1)
        yield CalledBatch(batch, np.arange(len(batch)), spans, model.call_codes(flat))


def call_windows(model: ContextMixtureClassifier, path: str, *, size: int, step: int) -> Iterator[CalledBatch]:
    """Windows of ``size`` bases, ``step`` apart; the last one of a record ends with it. Shorter records are one window.

    Raises:
        InputError: names the record and the line at fault.
    """
    for batch in _batches(model, path):
        flat = _codes(model, batch)
        owner, spans = [], []
        for i, length in enumerate(np.diff(batch.offsets).tolist()):
            starts = np.arange(0, max(length - size, 0) + 1, step)
            if length > size and starts[-1] + size < length:
                starts = np.append(starts, length - size)
            owner.append(np.full(len(starts), i))
            spans.append(np.stack([starts, np.minimum(starts + size, length)], axis=1))
        owners, places = np.concatenate(owner), np.concatenate(spans)
        for begin in range(0, len(owners), BATCH):
            who, where = owners[begin : begin + BATCH], places[begin : begin + BATCH]
            bases = flat.offsets[who]
            pieces = [flat.codes[o + a : o + b] for o, (a, b) in zip(bases.tolist(), where.tolist(), strict=True)]
            yield CalledBatch(batch, who, where, model.call_codes(Flat.of(pieces)))


def _batches(model: ContextMixtureClassifier, path: str) -> Iterator[ReadBatch]:
    if model.mode != "protein":
        with contextlib.closing(read_chunks(path, batch_size=BATCH, max_bases=BATCH_BASES)) as reader:
            yield from reader
        return
    records = read_records(path, protein=True)
    done = 0
    while batch := list(islice(records, BATCH)):
        for place, record in enumerate(batch, start=done + 1):
            try:
                check_sequences([record.sequence], alphabet="protein", empty=True)
            except SequenceInputError as error:
                raise InputError(f"record {place} ({record.name!r}): {error}", path=path) from error
        done += len(batch)
        yield batch_of(batch, first_record=0, has_quality=False, keep_comments=False)


def _codes(model: ContextMixtureClassifier, batch: ReadBatch) -> Flat:
    if model.mode == "protein":
        return letters([batch.record(i).sequence.encode() for i in range(len(batch))], protein=True)
    return Flat(CODES[batch.seq], batch.offsets)


def rows(batch: CalledBatch, *, windows: bool) -> Iterator[str]:
    """Lines of the table; a number that does not exist is ``NA``."""
    calls = batch.calls
    for c, (i, (start, end)) in enumerate(zip(batch.owner.tolist(), batch.spans.tolist(), strict=True)):
        place = f"{start}\t{end}" if windows else f"{end - start}"
        said = (
            _number(calls.probabilities[c], 4),
            _number(calls.margins[c], 2),
            _number(calls.rates[c], 4),
            _number(calls.novelty[c], 3),
        )
        if not calls.symbols[c]:
            said = ("NA",) * 4
        yield "\t".join((batch.reads.name(i), place, str(calls.labels[c]), *said)) + "\n"


def _number(value: float, digits: int) -> str:
    return "NA" if np.isnan(value) else f"{value:.{digits}f}"


def _files_listed(folder: Path) -> set[str]:
    """The files of an older split, by its table: they were named by the labels of another model, perhaps."""
    rows = (line.split("\t") for line in (folder / MARKER).read_text(errors="replace").splitlines()[1:])
    return {row[-2] for row in rows if len(row) >= 3}


class SplitFolder:
    """A folder with one FASTA file a label, and the table ``labels.tsv``: label, file, records. Appears when all is done.

    Args:
        path: the folder; one that this class wrote is replaced, unless other files lie in it.
    """

    def __init__(self, path: str) -> None:
        self._stack = contextlib.ExitStack()
        self._path = path
        self._files: dict[str, str] = {}
        self._records: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._folder: Path = self._stack.enter_context(whole_folder(self._path, marker=MARKER, known=_files_listed))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            lines = [f"{label}\t{self._files[label]}\t{count}\n" for label, count in self._records.items()]
            (self._folder / MARKER).write_text("label\tfile\trecords\n" + "".join(lines))
        self._stack.__exit__(kind, error, trace)

    def add(self, batch: CalledBatch) -> None:
        """Write the records of a batch of whole records."""
        texts: dict[str, list[str]] = {}
        for i, label in enumerate(batch.calls.labels.tolist()):
            record = batch.reads.record(i)
            lines = (record.sequence[k : k + LINE] for k in range(0, len(record.sequence), LINE))
            texts.setdefault(str(label), []).append("\n".join((f">{record.name}", *lines)) + "\n")
        for label, records in texts.items():
            with (self._folder / self._file_of(label)).open("a") as file:
                file.writelines(records)
            self._records[label] = self._records.get(label, 0) + len(records)

    def _file_of(self, label: str) -> str:
        """A file name for a label: its letters, digits, dots and dashes, with a number where that is taken."""
        if label not in self._files:
            plain = re.sub(r"[^\w.-]+", "_", label).strip("._") or "label"
            taken = {name.lower() for name in self._files.values()}
            names: Iterable[str] = (f"{plain}{'' if k == 1 else f'-{k}'}.fa" for k in range(1, len(taken) + 2))
            self._files[label] = next(name for name in names if name.lower() not in taken)
        return self._files[label]
