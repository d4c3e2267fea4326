"""Substitutions in a protein: read from their notation, checked against the wild type, applied to it.

``A1P:D2N`` is the notation of ProteinGym: the wild type's letter, its number and the new letter, several with ``:`` between them.
Numbers count from 1 + ``offset``, where ``offset`` is what stands before the wild type in its protein (``Alignment.start``).
The notation of the HGVS (``p.Ala1Pro``, ``p.[Ala1Pro;Asp2Asn]``) is read, too.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from genoseq.errors import InputError, Pathlike
from genoseq.families.alphabet import AMINO_ACIDS, decode, encode
from genoseq.log import counted

__all__ = [
    "BETWEEN",
    "THREE",
    "BeforeWildTypeError",
    "Substitution",
    "Variant",
    "VariantsError",
    "all_single_variants",
    "apply_variant",
    "check_variants",
    "format_variant",
    "likely_offset",
    "parse_variant",
]


log = logging.getLogger(__name__)


class Substitution(NamedTuple):
    """One residue for another.

    Attributes:
        position: in the wild type as given, from 0.
        old: the wild type's letter.
        new: one of the 20 amino acids.
    """

    position: int
    old: str
    new: str


Variant = tuple[Substitution, ...]  # in the order of positions; the wild type has none

NAMED = (
    "A:ala C:cys D:asp E:glu F:phe G:gly H:his I:ile K:lys L:leu M:met N:asn P:pro Q:gln R:arg S:ser T:thr V:val W:trp Y:tyr "
    "U:sec O:pyl B:asx Z:glx X:xaa J:xle *:ter"
)
THREE = {entry[2:]: entry[0] for entry in NAMED.split()}
NAME = "[A-Za-z]{3}"
SUBSTITUTED = re.compile(rf"({NAME}|[A-Za-z*])([0-9]{{1,9}})({NAME}|[A-Za-z*=])")
ACCESSION = re.compile(  # RefSeq, Ensembl, UniProt: NP_000537.3:p.Arg175His; not a substitution with a letter missing
    r"(?:[A-Z]{2}_[0-9]+(?:\.[0-9]+)?|ENS[A-Z]*P[0-9]+(?:\.[0-9]+)?"
    r"|(?:[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9](?:[A-Z][A-Z0-9]{2}[0-9]){1,2})(?:-[0-9]+)?):(?=p\.)"
)
BETWEEN = re.compile(r"[:;,+/\s]+")
WILD_TYPE = {"", "wt", "_wt", "wildtype", "wild_type", "wild-type", "p.="}
INDEL = re.compile(r"del|ins|dup|fs|ext", re.IGNORECASE)
STOPS = "leave it out, or all such by --skip-stops (drop_stops in Python): only proteins of full length are scored"
SPELLED = 5  # disagreements spelled out
SAMPLED = 2000  # places looked at to find an offset


class BeforeWildTypeError(InputError):
    """A variant whose number lies before the wild type's first residue: by a wrong offset, as a rule."""


class VariantsError(InputError):
    """Variants that disagree with the wild type.

    Attributes:
        disagreements: all of them, one text each.
        offset: the offset at which the variants agree with the wild type; None if there is no such.
    """

    def __init__(
        self,
        message: str,
        disagreements: Sequence[str] = (),
        offset: int | None = None,
        *,
        path: Pathlike | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, path=path, remedy=remedy)
        self.disagreements = list(disagreements)
        self.offset = offset

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with all fields."""
        return _restore, (self.message, self.disagreements, self.offset, self.path, self.remedy)


def _restore(
    message: str, disagreements: list[str], offset: int | None, path: Pathlike | None, remedy: str | None
) -> VariantsError:
    return VariantsError(message, disagreements, offset, path=path, remedy=remedy)


def parse_variant(text: str, *, offset: int = 0) -> Variant:
    """The substitutions that ``text`` names; none for ``WT`` and the empty text.

    Args:
        text: ``A24P``, ``A24P:D30N`` (also with ``,``, ``;``, ``+`` or ``/`` between them), ``p.Ala24Pro``; names of one and
            of three letters may be mixed, and an accession may stand in front (``NP_000537.3:p.Arg175His``).
        offset: number of the residue before the wild type's first one.

    Raises:
        InputError: not this notation, an insertion or deletion, a stop codon, a letter that is none of the 20 amino acids,
            a number before the wild type, or two substitutions of one residue.

    >>> parse_variant("D25N:A24P", offset=23)
    (Substitution(position=0, old='A', new='P'), Substitution(position=1, old='D', new='N'))
    """
    stripped = text.strip()
    if stripped.lower() in WILD_TYPE:
        return ()
    named = ACCESSION.match(stripped)
    inner = stripped if named is None else stripped[named.end() :]
    if inner.startswith("p."):
        inner = inner[2:].strip("()[]")
    found = [_parse_one(part, text, offset) for part in BETWEEN.split(inner) if part]
    if not found:
        raise InputError(f"{text!r} names no substitution", remedy="expected one such as A24P or A24P:D30N")
    positions = [one.position for one in found]
    if len(set(positions)) < len(positions):
        raise InputError(f"{text!r} substitutes one residue more than once")
    return tuple(sorted(found))


def _parse_one(part: str, text: str, offset: int) -> Substitution:
    part = part.strip("()[]")
    if INDEL.search(part):
        raise InputError(
            f"the variant {text!r} is an insertion, deletion or frameshift, expected substitutions such as A24P",
            remedy="give it as a whole sequence (FASTA)",
        )
    match = SUBSTITUTED.fullmatch(part.removeprefix("p."))
    if match is None:
        raise InputError(f"{text!r} is no variant", remedy="expected substitutions such as A24P, A24P:D30N or p.Ala24Pro")
    old, number, new = _letter(match[1], text), match[2], _letter(match[3], text)
    if new == "=":
        new = old
    if "*" in (old, new):
        raise InputError(f"the variant {text!r} has a stop codon", remedy=STOPS)
    if new not in AMINO_ACIDS and new != old:
        raise InputError(f"{new!r} in the variant {text!r} is none of the 20 amino acids")
    position = int(number) - 1 - offset
    if position < 0:
        first = "numbers count from 1" if not offset else f"the wild type begins at {offset + 1}"
        raise BeforeWildTypeError(f"the variant {text!r} lies before the wild type: {first}", remedy="is the offset right?")
    return Substitution(position, old, new)


def _letter(name: str, text: str) -> str:
    """The letter that one or three letters of a substitution mean, in upper case; ``=`` as it is."""
    letter = name.upper() if len(name) == 1 else THREE.get(name.lower())
    if letter is None:
        raise InputError(f"{name!r} in the variant {text!r} is no amino acid")
    return letter


def format_variant(variant: Variant, *, offset: int = 0) -> str:
    """The notation of ``variant``; ``WT`` for the wild type.

    >>> format_variant(parse_variant("p.Ala24Pro"), offset=0)
    'A24P'
    """
    return ":".join(f"{old}{position + 1 + offset}{new}" for position, old, new in variant) or "WT"


def check_variants(wild_type: str, variants: Sequence[Variant], *, offset: int = 0, path: Pathlike | None = None) -> None:
    """Fail, once, if any of the variants does not fit the wild type.

    Args:
        wild_type: the sequence the positions are in.
        variants: as :func:`parse_variant` gives them.
        offset: with which they were read, for the numbers in the message.
        path: the file they are from, for the message.

    Raises:
        VariantsError: says how many disagree, the first five of them, and the offset at which they would agree; all of them
            are in its ``disagreements`` and in the log at the level of ``genoseq -v``.

    >>> check_variants("ADE", [parse_variant("D1N")])
    Traceback (most recent call last):
    genoseq.families.variants.notation.VariantsError: 1 of 1 variant disagrees with the wild type: D1N (A there)
    """
    wild = wild_type.upper()
    wrong: list[str] = []
    for variant in variants:
        faults = []
        for position, old, _ in variant:
            if position >= len(wild):
                faults.append(f"the wild type ends at {len(wild) + offset}")
            elif wild[position] != old:
                faults.append(f"{wild[position]} there" if len(variant) == 1 else f"{wild[position]} at {position + 1 + offset}")
        if faults:
            wrong.append(f"{format_variant(variant, offset=offset)} ({', '.join(faults)})")
    if not wrong:
        return
    few = ", ".join(wrong[:SPELLED])
    if len(wrong) > SPELLED:
        few += f" and {len(wrong) - SPELLED:,} more, named by genoseq -v"
        for one in wrong:
            log.debug("disagrees with the wild type: %s", one)
    verb = "disagrees" if len(wrong) == 1 else "disagree"
    better = likely_offset(wild, variants, offset=offset)
    raise VariantsError(
        f"{len(wrong):,} of {counted(len(variants), 'variant')} {verb} with the wild type: {few}",
        wrong,
        better,
        path=path,
        remedy=None if better is None else f"did you mean --offset {better}?",
    )


def likely_offset(wild_type: str, variants: Sequence[Variant], *, offset: int = 0, known: bool = True) -> int | None:
    """The offset at which at least 9 of 10 substituted residues agree with the wild type; None if there is no single such.

    At least three different residues are needed: one or two agree somewhere by chance.

    Args:
        wild_type: the sequence.
        variants: read with ``offset``.
        offset: with which they were read.
        known: whether ``offset`` was tried and is wrong, so that it is no answer.
    """
    numbered = {(position + offset, old) for variant in variants for position, old, _ in variant}  # offsets may be beyond int64
    residues = sorted(numbered)
    if len(residues) < 3:
        return None
    residues = residues[:: max(1, len(residues) // SAMPLED)]
    letters = np.frombuffer(wild_type.upper().encode("latin-1", "replace"), np.uint8)
    places = {letter: np.flatnonzero(letters == ord(letter)) for letter in {old for _, old in residues}}
    shifts, agreeing = np.unique(np.concatenate([position - places[old] for position, old in residues]), return_counts=True)
    if not shifts.size:
        return None
    best = int(agreeing.argmax())
    enough = agreeing[best] >= 0.9 * len(residues) and (agreeing == agreeing[best]).sum() == 1
    found = int(shifts[best])
    return found if enough and not (known and found == offset) else None


def apply_variant(wild_type: str, variant: Variant) -> str:
    """The sequence of the variant.

    Raises:
        VariantsError: the variant does not fit the wild type.

    >>> apply_variant("ADE", parse_variant("D2N"))
    'ANE'
    """
    check_variants(wild_type, [variant])
    letters = list(wild_type)
    for position, _, new in variant:
        letters[position] = new
    return "".join(letters)


def all_single_variants(wild_type: str) -> list[Variant]:
    """Every substitution of one residue by each of the other 19 amino acids, by position and then letter.

    Residues that are not known (B, J, X, Z) are left as they are.

    >>> len(all_single_variants("MX"))
    19
    """
    known = decode(encode(wild_type))
    return [
        (Substitution(position, old, new),)
        for position, (old, means) in enumerate(zip(wild_type.upper(), known, strict=True))
        if means in AMINO_ACIDS
        for new in AMINO_ACIDS
        if new != means
    ]
