"""The fast reader gives what the plain reader gives: the same records, and the same error at the same place."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genoseq.errors import InputError
from genoseq.seqs.chunks import read_chunks
from genoseq.seqs.fastx import read_fastx
from genoseq.seqs.record import Record

NAMES = st.text("ab@>+/1_|", min_size=1, max_size=6)
COMMENTS = st.sampled_from(["", " c", "\tc d", " ", "  two", " @>+"])
BASES = st.text("ACGTNacgtnRYu.", max_size=12)
QUALITY = st.sampled_from("@>+!~I5")
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n"])
WRAP = st.one_of(st.none(), st.none(), st.none(), st.integers(1, 5))
ODDITIES = st.sampled_from(
    ["\n", "\r\n", " ", "-", "E", "\r", "@", ">", "+", "\0", "I", "\t", "x y", "\u00e4", "@x\nA\n+\nII\n"]
)


@st.composite
def layouts(draw: st.DrawFn, *, fastq: bool) -> str:
    """One record in some layout."""
    sequence, end, wrap = draw(BASES), draw(ENDS), draw(WRAP)

    def lines(text: str) -> str:
        width = wrap or max(len(text), 1)
        return end.join(text[i : i + width] for i in range(0, max(len(text), 1), width)) + end

    header = draw(NAMES) + draw(COMMENTS) + end
    blank = end * draw(st.sampled_from([0, 0, 0, 1, 2]))
    if not fastq:
        return f">{header}{lines(sequence)}{blank}"
    quality = "".join(draw(st.lists(QUALITY, min_size=len(sequence), max_size=len(sequence))))
    return f"@{header}{lines(sequence)}+{draw(st.sampled_from(['', 'x']))}{end}{lines(quality)}{blank}"


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A FASTA or FASTQ file, at times cut short, without its last line end, or with something odd put in."""
    fastq = draw(st.booleans())
    text = draw(st.sampled_from(["", "", "", "\n", "\ufeff"])) + "".join(
        draw(st.lists(layouts(fastq=fastq), max_size=8))
    )
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(ODDITIES) + text[place:]
    if draw(st.integers(0, 3)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    return text.encode()


def plainly(path: Path) -> tuple[list[Record], str]:
    """Records (in upper case) and the error, if there is one, of the plain reader."""
    records: list[Record] = []
    try:
        for record in read_fastx(path):
            records.append(replace(record, sequence=record.sequence.upper()))
    except InputError as error:
        return records, str(error)
    return records, ""


def fast(path: Path, *, batch_size: int, block_size: int) -> tuple[list[Record], str]:
    """The same of the fast reader. The batch in which an error stands is not given out."""
    records: list[Record] = []
    try:
        for batch in read_chunks(path, batch_size=batch_size, block_size=block_size, keep_comments=True):
            assert batch.first_record == len(records)
            records += [batch.record(i) for i in range(len(batch))]
    except InputError as error:
        return records, str(error)
    return records, ""


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=files(), batch_size=st.integers(1, 5), block_size=st.sampled_from([1, 2, 3, 7, 20, 1 << 16]))
@example(data=b"@r\n+\n@s\nA\n+\nI\n", batch_size=2, block_size=1)
@example(data=b"@r\n\n+\n", batch_size=1, block_size=1)
@example(data=b"@r\r\nA\r\n+\r\nI\r", batch_size=1, block_size=3)
@example(data=b">r\nA\n\r\n\rC\n", batch_size=1, block_size=1)
def test_fast_and_plain_reader_agree(tmp_path: Path, data: bytes, batch_size: int, block_size: int) -> None:
    path = tmp_path / "reads"
    path.write_bytes(data)
    records, error = plainly(path)
    given_out, fast_error = fast(path, batch_size=batch_size, block_size=block_size)
    assert fast_error == error
    whole = len(records) if not error else len(records) // batch_size * batch_size
    assert given_out == records[:whole]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=files(), kept=st.floats(0, 1), block_size=st.sampled_from([1, 7, 1 << 16]))
def test_fast_and_plain_reader_agree_on_cut_gzip(tmp_path: Path, data: bytes, kept: float, block_size: int) -> None:
    packed = gzip.compress(data, mtime=0)
    path = tmp_path / "reads.gz"
    path.write_bytes(packed[: max(2, int(kept * len(packed)))])
    records, error = plainly(path)
    given_out, fast_error = fast(path, batch_size=1, block_size=block_size)
    assert (given_out, fast_error) == (records, error)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(st.tuples(NAMES, BASES), max_size=6),
    ends=ENDS,
    wrap=st.integers(1, 20),
    block_size=st.sampled_from([1, 5, 1 << 16]),
)
def test_what_is_written_is_read(
    tmp_path: Path, records: list[tuple[str, str]], ends: str, wrap: int, block_size: int
) -> None:
    """Independent of the plain reader: the records are known beforehand."""
    path = tmp_path / "reads.fa"
    parts = [f">{name}{ends}" + "".join(s[i : i + wrap] + ends for i in range(0, len(s), wrap)) for name, s in records]
    path.write_bytes("".join(parts).encode())
    found, error = fast(path, batch_size=3, block_size=block_size)
    assert error == ""
    assert [(record.name, record.sequence) for record in found] == [(name, s.upper()) for name, s in records]
