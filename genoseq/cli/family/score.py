"""``genoseq family score``: what variants of a protein cost, by a model of its family."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from genoseq.cli.family.alignment_options import format_option
from genoseq.cli.family.asked import Asked, Protein, all_singles, read_asked
from genoseq.cli.family.fit_options import device_option, fit_options, fit_settings, kind_option
from genoseq.cli.family.score_options import ScoreOptions, check_files, check_options
from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genoseq.cli.family.language_members import Member
    from genoseq.families.alignments.alignment import Alignment
    from genoseq.families.language.read_once import LanguageScorer
    from genoseq.families.models.model import FamilyModel
    from genoseq.families.models.scoring import Scores
    from genoseq.families.poet.prompt import Prompt

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
@click.option("--column", metavar="NAME", help="Column of the variants. Default: mutant, mutation(s), variant or hgvs_pro.")
@click.option("--skip-stops", is_flag=True, help="Leave out variants with a stop codon instead of failing.")
@click.option("--save-model", metavar="FILE", help="With --msa: keep the model of the family.")
@click.option("--prompts", type=click.IntRange(1), metavar="N", help="Of a PoET, drawn from --msa. Default: 1, of 6144 tokens.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Of a PoET's prompts. Default: 0.")
@format_option
@fit_options
@device_option
@threads_option
def score(
    models: tuple[str, ...],
    wild_type_path: str,
    variants_path: str | None,
    alignment_path: str | None,
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
    **fitting: Any,
) -> None:
    """Score VARIANTS of the protein WT (FASTA of one sequence) by a model of its family.

    VARIANTS is a table with a column such as A24P:D30N, a list of those, or whole sequences in a table or FASTA; insertions and
    deletions too; - is standard input. Scores are differences to the wild type: higher is fitter.
    """
    from genoseq.cli.family.language_members import split_models
    from genoseq.cli.targets import target_of

    files, members = split_models(models)
    if len(files) > 1:
        raise click.UsageError(
            f"{files[0]} and {files[1]} are two models of a family: give one (poet=DIR and masked=DIR join it)"
        )
    options = ScoreOptions(
        wild_type_path, variants_path, alignment_path, files[0] if files else None, tuple(members), target_of(output), kind,
        all_singles, figure, offset, column, skip_stops, save_model, prompts, seed, alignment_format, device, threads, fitting,
    )  # fmt: skip
    check_options(options)
    check_files(options)
    _score(options)


def _score(options: ScoreOptions) -> None:
    from genoseq.cli.family.model_source import wild_type_of
    from genoseq.families.models.score_files import write_scores
    from genoseq.families.models.scoring import place_wild_type

    name, wild_type, named_offset = wild_type_of(options.wild_type_path)
    protein = Protein(name, wild_type, named_offset if options.offset is None else options.offset)
    members = _opened_members(options)  # what can be wrong with them shows before minutes are spent
    if options.variants_path is None:
        asked = all_singles(protein)
    else:
        asked = read_asked(options.variants_path, protein, column=options.column, skip_stops=options.skip_stops)
    model, alignment = _family(options, wild_type)
    begin = place_wild_type(wild_type, model)
    singles = all_singles(protein) if options.figure is not None else None
    with _threads_of(members, options.threads):
        prompts = _drawn_prompts(options, alignment)
        others = _scorers(members, prompts, model, protein, begin, [asked, *([singles] if singles is not None else [])])
        scores = asked.scored(model, others, wild_type, begin)
        _tell(scores, len(asked.raw.records), joined=bool(others))
        label = "+".join([model.kind, *others])
        columns = {"score": scores.score, **{f"score_{member}": values for member, values in scores.members.items()}}
        write_scores(options.output, asked.raw, columns, _described(options, protein, label, model, members, prompts, alignment))
        if options.figure is not None and singles is not None:
            _draw(options.figure, _single_table(singles, model, others, wild_type, begin), protein, label, _unit(model, others))


def _opened_members(options: ScoreOptions) -> list[Member]:
    from genoseq.cli.family.language_members import open_member

    opened: list[Member] = []
    for kind, source in options.members:
        opened.append(open_member(kind, source, device=options.device, taken=[one.name for one in opened]))
    return opened


def _family(options: ScoreOptions, wild_type: str) -> tuple[FamilyModel, Alignment | None]:
    """The model that is named or else fitted, and the alignment where there is one."""
    if options.alignment_path is None:
        return _loaded(options.family_file(), options.kind), None
    from genoseq.families.alignments.files import read_alignment

    alignment = read_alignment(options.alignment_path, query=wild_type, format=options.alignment_format)  # type: ignore[arg-type]
    if options.model_path is not None:
        return _loaded(options.model_path, options.kind), alignment
    return _fitted(options, alignment), alignment


def _loaded(path: str, kind: str | None) -> FamilyModel:
    from genoseq.families.models.model_file import load_model

    return load_model(path, kind=kind)


def _fitted(options: ScoreOptions, alignment: Alignment) -> FamilyModel:
    """The model of the alignment, kept if that is asked for."""
    from genoseq.families.models.fitting import fit_model
    from genoseq.families.models.model_file import save_model

    kind, settings = options.kind or "ensemble", fit_settings(dict(options.fitting))
    model = fit_model(alignment, kind, settings=settings, device=options.device, threads=options.threads)  # type: ignore[arg-type]
    if options.save_model is not None:
        save_model(model, options.save_model)
    return model


@contextlib.contextmanager
def _threads_of(members: Sequence[Member], threads: int) -> Iterator[None]:
    """For language models, torch's threads; without any, torch is not loaded for nothing."""
    if not members:
        yield
        return
    from genoseq.cli.family.model_source import torch_threads

    with torch_threads(threads):
        yield


def _drawn_prompts(options: ScoreOptions, alignment: Alignment | None) -> list[Prompt]:
    """What a PoET reads first; nothing without one."""
    if not options.poet or alignment is None:
        return []
    from genoseq.cli.family.language_members import drawn_prompts
    from genoseq.families.poet.prompt import Homologues

    return drawn_prompts(Homologues.of(alignment), options.prompts, options.seed)


def _scorers(
    members: Sequence[Member],
    prompts: Sequence[Prompt],
    model: FamilyModel,
    protein: Protein,
    begin: int,
    tables: Sequence[Asked],
) -> dict[str, LanguageScorer]:
    """The language models made ready for the protein; each reads once what the tables and the ranks need together."""
    if not members:
        return {}
    from genoseq.families.language.joined import rank_variants
    from genoseq.families.language.read_once import ReadOnce, sequences_to_read

    variants = [one for table in tables for one in table.variants or ()]
    variants += rank_variants(model, protein.sequence, begin=begin)
    sequences = [one for table in tables for one in table.sequences or ()]
    planned = sequences_to_read(protein.sequence, variants, sequences)
    return {
        one.name: ReadOnce(one.scorer(protein.sequence, prompts, len(planned)), protein.sequence, planned=planned)
        for one in members
    }


def _described(
    options: ScoreOptions,
    protein: Protein,
    label: str,
    model: FamilyModel,
    members: Sequence[Member],
    prompts: Sequence[Prompt],
    alignment: Alignment | None,
) -> dict[str, Any]:
    """What the first line of the table says of where the scores come from."""
    from genoseq.families.models.model import focus_of
    from genoseq.families.models.model_file import model_sha256

    found: dict[str, Any] = {"wild_type": protein.name, "offset": protein.offset, "kind": label}
    found |= {"model_sha256": model_sha256(model), "alignment_sha256": model.focus.alignment_sha256}
    if members:
        found["members"] = {one.name: {"model": one.source, "sha256": one.sha256} for one in members}
    if prompts and alignment is not None:
        found["prompts"] = [{"tokens": one.tokens, "sequences": len(one.sequences), "identity": one.identity} for one in prompts]
        found["prompts_alignment_sha256"] = focus_of(alignment).alignment_sha256  # not the model's where that is from a file
        found["seed"] = options.seed or 0
    return found


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
    singles: Asked, model: FamilyModel, others: Mapping[str, LanguageScorer], wild_type: str, begin: int
) -> NDArray[np.float64]:
    """(n, 20) scores of all single variants; 0 at the wild type's own letters, NaN where there is none."""
    import numpy as np

    from genoseq.families.alphabet import AMINO_ACIDS
    from genoseq.families.models.scoring import single_variant_table

    if not others:
        return single_variant_table(model, wild_type, begin=begin)
    table = np.full((len(wild_type), len(AMINO_ACIDS)), np.nan)
    scores = singles.scored(model, others, wild_type, begin).score
    for (one,), score in zip(singles.variants or (), scores.tolist(), strict=True):
        table[one.position, AMINO_ACIDS.index(one.new)] = score
        own = AMINO_ACIDS.find(one.old)
        if own >= 0 and not np.isnan(score):
            table[one.position, own] = 0.0
    return table


def _unit(model: FamilyModel, others: Mapping[str, LanguageScorer]) -> str:
    """What the colours of a heat map stand for."""
    if others:
        return "difference of mean ranks"
    return {"nats": "log ratio (nats)", "": "score (no unit)"}.get(model.unit, model.unit)


def _draw(path: str, table: NDArray[np.float64], protein: Protein, label: str, unit: str) -> None:
    from genoseq.families.alphabet import AMINO_ACIDS
    from genoseq.outputs import whole_file
    from genoseq.report.mutant_heatmap import check_figure_name, draw_heatmap

    with whole_file(path) as temporary:
        draw_heatmap(
            table, protein.sequence, temporary, letters=AMINO_ACIDS, start=protein.offset, unit=unit,
            form=check_figure_name(path), title=f"{protein.name}: single variants, {label}",
        )  # fmt: skip
