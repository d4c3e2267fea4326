"""``genoseq family score``: what variants of a protein cost, by a model of its family."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from genoseq.cli.family.alignment_options import format_option
from genoseq.cli.family.fit_options import device_option, fit_options, fit_settings, kind_option
from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genoseq.cli.family.language_members import Member
    from genoseq.families.alignments.alignment import Alignment
    from genoseq.families.language.joined import LanguageScorer
    from genoseq.families.models.model import FamilyModel
    from genoseq.families.models.score_files import RawTable
    from genoseq.families.models.scoring import Scores
    from genoseq.families.variants.notation import Variant

__all__ = ["score"]

log = logging.getLogger("genoseq.family")


@click.command(name="score")
@click.argument("wild_type_path", metavar="WT")
@click.argument("variants_path", metavar="[VARIANTS]", required=False)
@click.option("--msa", "alignment_path", metavar="FILE", help="The alignment of the family: fit a model to it now.")
@click.option(
    "-m",
    "--model",
    "models",
    metavar="FILE|poet=DIR|masked=DIR",
    multiple=True,
    help="A model that `genoseq family fit` wrote; beside it or --msa, a PoET or a masked language model "
    "that joins it by mean rank. Repeatable.",
)
@click.option("-o", "--output", metavar="FILE", help="The table: CSV if so named, else TSV. Default: standard output.")
@kind_option
@click.option("--all-singles", is_flag=True, help="Score every single variant, instead of VARIANTS.")
@click.option("--figure", metavar="FILE", help="Also draw a heat map of all single variants (PNG, PDF or SVG).")
@click.option(
    "--offset", type=int, metavar="N", help="Residues before the wild type's first. Default: by WT's name (x/24-286), or 0."
)
@click.option("--column", metavar="NAME", help="Column of the variants. Default: mutant, variant, mutation or hgvs_pro.")
@click.option("--skip-stops", is_flag=True, help="Leave out variants with a stop codon instead of failing.")
@click.option("--save-model", metavar="FILE", help="With --msa: keep the model of the family.")
@click.option("--prompts", type=click.IntRange(1), metavar="N", help="Of a PoET, drawn from --msa. Default: 1, of 6144 tokens.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Of a PoET's prompts. Default: 0.")
@format_option
@fit_options
@device_option
@threads_option
def score(
    wild_type_path: str,
    variants_path: str | None,
    alignment_path: str | None,
    models: tuple[str, ...],
    output: str | None,
    kind: str | None,
    all_singles: bool,
    figure: str | None,
    offset: int | None,
    column: str | None,
    skip_stops: bool,
    save_model: str | None,
    prompts: int | None,
    seed: int | None,
    alignment_format: str | None,
    device: str,
    threads: int,
    **options: Any,
) -> None:
    """Score VARIANTS of the protein WT (FASTA of one sequence) by a model of its family.

    VARIANTS is a table with a column such as A24P:D30N, a list of those, or whole sequences in a table or FASTA; insertions and
    deletions too; - is standard input. Scores are differences to the wild type: higher is fitter.
    """
    from genoseq.cli.family.language_members import split_models

    files, members = split_models(models)
    if len(files) > 1:
        raise click.UsageError(
            f"{files[0]} and {files[1]} are two models of a family: give one (poet=DIR and masked=DIR join it)"
        )
    model_path = files[0] if files else None
    poet = any(kind == "poet" for kind, _ in members)
    if poet and alignment_path is None:
        raise click.UsageError("a PoET reads homologues: give them by --msa")
    if model_path is None and alignment_path is None:
        raise click.UsageError("give either --msa or --model" + (" beside the language model" if members else ""))
    if model_path is not None and alignment_path is not None and not poet:
        raise click.UsageError("give either --msa or --model")
    if not poet and (prompts is not None or seed is not None):
        raise click.UsageError("--prompts and --seed are those of a PoET: give one by -m poet=DIR")
    if all_singles == (variants_path is not None):
        raise click.UsageError("give either VARIANTS or --all-singles")
    if model_path is not None:
        fitting = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
        fitting += ["--save-model"] if save_model is not None else []
        fitting += ["--alignment-format"] if alignment_format is not None and not poet else []
        if fitting:
            raise click.UsageError(
                f"{', '.join(fitting)} can be given only where --msa is fitted to, without a model of the family"
            )
    if variants_path == "-" and "-" in (wild_type_path, alignment_path):
        raise click.UsageError("standard input is read once: give one of the files by name")
    if all_singles and (column is not None or skip_stops):
        raise click.UsageError("--column and --skip-stops are about VARIANTS")
    from genoseq.cli.family.language_members import drawn_prompts, open_member
    from genoseq.cli.family.model_source import torch_threads
    from genoseq.cli.family.standard_input import named_input
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.models.model_file import load_model, model_sha256
    from genoseq.families.models.model_file import save_model as write_model
    from genoseq.families.models.score_files import write_scores
    from genoseq.families.models.scoring import place_wild_type
    from genoseq.report.mutant_heatmap import check_figure_name

    output = target_of(output)
    form = check_figure_name(figure) if figure is not None else ""
    check_targets(
        [output, *(path for path in (figure, save_model) if path is not None)],
        [wild_type_path, variants_path, alignment_path, *files, *(source for _, source in members)],
    )
    name, wild_type, named_offset = _wild_type(wild_type_path)
    offset = named_offset if offset is None else offset
    opened: list[Member] = []
    for kind_of, source in members:  # what can be wrong with them shows before minutes are spent
        opened.append(open_member(kind_of, source, device=device, taken=[one.name for one in opened]))
    if variants_path is None:
        found = _all(wild_type, offset)
    else:
        with named_input(variants_path) as path:
            found = _variants(path, wild_type, offset, column, skip_stops)
    alignment = _alignment(alignment_path, alignment_format, wild_type) if alignment_path is not None else None
    if model_path is not None:
        model = load_model(model_path, kind=kind)
    else:
        model = _fitted(alignment, kind, options, device, threads)
        if save_model is not None:
            write_model(model, save_model)
    begin = place_wild_type(wild_type, model)
    with torch_threads(threads) if opened else contextlib.nullcontext():
        drawn = []
        if poet:
            from genoseq.families.poet.prompt import Homologues

            assert alignment is not None  # a PoET needs --msa: checked above
            drawn = drawn_prompts(Homologues.of(alignment), prompts, seed)
        from genoseq.families.language.joined import rank_variants

        singles = _all(wild_type, offset) if figure is not None else None
        count = len(found.raw.records) + len(rank_variants(wild_type)) + (len(singles.raw.records) if singles is not None else 0)
        others = {one.name: one.scorer(wild_type, drawn, count) for one in opened}
        scores = found.scored(model, others, wild_type, begin)
        table = _single_table(singles, model, others, wild_type, begin) if singles is not None and others else None
    _tell(scores, len(found.raw.records), joined=bool(opened))
    columns = {"score": scores.score, **{f"score_{member}": values for member, values in scores.members.items()}}
    label = "+".join([model.kind, *others])
    described: dict[str, Any] = {"wild_type": name, "offset": offset, "kind": label}
    described |= {"model_sha256": model_sha256(model), "alignment_sha256": model.focus.alignment_sha256}
    if opened:
        described["members"] = {one.name: {"model": one.source, "sha256": one.sha256} for one in opened}
    if drawn:
        described["prompts"] = [
            {"tokens": one.tokens, "sequences": len(one.sequences), "identity": one.identity} for one in drawn
        ]
        described["seed"] = seed or 0
    write_scores(output, found.raw, columns, described)
    if figure is not None:
        _draw(model, table, wild_type, begin, offset, name, label, figure, form)


def _wild_type(path: str) -> tuple[str, str, int]:
    """Name, sequence and offset of the one record of a FASTA file."""
    from genoseq.errors import InputError
    from genoseq.families.alignments.protein_records import read_proteins
    from genoseq.families.alignments.query import name_range

    records = list(read_proteins(path))
    if len(records) != 1:
        raise InputError(f"holds {len(records)} sequences, expected the wild type alone", path=path)
    name, sequence = records[0]
    place = name_range(name)
    return name, sequence, place[0] if place is not None and place[1] - place[0] == len(sequence) else 0


class _Asked(NamedTuple):
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


def _alignment(path: str, alignment_format: str | None, wild_type: str) -> Alignment:
    from genoseq.families.alignments.files import read_alignment

    return read_alignment(path, query=wild_type, format=alignment_format)  # type: ignore[arg-type]


def _fitted(alignment: Alignment | None, kind: str | None, options: dict[str, Any], device: str, threads: int) -> FamilyModel:
    from genoseq.families.models.fitting import fit_model

    assert alignment is not None  # there is one where there is no model
    settings = fit_settings(options)
    return fit_model(alignment, kind or "ensemble", settings=settings, device=device, threads=threads)  # type: ignore[arg-type]


def _variants(path: str, wild_type: str, offset: int, column: str | None, skip_stops: bool) -> _Asked:
    from genoseq.families.models.score_files import read_raw
    from genoseq.families.variants.files import read_variants
    from genoseq.families.variants.notation import check_variants

    table = read_variants(path, offset=offset, column=column, drop_stops=skip_stops)
    if table.variants is not None:
        check_variants(wild_type, table.variants, offset=offset, path=path)
    return _Asked(read_raw(path, table.names), table.variants, None if table.variants is not None else table.sequences)


def _all(wild_type: str, offset: int) -> _Asked:
    from genoseq.families.models.score_files import RawTable
    from genoseq.families.variants.notation import all_single_variants, format_variant

    variants = all_single_variants(wild_type)
    records: list[tuple[str, ...]] = [
        (format_variant(one, offset=offset), str(one[0].position + 1 + offset), one[0].old, one[0].new) for one in variants
    ]
    return _Asked(RawTable(("mutant", "position", "wild_type", "letter"), records), variants, None)


def _tell(scores: Scores, count: int, *, joined: bool) -> None:
    from genoseq.log import counted

    if scores.outside:
        log.warning(
            "%s of %s got no score: outside the alignment, in columns that are not modelled, or of residues that are not known",
            f"{scores.outside:,}",
            counted(count, "variant"),
        )
    if scores.lengths:
        log.warning(
            "%s of another length than the wild type, or with residues that are not known, got no score: "
            "choose the kind ensemble or profile, without a masked model"
            if joined
            else "%s of another length than the wild type got no score: choose the kind ensemble or profile",
            counted(scores.lengths, "sequence"),
        )


def _single_table(
    singles: _Asked, model: FamilyModel, others: Mapping[str, LanguageScorer], wild_type: str, begin: int
) -> NDArray[np.float64]:
    """(n, 20) joined scores of all single variants; 0 at the wild type's own letters, NaN where there is none."""
    import numpy as np

    from genoseq.families.alphabet import AMINO_ACIDS

    table = np.full((len(wild_type), len(AMINO_ACIDS)), np.nan)
    scores = singles.scored(model, others, wild_type, begin).score
    for (one,), score in zip(singles.variants or (), scores.tolist(), strict=True):
        table[one.position, AMINO_ACIDS.index(one.new)] = score
        own = AMINO_ACIDS.find(one.old)
        if own >= 0 and not np.isnan(score):
            table[one.position, own] = 0.0
    return table


def _draw(
    model: FamilyModel,
    table: NDArray[np.float64] | None,
    wild_type: str,
    begin: int,
    offset: int,
    name: str,
    label: str,
    figure: str,
    form: str,
) -> None:
    from genoseq.families.alphabet import AMINO_ACIDS
    from genoseq.families.models.scoring import single_variant_table
    from genoseq.outputs import whole_file
    from genoseq.report.mutant_heatmap import draw_heatmap

    unit = "difference of mean ranks" if model.kind == "ensemble" or table is not None else "log ratio (nats)"
    if table is None:
        table = single_variant_table(model, wild_type, begin=begin)
    with whole_file(figure) as temporary:
        draw_heatmap(
            table, wild_type, temporary, letters=AMINO_ACIDS, start=offset, unit=unit, form=form,
            title=f"{name}: single variants, {label}",
        )  # fmt: skip
