"""Sequences laid into the columns of an alignment by the profile hidden Markov model of it, as hmmalign does.

The profile has one match state for each column, so what is aligned to it has the columns of the
alignment, and so those of its query.
Eddy, S. R. (2011), PLOS Computational Biology 7:e1002195; the work is done by pyhmmer.
"""

from __future__ import annotations

import functools
import io
import logging
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from genoseq.errors import InputError
from genoseq.families.alignments.a3m import a3m_rows, alignment_of_a3m
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.files import unique_names
from genoseq.families.alignments.protein_records import Protein
from genoseq.families.alphabet import GAP
from genoseq.log import counted
from genoseq.parallel import ordered_map

if TYPE_CHECKING:
    from pyhmmer.easel import Alphabet, DigitalSequenceBlock
    from pyhmmer.plan7 import HMM, Builder

__all__ = [
    "AlignedRows",
    "align_proteins",
    "amino_alphabet",
    "builder",
    "digital_alignment",
    "digital_block",
    "profile_of",
    "profile_of_sequence",
]

log = logging.getLogger(__name__)

WIDEST = 3  # columns of insertions for each column, at most, in what a profile is made of
BLOCK = 128  # sequences aligned at a time
MEMBER = 1e-3  # E-value up to which a sequence is taken for a member of the family
SEED = 42  # of HMMER's own simulations, as in its programs


class AlignedRows(NamedTuple):
    """N rows in a3m, exactly as they were aligned.

    Attributes:
        alignment: the rows as an alignment.
        rows: N rows; insertions in lower case.
        unlike: names of the sequences that do not look like members of the family.
    """

    alignment: Alignment
    rows: tuple[str, ...]
    unlike: tuple[str, ...] = ()


@functools.cache
def amino_alphabet() -> Alphabet:
    """The one alphabet of all profiles and sequences: HMMER's structures point at it, so it has to outlive them."""
    from pyhmmer import easel

    return easel.Alphabet.amino()


def builder() -> Builder[Any]:
    """What makes profiles: match states where it is told, so that they stay the columns of the query."""
    from pyhmmer import plan7

    return plan7.Builder(amino_alphabet(), architecture="hand", seed=SEED)


def profile_of(alignment: Alignment, *, name: str = "family") -> HMM[Any]:
    """The profile of an alignment; every column becomes a match state. Weights and prior are those of hmmbuild.

    Raises:
        InputError: no row has a residue.
    """
    from pyhmmer import plan7

    filled = alignment.subset((alignment.matrix != GAP).any(axis=1))
    if not len(filled):
        raise InputError("the alignment has no residues: no profile can be made of it")
    width = [0] * (alignment.length + 1)  # longest insertion before each column
    pieces = [_split(row) for row in a3m_rows(filled)]
    for _, inserts in pieces:
        for place, insert in enumerate(inserts):
            width[place] = max(width[place], len(insert))
    width[0] = width[-1] = 0  # what flanks the columns is no insertion
    longest = max(width)
    while sum(min(one, longest) for one in width) > WIDEST * alignment.length:
        longest -= 1  # a few very long insertions would make the rows of all others as long
    width = [min(one, longest) for one in width]
    texts = []
    for matches, inserts in pieces:
        parts = []
        for place, insert in enumerate(inserts):
            parts.append(insert[: width[place]].ljust(width[place], "."))
            if place < alignment.length:
                parts.append(matches[place])
        texts.append("".join(parts))
    marks = "".join("." * width[place] + "x" for place in range(alignment.length))
    made, _, _ = builder().build_msa(digital_alignment(texts, marks, name=name), plan7.Background(amino_alphabet()))
    return made


def digital_alignment(rows: Sequence[str], marks: str, *, name: str) -> Any:
    """Rows of equal length as HMMER takes them (``pyhmmer.easel.DigitalMSA``), columns marked ``x`` being match states.

    They go through the text of a file: where pyhmmer 0.12 is given the marks directly, it leaves out the end of their
    text, and HMMER reads beyond it.
    """
    from pyhmmer import easel

    lines = "".join(f"r{number} {row}\n" for number, row in enumerate(rows))
    text = f"# STOCKHOLM 1.0\n#=GF ID {name}\n{lines}#=GC RF {marks}\n//\n"
    with easel.MSAFile(io.BytesIO(text.encode("ascii")), format="pfam", digital=True, alphabet=amino_alphabet()) as file:
        return file.read()


def profile_of_sequence(sequence: str, *, name: str = "query") -> HMM[Any]:
    """The profile of one sequence, by BLOSUM62, as in phmmer."""
    from pyhmmer import easel, plan7

    alphabet = amino_alphabet()
    digital = easel.TextSequence(name=name, sequence=sequence).digitize(alphabet)
    made, _, _ = builder().build(digital, plan7.Background(alphabet))
    return made


def align_proteins(reference: Alignment, proteins: Iterable[Protein], *, keep: bool = False, threads: int = 1) -> AlignedRows:
    """Align sequences to the columns of ``reference``.

    Args:
        reference: the alignment; its query, if it has one, comes first in the result.
        proteins: the sequences; names used before get a suffix.
        keep: put all rows of ``reference`` first, not only the query.
        threads: threads; they do not change the result.

    Raises:
        InputError: no sequences, or an alignment without residues.
    """
    profile = profile_of(reference)
    columns = profile.M
    has_query = reference.query is not None
    if keep:
        names, rows = list(reference.names), a3m_rows(reference)
    elif has_query:
        names, rows = [reference.names[0]], [str(reference.query)]
    else:
        names, rows = [], []
    first = len(names)
    unlike: list[str] = []
    for block, aligned, members in ordered_map(
        lambda block: _align_block(profile, block), _blocks(proteins, BLOCK), threads=threads
    ):
        names += [protein.name for protein in block]
        rows += aligned
        unlike += [protein.name for number, protein in enumerate(block) if number not in members]
    if len(rows) == first:
        raise InputError("there are no sequences to align")
    if unlike:
        few = ", ".join(unlike[:5]) + (", ..." if len(unlike) > 5 else "")
        log.warning("%s without likeness to the family (E-value above %g): %s", counted(len(unlike), "sequence"), MEMBER, few)
    unique, repeated = unique_names(names)
    if repeated:
        log.warning("%s already used got a suffix such as '_2'", counted(repeated, "name"))
    log.info("aligned %s to %d columns", counted(len(rows) - first, "sequence"), columns)
    alignment = alignment_of_a3m(unique, rows, query=has_query, start=reference.start)
    return AlignedRows(
        Alignment(alignment.names, alignment.matrix, alignment.sequences, reference.query, reference.start, reference.modelled),
        tuple(rows),
        tuple(unlike),
    )


def digital_block(
    proteins: Sequence[Protein], *, first: int = 0, only: Container[str] | None = None
) -> DigitalSequenceBlock[Any]:
    """The sequences as HMMER takes them, named by their numbers, counted from ``first``; with ``only``, those of these names."""
    from pyhmmer import easel

    alphabet = amino_alphabet()
    return easel.DigitalSequenceBlock(
        alphabet,
        [
            easel.TextSequence(name=str(at), sequence=one.sequence).digitize(alphabet)
            for at, one in enumerate(proteins, first)
            if only is None or one.name in only
        ],
    )


def _blocks(proteins: Iterable[Protein], size: int) -> Iterator[list[Protein]]:
    source = iter(proteins)
    while block := list(islice(source, size)):
        yield block


def _align_block(profile: HMM[Any], proteins: list[Protein]) -> tuple[list[Protein], list[str], set[int]]:
    """The sequences, their a3m rows and the numbers of those that are members."""
    from pyhmmer import plan7

    block = digital_block(proteins)
    aligner = plan7.TraceAligner()
    traces = aligner.compute_traces(profile, block)
    msa = aligner.align_traces(profile, block, traces, digitize=False, all_consensus_cols=True)
    rows = [row.replace(".", "") for row in msa.alignment]
    pipeline = plan7.Pipeline(amino_alphabet(), Z=1, E=MEMBER, seed=SEED)
    members = {int(hit.name) for hit in pipeline.search_hmm(profile, block) if hit.evalue <= MEMBER}
    return proteins, rows, members


def _split(row: str) -> tuple[str, list[str]]:
    """Match letters of an a3m row, and the insertions before each and after the last."""
    matches: list[str] = []
    inserts = [""]
    for letter in row:
        if letter.islower():
            inserts[-1] += letter
        else:
            matches.append(letter)
            inserts.append("")
    return "".join(matches), inserts
