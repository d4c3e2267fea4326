"""The variants that a command is asked to score, and the protein that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from genoseq.families.language.read_once import LanguageScorer
    from genoseq.families.models.model import FamilyModel
    from genoseq.families.models.score_files import RawTable
    from genoseq.families.models.scoring import Scores
    from genoseq.families.variants.notation import Variant

__all__ = ["Asked", "Protein", "all_singles", "read_asked"]


class Protein(NamedTuple):
    """A wild type and how its residues are numbered.

    Attributes:
        name: as in its file.
        sequence: upper case.
        offset: residues before its first.
    """

    name: str
    sequence: str
    offset: int


class Asked(NamedTuple):
    """Variants that were read and checked: the table as it stands, and what is to be scored, one of two."""

    raw: RawTable
    variants: Sequence[Variant] | None
    sequences: Sequence[str] | None

    def scored(self, model: FamilyModel, others: Mapping[str, LanguageScorer], wild_type: str, begin: int) -> Scores:
        """Scores by the model of the family, joined by language models if there are any."""
        from genoseq.families.models.scoring import score_sequences, score_variants

        if others:
            from genoseq.families.language.joined import joined_sequences, joined_variants

            if self.variants is not None:
                return joined_variants(model, others, wild_type, self.variants, begin=begin)
            return joined_sequences(model, others, wild_type, self.sequences or (), begin=begin)
        if self.variants is not None:
            return score_variants(model, self.variants, begin=begin)
        return score_sequences(model, wild_type, self.sequences or (), begin=begin)


def read_asked(path: str, protein: Protein, *, column: str | None = None, skip_stops: bool = False) -> Asked:
    """The variants of a file, ``-`` for standard input.

    Raises:
        InputError: they are none, or are not of this protein.
    """
    from genoseq.cli.family.standard_input import input_path
    from genoseq.families.models.score_files import RawTable
    from genoseq.families.variants.files import read_variants
    from genoseq.families.variants.notation import check_variants

    place = input_path(path)
    table = read_variants(place, offset=protein.offset, column=column, drop_stops=skip_stops, wild_type=protein.sequence)
    if table.variants is not None:
        check_variants(protein.sequence, table.variants, offset=protein.offset, path=place)
    raw = RawTable(table.columns, table.records)
    return Asked(raw, table.variants, None if table.variants is not None else table.sequences)


def all_singles(protein: Protein) -> Asked:
    """Every single variant of a protein."""
    from genoseq.families.models.score_files import RawTable
    from genoseq.families.variants.notation import all_single_variants, format_variant

    variants = all_single_variants(protein.sequence)
    offset = protein.offset
    records: list[tuple[str, ...]] = [
        (format_variant(one, offset=offset), str(one[0].position + 1 + offset), one[0].old, one[0].new) for one in variants
    ]
    return Asked(RawTable(("mutant", "position", "wild_type", "letter"), records), variants, None)
