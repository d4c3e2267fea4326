"""``genoseq family score``: what variants of a protein cost, by a model of its family."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from genoseq.cli.family.alignment_options import format_option
from genoseq.cli.family.fit_options import device_option, fit_options, fit_settings, kind_option
from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genoseq.families.models.model import FamilyModel
    from genoseq.families.models.score_files import RawTable
    from genoseq.families.models.scoring import Scores

__all__ = ["score"]

log = logging.getLogger("genoseq.family")


@click.command(name="score")
@click.argument("wild_type_path", metavar="WT")
@click.argument("variants_path", metavar="[VARIANTS]", required=False)
@click.option("--msa", "alignment_path", metavar="FILE", help="The alignment of the family: fit a model to it now.")
@click.option("-m", "--model", "model_path", metavar="FILE", help="A model that `genoseq family fit` wrote.")
@click.option("-o", "--output", metavar="FILE", help="The table: CSV if so named, else TSV. Default: standard output.")
@kind_option
@click.option("--all-singles", is_flag=True, help="Score every single variant, instead of VARIANTS.")
@click.option("--figure", metavar="FILE", help="Also draw a heat map of all single variants (PNG, PDF or SVG).")
@click.option(
    "--offset", type=int, metavar="N", help="Residues before the wild type's first. Default: by WT's name (x/24-286), or 0."
)
@click.option("--column", metavar="NAME", help="Column of the variants. Default: mutant, variant, mutation or hgvs_pro.")
@click.option("--skip-stops", is_flag=True, help="Leave out variants with a stop codon instead of failing.")
@click.option("--save-model", metavar="FILE", help="With --msa: keep the model.")
@format_option
@fit_options
@device_option
@threads_option
def score(
    wild_type_path: str,
    variants_path: str | None,
    alignment_path: str | None,
    model_path: str | None,
    output: str | None,
    kind: str | None,
    all_singles: bool,
    figure: str | None,
    offset: int | None,
    column: str | None,
    skip_stops: bool,
    save_model: str | None,
    alignment_format: str | None,
    device: str,
    threads: int,
    **options: Any,
) -> None:
    """Score VARIANTS of the protein WT (FASTA of one sequence) by a model of its family.

    VARIANTS is a table with a column such as A24P:D30N, a list of those, or whole sequences in a table or FASTA; insertions and
    deletions too. Scores are differences to the wild type: higher is fitter.
    """
    if (alignment_path is None) == (model_path is None):
        raise click.UsageError("give either --msa or --model")
    if all_singles == (variants_path is not None):
        raise click.UsageError("give either VARIANTS or --all-singles")
    if variants_path == "-":
        raise click.UsageError("VARIANTS is read twice and cannot be standard input: give a file")
    if model_path is not None:
        fitting = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
        fitting += ["--save-model"] if save_model is not None else []
        fitting += ["--alignment-format"] if alignment_format is not None else []
        if fitting:
            raise click.UsageError(f"{', '.join(fitting)} can be given with --msa only")
    if all_singles and (column is not None or skip_stops):
        raise click.UsageError("--column and --skip-stops are about VARIANTS")
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
        [wild_type_path, variants_path, alignment_path, model_path],
    )
    name, wild_type, named_offset = _wild_type(wild_type_path)
    offset = named_offset if offset is None else offset
    found = None if variants_path is None else _variants(variants_path, wild_type, offset, column, skip_stops)
    if alignment_path is not None:
        model = _fitted(alignment_path, alignment_format, wild_type, kind, options, device, threads)
        if save_model is not None:
            write_model(model, save_model)
    else:
        assert model_path is not None  # checked above
        model = load_model(model_path, kind=kind)
    begin = place_wild_type(wild_type, model)
    table, scores = _all(model, wild_type, begin, offset) if found is None else found(model, begin)
    _tell(scores, len(table.records))
    columns = {"score": scores.score, **{f"score_{member}": values for member, values in scores.members.items()}}
    source = {"kind": model.kind, "model_sha256": model_sha256(model), "alignment_sha256": model.focus.alignment_sha256}
    write_scores(output, table, columns, {"wild_type": name, "offset": offset, **source})
    if figure is not None:
        _draw(model, wild_type, begin, offset, name, figure, form)


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


def _fitted(
    path: str, alignment_format: str | None, wild_type: str, kind: str | None, options: dict[str, Any], device: str, threads: int
) -> FamilyModel:
    from genoseq.families.alignments.files import read_alignment
    from genoseq.families.models.fitting import fit_model

    alignment = read_alignment(path, query=wild_type, format=alignment_format)  # type: ignore[arg-type]
    settings = fit_settings(options)
    return fit_model(alignment, kind or "ensemble", settings=settings, device=device, threads=threads)  # type: ignore[arg-type]


def _variants(path: str, wild_type: str, offset: int, column: str | None, skip_stops: bool) -> Any:
    """Read and check the variants now; what comes back scores them by a model, later."""
    from genoseq.families.models.score_files import read_raw
    from genoseq.families.models.scoring import score_sequences, score_variants
    from genoseq.families.variants.files import read_variants
    from genoseq.families.variants.notation import check_variants

    table = read_variants(path, offset=offset, column=column, drop_stops=skip_stops)
    if table.variants is not None:
        check_variants(wild_type, table.variants, offset=offset, path=path)
    raw = read_raw(path, table.names)

    def scored(model: FamilyModel, begin: int) -> tuple[RawTable, Scores]:
        if table.variants is not None:
            return raw, score_variants(model, table.variants, begin=begin)
        assert table.sequences is not None  # a table has one or the other
        return raw, score_sequences(model, wild_type, table.sequences, begin=begin)

    return scored


def _all(model: FamilyModel, wild_type: str, begin: int, offset: int) -> tuple[RawTable, Scores]:
    from genoseq.families.models.score_files import RawTable
    from genoseq.families.models.scoring import score_variants
    from genoseq.families.variants.notation import all_single_variants, format_variant

    variants = all_single_variants(wild_type)
    records: list[tuple[str, ...]] = [
        (format_variant(one, offset=offset), str(one[0].position + 1 + offset), one[0].old, one[0].new) for one in variants
    ]
    return RawTable(("mutant", "position", "wild_type", "letter"), records), score_variants(model, variants, begin=begin)


def _tell(scores: Scores, count: int) -> None:
    from genoseq.log import counted

    if scores.outside:
        log.warning(
            "%s of %s got no score: outside the alignment, in columns that are not modelled, or of residues that are not known",
            f"{scores.outside:,}",
            counted(count, "variant"),
        )
    if scores.lengths:
        log.warning(
            "%s of another length than the wild type got no score: choose the kind ensemble or profile",
            counted(scores.lengths, "sequence"),
        )


def _draw(model: FamilyModel, wild_type: str, begin: int, offset: int, name: str, figure: str, form: str) -> None:
    from genoseq.families.alphabet import AMINO_ACIDS
    from genoseq.families.models.scoring import single_variant_table
    from genoseq.outputs import whole_file
    from genoseq.report.mutant_heatmap import draw_heatmap

    table: NDArray[np.float64] = single_variant_table(model, wild_type, begin=begin)
    unit = "difference of mean ranks" if model.kind == "ensemble" else "log ratio (nats)"
    with whole_file(figure) as temporary:
        draw_heatmap(
            table, wild_type, temporary, letters=AMINO_ACIDS, start=offset, unit=unit, form=form,
            title=f"{name}: single variants, {model.kind}",
        )  # fmt: skip
