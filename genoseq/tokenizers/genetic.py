"""Genetic codes: translation, back-translation, and counts of codons, all by table look-ups.

The codes are those of NCBI (as Biopython carries them), by number or name. Codons are numbered ``16 a + 4 b + c`` with A 0, C 1,
G 2, T 3. Reading frames count from the start of the strand that is read: frame 1 of the reverse strand leaves out the last
base of the sequence.

Life-Code (Liu et al. 2025) brings RNA and protein back to nucleotides in this way, so that one net reads all three.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.seqs.alphabet import CODES, IUPAC, UNKNOWN_MARKS, reverse_complement
from genoseq.tokenizers.letters import AnySequence, check_known, letters_of

__all__ = [
    "Frame",
    "GeneticCode",
    "Rule",
    "Strand",
    "back_translate",
    "codon_usage",
    "genetic_code",
    "genetic_codes",
    "read_frame",
    "to_nucleotides",
    "translate",
]

Strand = Literal["+", "-"]
Frame = Literal[0, 1, 2]
Rule = Literal["first", "frequent", "degenerate"]
Kind = Literal["dna", "rna", "protein"]

BASES = "ACGT"
_NCBI_ORDER = "TCAG"  # the order of codons in NCBI's tables
# Sets of bases as 4 bits (A 1, C 2, G 4, T 8), and the IUPAC letter of each set; 0 is no base at all.
_SETS = "-ACMGRSVTWYHKDBN"
_SET_OF = {letter: number for number, letter in enumerate(_SETS) if number} | {"U": 8, "X": 15, ".": 15}
_MIXED = {frozenset("DN"): "B", frozenset("EQ"): "Z", frozenset("IL"): "J"}  # IUPAC letters for either of two amino acids


def _set_table() -> bytes:
    table = bytearray(256)
    for letter, number in _SET_OF.items():
        table[ord(letter)] = table[ord(letter.lower())] = number
    return bytes(table)


_SET_TABLE = _set_table()


@dataclass(frozen=True)
class GeneticCode:
    """One genetic code.

    Attributes:
        number: NCBI's number (``transl_table``).
        names: its names.
        amino_acids: the amino acid of each codon, ``*`` for a stop, 64 letters by codon number. Where a codon is read in both
            ways (codes 27, 28 and 31), its amino acid.
        starts: codons that begin a protein.
        stops: codons that end one, those read in both ways included.
    """

    number: int
    names: tuple[str, ...]
    amino_acids: str
    starts: tuple[str, ...]
    stops: tuple[str, ...]

    @functools.cached_property
    def letters(self) -> NDArray[np.uint8]:
        """Amino acid of three sets of bases, uint8 ``(4096,)``, by ``256 first + 16 second + third`` (A 1, C 2, G 4, T 8).

        A letter where all codons agree; B, Z, J for D or N, E or Q, I or L; ``X`` for any other mixture or where one of the
        sets is empty; ``-`` where all three are.
        """
        alphabet = sorted(set(self.amino_acids))
        members = np.zeros((16, 16, 16), np.uint32)  # bit set of the amino acids that three sets of bases may mean
        holding = [[number for number in range(16) if number >> base & 1] for base in range(4)]
        for codon, letter in enumerate(self.amino_acids):
            place = np.ix_(holding[codon >> 4], holding[codon >> 2 & 3], holding[codon & 3])
            members[place] |= np.uint32(1 << alphabet.index(letter))
        meaning = {1 << number: letter for number, letter in enumerate(alphabet)}
        for group, letter in _MIXED.items():
            if group <= set(alphabet):
                meaning[sum(1 << alphabet.index(one) for one in group)] = letter
        table = np.array([ord(meaning.get(int(found), "X")) for found in members.reshape(-1)], np.uint8)
        table[0] = ord("-")
        table.setflags(write=False)
        return table

    def codons(self, amino_acid: str) -> tuple[str, ...]:
        """The codons of an amino acid (or ``*``), in the order of NCBI's tables (T, C, A, G), stops too last."""
        ordered = [a + b + c for a in _NCBI_ORDER for b in _NCBI_ORDER for c in _NCBI_ORDER]
        if amino_acid == "*":
            return tuple(codon for codon in ordered if codon in self.stops)
        found = [codon for codon in ordered if self.amino_acids[codon_number(codon)] == amino_acid]
        return tuple(sorted(found, key=lambda codon: codon in self.stops))


def codon_number(codon: str) -> int:
    """Number of a codon of A, C, G, T.

    >>> codon_number("ATG")
    14
    """
    first, second, third = (BASES.index(base) for base in codon)
    return 16 * first + 4 * second + third


@functools.cache
def genetic_codes() -> dict[int, GeneticCode]:
    """All genetic codes of NCBI by number.

    >>> len(genetic_codes()) >= 27, genetic_codes()[2].codons("W")
    (True, ('TGA', 'TGG'))
    """
    from Bio.Data.CodonTable import unambiguous_dna_by_id

    codes = {}
    for number, table in sorted(unambiguous_dna_by_id.items()):
        letters = [table.forward_table.get(a + b + c, "*") for a in BASES for b in BASES for c in BASES]
        names = tuple(name for name in table.names if name)
        codes[number] = GeneticCode(number, names, "".join(letters), tuple(table.start_codons), tuple(table.stop_codons))
    return codes


def genetic_code(code: int | str | GeneticCode) -> GeneticCode:
    """A genetic code by NCBI's number or by name (``Standard``, ``Bacterial``, ``SGC1``).

    Raises:
        UsageError: there is no such code; the message lists those there are.
    """
    if isinstance(code, GeneticCode):
        return code
    codes = genetic_codes()
    wanted = str(code).casefold()
    for number, found in codes.items():
        if wanted == str(number) or wanted in (name.casefold() for name in found.names):
            return found
    known = ", ".join(f"{number} {found.names[0]}" for number, found in codes.items())
    raise UsageError(f"no genetic code {code!r}; there are: {known}")


def read_frame(letters: bytes, *, frame: int = 0, strand: str = "+") -> bytes:
    """The strand to read, without the bases before the frame.

    Raises:
        UsageError: ``frame`` is not 0, 1 or 2, or ``strand`` is not + or -.

    >>> read_frame(b"AACGT", frame=1, strand="-")
    b'CGTT'
    """
    if frame not in (0, 1, 2):
        raise UsageError(f"frame is {frame!r}; expected 0, 1 or 2")
    if strand not in ("+", "-"):
        raise UsageError(f"strand is {strand!r}; expected '+' or '-'")
    return (letters if strand == "+" else reverse_complement(letters))[frame:]


def translate(
    sequence: AnySequence,
    *,
    code: int | str | GeneticCode = 1,
    frame: int = 0,
    strand: str = "+",
    to_stop: bool = False,
) -> str:
    """The protein that a nucleotide sequence codes for; bases left over at the end are ignored.

    Lower case and ``U`` are read. A codon with IUPAC codes gives the amino acid on which all its readings agree, B, Z or J where
    they are D or N, E or Q, I or L, and X otherwise. Three gaps (or other characters that are no base) give ``-``, one or two X.

    Args:
        to_stop: end before the first ``*``.

    Raises:
        InputError: a character that is not ASCII.
        UsageError: no such code, frame or strand.

    >>> translate("ATGGCNTARTGA"), translate("ATGGCNTARTGA", to_stop=True)
    ('MA**', 'MA')
    """
    table = genetic_code(code).letters
    letters = read_frame(letters_of(sequence), frame=frame, strand=strand)
    sets = np.frombuffer(letters.translate(_SET_TABLE), np.uint8)[: len(letters) // 3 * 3].reshape(-1, 3)
    index = (sets[:, 0].astype(np.uint16) << 8) | (sets[:, 1] << 4) | sets[:, 2]
    protein = bytes(table[index]).decode("ascii")
    return protein.partition("*")[0] if to_stop else protein


@functools.lru_cache(maxsize=64)
def _back_table(code: GeneticCode, rule: str, usage: tuple[tuple[str, float], ...]) -> tuple[NDArray[np.uint8], bytes]:
    """Codon of each protein letter, uint8 ``(256, 3)``, and the letters that have one."""
    counts = dict(usage)
    choices = {letter: code.codons(letter) for letter in sorted({*code.amino_acids, "*"})}
    choices |= {letter: sum((choices.get(one, ()) for one in sorted(group)), ()) for group, letter in _MIXED.items()}
    chosen = {"X": "NNN", "-": "---", "U": "TGA", "O": "TAG"}  # selenocysteine and pyrrolysine are recoded stops
    for letter, codons in choices.items():
        if not codons:
            continue
        if rule == "degenerate" or letter in _MIXED.values():
            columns = zip(*codons, strict=True)
            chosen[letter] = "".join(_SETS[sum({1 << BASES.index(base) for base in column})] for column in columns)
        else:
            chosen[letter] = max(codons, key=lambda codon: counts.get(codon, 0))  # the first of equals
    table = np.zeros((256, 3), np.uint8)
    for letter, codon in chosen.items():
        table[[ord(letter), ord(letter.lower())]] = np.frombuffer(codon.encode(), np.uint8)
    return table, "".join(chosen).encode() + "".join(chosen).lower().encode()


def back_translate(
    protein: AnySequence,
    *,
    code: int | str | GeneticCode = 1,
    rule: Rule = "first",
    usage: Mapping[str, float] | None = None,
) -> str:
    """A nucleotide sequence that codes for a protein, three bases for each residue.

    ``U`` and ``O`` become TGA and TAG, the stops that code for them; X becomes NNN, B, Z and J the degenerate codon of their
    two amino acids, ``-`` three gaps, and ``*`` a stop. Lower case is read.

    Args:
        rule: ``first`` takes the first codon in the order of NCBI's tables (T, C, A, G); ``frequent`` the one with the largest
            number in ``usage``, the first of equals; ``degenerate`` the IUPAC codes that cover all codons of the amino acid,
            and for serine, leucine and arginine some others too.
        usage: counts or frequencies of codons, for example of :func:`codon_usage`.

    Raises:
        InputError: a character that is no residue.
        UsageError: no such code or rule, or ``usage`` missing, not used or with a key that is no codon.

    >>> back_translate("MF*"), back_translate("MF*", rule="degenerate")
    ('ATGTTTTAA', 'ATGTTYTRR')
    """
    if rule not in ("first", "frequent", "degenerate"):
        raise UsageError(f"rule is {rule!r}; expected 'first', 'frequent' or 'degenerate'")
    if (rule == "frequent") != (usage is not None):
        raise UsageError("rule 'frequent' and a table of codon usage go together; give both or neither")
    counts = {codon.upper().replace("U", "T"): float(number) for codon, number in (usage or {}).items()}
    wrong = [codon for codon in counts if len(codon) != 3 or not set(codon) <= set(BASES)]
    if wrong:
        raise UsageError(f"codon usage has {wrong[0]!r}, which is no codon of A, C, G, T")
    table, known = _back_table(genetic_code(code), rule, tuple(sorted(counts.items())))
    letters = letters_of(protein)
    rest = letters.translate(None, known)
    if rest:
        raise InputError(f"position {letters.find(rest[:1])} (counted from 0) holds {chr(rest[0])!r}, which is no residue")
    return table[np.frombuffer(letters, np.uint8)].tobytes().decode("ascii")


def to_nucleotides(
    sequence: AnySequence,
    kind: Kind,
    *,
    code: int | str | GeneticCode = 1,
    rule: Rule = "first",
    usage: Mapping[str, float] | None = None,
) -> str:
    """DNA as it is, RNA with T for U, protein back-translated: one alphabet for all three, upper case.

    DNA and RNA may hold IUPAC codes, X, ``.``, and ``-`` and ``*``, which stay.

    Raises:
        UsageError: ``kind`` is not ``dna``, ``rna`` or ``protein``.
        InputError: a character that does not belong there.

    >>> to_nucleotides("augu", "rna"), to_nucleotides("MW", "protein")
    ('ATGT', 'ATGTGG')
    """
    if kind == "protein":
        return back_translate(sequence, code=code, rule=rule, usage=usage)
    if kind not in ("dna", "rna"):
        raise UsageError(f"kind is {kind!r}; expected 'dna', 'rna' or 'protein'")
    letters = letters_of(sequence).upper()
    if letters:
        known = IUPAC + UNKNOWN_MARKS + b"-*"
        check_known(letters, known, alphabet=kind.upper(), shown=("A", "C", "G", "T", "U", "IUPAC codes", "-", "*"))
    return (letters.replace(b"U", b"T") if kind == "rna" else letters).decode("ascii")


def codon_usage(sequences: Iterable[AnySequence]) -> dict[str, int]:
    """How often each of the 64 codons occurs in coding sequences read in frame 0; codons with other letters are not counted.

    >>> usage = codon_usage(["ATGGCCGCC", "auggcnTAA"])
    >>> usage["ATG"], usage["GCC"], usage["GCT"]
    (2, 2, 0)
    """
    counts = np.zeros(64, np.int64)
    for sequence in sequences:
        codes = CODES[np.frombuffer(letters_of(sequence), np.uint8)]
        codons = codes[: len(codes) // 3 * 3].reshape(-1, 3)
        codons = codons[(codons < 4).all(axis=1)]
        counts += np.bincount((codons[:, 0] << 4) + (codons[:, 1] << 2) + codons[:, 2], minlength=64)
    return {a + b + c: int(counts[codon_number(a + b + c)]) for a in BASES for b in BASES for c in BASES}
