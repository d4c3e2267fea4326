"""The true place of a simulated read, and how it travels in the read's name.

A name is ``s{number}!{contig}!{start}!{strand}!{end}``, for a pair with three more fields for the second mate:
``s{number}!{contig}!{start}!{strand}!{end}!{start2}!{strand2}!{end2}``. Both mates carry the same name. ``start`` and
``end`` are 0-based, half-open, on the forward strand of the contig; ``strand`` is ``+`` or ``-``. Characters of a
contig name that a SAM query name, a URL or this format cannot carry are percent-encoded.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote

from genoseq.errors import InputError

__all__ = ["Place", "Truth", "escape_contig", "format_name", "parse_name"]

# kept as they are, beside letters and digits; '!' separates, '%' escapes, and bwa cuts '/1' and '/2' off names
SAFE = "._:|-+~,;=#$()[]{}*"


class Place(NamedTuple):
    """Where a read comes from: 0-based half-open ``[start, end)`` on ``contig``; ``reverse``: strand ``-``."""

    contig: str
    start: int
    end: int
    reverse: bool


class Truth(NamedTuple):
    """What a read name says: the number of the read or pair, and one place per mate (one for a single read)."""

    number: int
    places: tuple[Place, ...]


def escape_contig(contig: str) -> str:
    """The contig name as it stands in a read name.

    >>> escape_contig("chr1/alt!2")
    'chr1%2Falt%212'
    """
    return quote(contig, safe=SAFE)


def format_name(truth: Truth) -> str:
    """The read name for ``truth``.

    >>> format_name(Truth(7, (Place("chr1", 99, 249, False),)))
    's7!chr1!99!+!249'
    """
    fields = [f"s{truth.number}", escape_contig(truth.places[0].contig)]
    for place in truth.places:
        fields += [str(place.start), "-" if place.reverse else "+", str(place.end)]
    return "!".join(fields)


def parse_name(name: str) -> Truth:
    """The truth in a read name written by :func:`format_name`; a trailing ``/1`` or ``/2`` is ignored.

    >>> parse_name("s7!chr1!99!+!249").places[0].start
    99

    Raises:
        InputError: the name is not of this form.
    """
    fields = name.removesuffix("/1").removesuffix("/2").split("!")
    try:
        if len(fields) not in (5, 8) or fields[0][:1] != "s":
            raise ValueError(f"{len(fields)} fields")
        places = tuple(
            Place(unquote(fields[1]), int(fields[at]), int(fields[at + 2]), {"+": False, "-": True}[fields[at + 1]])
            for at in range(2, len(fields), 3)
        )
        return Truth(int(fields[0][1:]), places)
    except (ValueError, KeyError) as error:
        raise InputError(
            f"read name {name!r} carries no truth: expected s{{number}}!{{contig}}!{{start}}!{{strand}}!{{end}}",
            remedy="judge reads that `genoseq simulate` wrote, with their names unchanged",
        ) from error
