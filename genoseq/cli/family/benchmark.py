"""``genoseq family benchmark``: scorers against assays, with intervals and ProteinGym's means."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from genoseq.cli.family.fit_options import KINDS
from genoseq.cli.family.model_source import METHODS, torch_threads
from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    from genoseq.families.assays.benchmark import AssayScorer, Case, FittedScorer
    from genoseq.families.language.read_once import LanguageScorer

__all__ = ["benchmark"]

log = logging.getLogger("genoseq.family")
FORMAT, VERSION = "genoseq.family-benchmark", 1
METRICS = ("spearman", "auc", "mcc", "ndcg", "recall")


@click.command(name="benchmark")
@click.argument("assays", metavar="ASSAYS")
@click.option("-o", "--output", metavar="FILE", help="The table (TSV). Default: standard output.")
@click.option(
    "--reference", metavar="FILE", help="ProteinGym's table of assays: wild types, proteins, selection types, alignments' names."
)
@click.option("--alignments", metavar="FILE|FOLDER", help="The alignment of one assay, or a folder of them.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Fit this model to every alignment. Repeatable.")
@click.option(
    "--column",
    "columns",
    metavar="NAME",
    multiple=True,
    help="Scores in this column of the assays; with - in front, lower is fitter. Repeatable.",
)
@click.option(
    "-m",
    "--model",
    "models",
    metavar="FILE|DIR|NAME|poet=DIR|masked=DIR",
    multiple=True,
    help="A model of a family from its file, a masked language model, or a PoET with prompts of each alignment. Repeatable.",
)
@click.option("--join", is_flag=True, help="Also each --kind with all poet= and masked= models, by mean rank.")
@click.option("--prompts", type=click.IntRange(1), metavar="N", help="Of a PoET, drawn from each alignment. Default: 1.")
@click.option(
    "--method",
    "methods",
    type=click.Choice(METHODS),
    multiple=True,
    help="Of masked language models. Default: masked-marginal. Repeatable.",
)
@click.option("--metric", "metrics", type=click.Choice(METRICS), multiple=True, help="Default: all. Repeatable.")
@click.option("--wild-type", "wild_type_path", metavar="FASTA", help="Of one assay.")
@click.option("--offset", type=int, metavar="N", help="Residues before the wild type's first, of one assay. Default: 0.")
@click.option("--measured", metavar="NAME", help="Column of the measurement. Default: DMS_score, score, fitness, ...")
@click.option(
    "--resamples", type=click.IntRange(0), default=200, show_default=True, metavar="N", help="Of the bootstrap; 0: none."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of the bootstrap.")
@click.option("--figure", metavar="FILE", help="Also draw the first metric (PNG, PDF or SVG).")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where models are fitted and run.",
)
@threads_option
def benchmark(
    assays: str,
    output: str | None,
    reference: str | None,
    alignments: str | None,
    kinds: tuple[str, ...],
    columns: tuple[str, ...],
    models: tuple[str, ...],
    join: bool,
    prompts: int | None,
    methods: tuple[str, ...],
    metrics: tuple[str, ...],
    wild_type_path: str | None,
    offset: int | None,
    measured: str | None,
    resamples: int,
    seed: int,
    figure: str | None,
    device: str,
    threads: int,
) -> None:
    """Compare scorers on ASSAYS: a table of variants and measurements, or a folder of such (ProteinGym's form)."""
    from genoseq.cli.family.language_members import split_models

    if not (kinds or columns or models):
        raise click.UsageError("nothing to compare: give --kind, --column or --model")
    sources, members = split_models(models)
    if join and not (kinds and members):
        raise click.UsageError("--join needs a --kind and a model to join it: -m poet=DIR or -m masked=DIR")
    if prompts is not None and "poet" not in dict(members):
        raise click.UsageError("--prompts is for a PoET: give one by -m poet=DIR")
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.assays.benchmark import COLUMNS, find_cases, result_fields
    from genoseq.families.assays.benchmark import benchmark as compare
    from genoseq.families.assays.tables import read_reference
    from genoseq.infer.score_files import text_output
    from genoseq.log import Progress
    from genoseq.outputs import whole_file
    from genoseq.report.assay_figures import draw_benchmark
    from genoseq.report.mutant_heatmap import check_figure_name

    output = target_of(output)
    form = check_figure_name(figure) if figure is not None else ""
    check_targets(
        [output, *([figure] if figure is not None else [])],
        [assays, reference, alignments, wild_type_path, *sources, *(source for _, source in members)],
    )
    wild_type, named_offset = _wild_type(wild_type_path)
    cases = find_cases(
        assays,
        reference=read_reference(reference) if reference is not None else None,
        alignments=alignments,
        wild_type=wild_type,
        offset=named_offset if offset is None else offset,
        measured=measured,
    )
    chosen = metrics or METRICS
    with torch_threads(threads):
        fitted = _fitted(kinds, device, threads)
        others, digests = _scorers(columns, sources, methods, device)
        scorers: list[AssayScorer] = [*fitted, *others]
        if members:
            joining, more = _members(members, fitted if join else [], prompts, seed, device)
            scorers, digests = [*scorers, *joining], digests | more
        with Progress(len(cases), unit="assays", label="scoring") as progress:
            results = compare(cases, scorers, metrics=chosen, resamples=resamples, seed=seed, report=progress.update)
    with text_output(output) as file:
        file.write(_described(seed, resamples, digests))
        file.write("\t".join(COLUMNS) + "\n")
        for one in results:
            file.write("\t".join(result_fields(one)) + "\n")
    if figure is not None:
        with whole_file(figure) as temporary:
            draw_benchmark(results, chosen[0], temporary, form=form)


def _described(seed: int, resamples: int, digests: dict[str, str]) -> str:
    import json

    from genoseq import __version__

    content = {
        "format": FORMAT, "version": VERSION, "genoseq": __version__, "seed": seed, "resamples": resamples, "models": digests,
    }  # fmt: skip
    return f"#{json.dumps(content, sort_keys=True)}\n"


def _wild_type(path: str | None) -> tuple[str | None, int]:
    if path is None:
        return None, 0
    from genoseq.cli.family.model_source import wild_type_of

    _, sequence, offset = wild_type_of(path)
    return sequence, offset


def _fitted(kinds: tuple[str, ...], device: str, threads: int) -> list[FittedScorer]:
    """A scorer for each kind of model that is fitted to the alignments."""
    from genoseq.families.assays.benchmark import FittedScorer
    from genoseq.infer.running import choose_device

    place = str(choose_device(device)) if kinds else device
    return [FittedScorer(kind, device=place, threads=threads) for kind in kinds]  # type: ignore[arg-type]


def _scorers(
    columns: tuple[str, ...], models: list[str], methods: tuple[str, ...], device: str
) -> tuple[list[AssayScorer], dict[str, str]]:
    """The scorers of models and columns that are there already, and the SHA-256 of the models."""
    from pathlib import Path

    from genoseq.cli.family.model_source import open_source, source_sha256
    from genoseq.families.assays.benchmark import ColumnScorer, MaskedAssayScorer, ModelScorer
    from genoseq.families.language.masked import MaskedModel

    found: list[Any] = []
    digests = {}
    masked = False
    for source in models:
        model = open_source(source, device=device, dtype="float32")
        digests[source] = source_sha256(model)
        if isinstance(model, MaskedModel):
            masked = True
            found += [MaskedAssayScorer(model, method) for method in methods or METHODS[:1]]  # type: ignore[arg-type]
        else:
            found.append(ModelScorer(model, Path(source).name))
    if methods and not masked:
        raise click.UsageError("--method is for a masked language model: give one by --model")
    found += [ColumnScorer(name.removeprefix("-"), -1 if name.startswith("-") else 1) for name in columns]
    return found, digests


def _members(
    members: list[tuple[str, str]], joined: list[FittedScorer], prompts: int | None, seed: int, device: str
) -> tuple[list[AssayScorer], dict[str, str]]:
    """A scorer for each language model, one for each model that they join, and the SHA-256 of the models."""
    from genoseq.cli.family.language_members import Member, drawn_prompts, open_member
    from genoseq.families.assays.benchmark import JoinedAssayScorer, LanguageAssayScorer
    from genoseq.families.poet.prompt import Homologues

    opened: list[Member] = []
    for kind, source in members:
        opened.append(open_member(kind, source, device=device, taken=[one.name for one in opened]))
    found: list[LanguageAssayScorer] = []
    for one in opened:

        def made(case: Case, count: int, one: Member = one) -> LanguageScorer:
            drawn = drawn_prompts(Homologues.of(case.read_alignment()), prompts, seed) if one.kind == "poet" else []
            return one.scorer(case.assay.wild_type, drawn, count)

        found.append(LanguageAssayScorer(one.name, made, tuple(joined)))
    together = [JoinedAssayScorer(one, tuple(found)) for one in joined]
    return [*found, *together], {f"{one.kind}={one.source}": one.sha256 for one in opened}
