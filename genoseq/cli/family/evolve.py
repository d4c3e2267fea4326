"""``genoseq family evolve``: a search for better sequences, step by step, under constraints and a budget."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import click

from genoseq.cli.family.model_source import method_option, torch_threads
from genoseq.cli.model_options import device_options

if TYPE_CHECKING:
    from genoseq.families.evolution.extrapolate import Evolved

__all__ = ["evolve"]

log = logging.getLogger("genoseq.family")
FORMAT, VERSION = "genoseq.trajectory", 1
COLUMNS = ("call", "round", "parent", "variant", "mutations", "score", "best", "kept")


@click.command(name="evolve")
@click.argument("wild_type_path", metavar="WT")
@click.option(
    "-m", "--model", "source", required=True, metavar="FILE|DIR|NAME", help="Proposes edits, and scores unless --scorer."
)
@click.option("--scorer", "scorer_source", metavar="FILE|DIR|NAME", help="Another model that scores.")
@method_option
@click.option("--budget", type=click.IntRange(2), default=500, show_default=True, metavar="N", help="Sequences to score.")
@click.option("--beam", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Sequences that go on.")
@click.option("--children", type=click.IntRange(1), default=5, show_default=True, metavar="N", help="Of each in a round.")
@click.option("--edits", type=click.IntRange(1), default=3, show_default=True, metavar="N", help="Of a step, at most.")
@click.option(
    "--temperature",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="T",
    help="Of the proposals; higher tries more.",
)
@click.option(
    "--min-distance",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    metavar="N",
    help="Differing residues between any two sequences that go on, or that are written.",
)
@click.option("--elite", type=click.IntRange(0), default=1, show_default=True, metavar="N", help="So many best always go on.")
@click.option("--max-mutations", type=click.IntRange(1), metavar="N", help="Differences to the wild type, at most.")
@click.option(
    "--fix", metavar="POSITIONS",
    help="Residues that stay (24-30,70,S73), or that can only become one letter (70A).",
)  # fmt: skip
@click.option("--only", metavar="POSITIONS", help="Residues that may change; all others stay.")
@click.option("--letters", metavar="LETTERS", help="Amino acids that may be put in. Default: all 20.")
@click.option("--offset", type=int, metavar="N", help="Residues before the wild type's first. Default: by WT's name, or 0.")
@click.option("-n", "--number", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Designs to write.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of the random numbers.")
@click.option("-o", "--output", metavar="FILE", help="The best designs (FASTA). Default: standard output.")
@click.option("--trajectory", metavar="FILE", help="Every scored sequence (TSV).")
@click.option("--figure", metavar="FILE", help="Also draw the course (PNG, PDF or SVG).")
@device_options
def evolve(
    wild_type_path: str,
    source: str,
    scorer_source: str | None,
    method: str | None,
    budget: int,
    beam: int,
    children: int,
    edits: int,
    temperature: float,
    min_distance: int,
    elite: int,
    max_mutations: int | None,
    fix: str | None,
    only: str | None,
    letters: str | None,
    offset: int | None,
    number: int,
    seed: int,
    output: str | None,
    trajectory: str | None,
    figure: str | None,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Search for sequences that score better than WT (FASTA of one protein), a few edits a step."""
    from genoseq.cli.family.model_source import open_source, source_sha256, wild_type_of
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.evolution.extrapolate import Search
    from genoseq.families.evolution.extrapolate import evolve as search_for
    from genoseq.infer.score_files import text_output
    from genoseq.log import Progress
    from genoseq.outputs import whole_file
    from genoseq.report.assay_figures import draw_trajectory
    from genoseq.report.mutant_heatmap import check_figure_name

    output = target_of(output)
    form = check_figure_name(figure) if figure is not None else ""
    check_targets([output, *(path for path in (trajectory, figure) if path is not None)], [wild_type_path, source, scorer_source])
    name, wild_type, named_offset = wild_type_of(wild_type_path)
    offset = named_offset if offset is None else offset
    limits = _limits(wild_type, offset, fix, only, letters, max_mutations)
    search = Search(budget, beam, children, edits, temperature, min_distance, elite, seed)
    with torch_threads(threads), Progress(budget, unit="sequences", label="searching") as progress:
        model = open_source(source, device=device, dtype=dtype)
        judge = model if scorer_source is None else open_source(scorer_source, device=device, dtype=dtype)
        proposer, scorer = _roles(model, judge, wild_type, method)
        found = search_for(wild_type, proposer, scorer, limits=limits, search=search, report=progress.update)
        digests = {"model_sha256": source_sha256(model), "scorer_sha256": source_sha256(judge)}
    best = found.best(number, min_distance=min_distance)
    with text_output(output) as file:
        for rank, one in enumerate(best, start=1):
            lines = "\n".join(one.sequence[at : at + 60] for at in range(0, len(one.sequence), 60))
            file.write(f">design_{rank} {_comment(one, offset, seed)} scorer={digests['scorer_sha256'][:12]}\n{lines}\n")
    content = {
        "format": FORMAT, "version": VERSION, "wild_type": name, "offset": offset, "ended": found.ended, "seed": seed,
        "budget": budget, **digests,
    }  # fmt: skip
    if trajectory is not None:
        _write(trajectory, found, offset, content)
    if figure is not None:
        with whole_file(figure) as temporary:
            draw_trajectory(found, temporary, form=form, title=f"{name}: {len(found.candidates):,} sequences")
    log.info(
        "%d sequences in %d rounds (ended: %s); the best scores %.4g, the wild type %.4g",
        len(found.candidates), found.rounds, found.ended, max([one.score for one in best], default=float("nan")),
        found.candidates[0].score,
    )  # fmt: skip


def _limits(
    wild_type: str, offset: int, fix: str | None, only: str | None, letters: str | None, max_mutations: int | None
) -> Any:
    from genoseq.families.alphabet import AMINO_ACIDS
    from genoseq.families.evolution.extrapolate import Limits

    fixed: set[int] = set()
    single: dict[int, str] = {}
    for place, new in _places(fix, "--fix", wild_type, offset):
        if new and new != wild_type[place]:
            single[place] = new
        else:
            fixed.add(place)
    if fixed & single.keys():
        raise click.UsageError(f"--fix {fix}: residue {min(fixed & single.keys()) + 1 + offset} both stays and has a new letter")
    if only is not None:
        changing = _places(only, "--only", wild_type, offset)
        if any(new for _, new in changing):
            raise click.UsageError(f"--only {only}: give positions without new letters; --fix 70A leaves one letter only")
        free = {place for place, _ in changing}
        if shut := sorted(single.keys() - free):
            raise click.UsageError(f"--fix gives residue {shut[0] + 1 + offset} a new letter, --only leaves it as it is")
        fixed |= set(range(len(wild_type))) - free
    return Limits(frozenset(fixed), max_mutations, AMINO_ACIDS if letters is None else letters.upper(), single)


def _places(text: str | None, option: str, wild_type: str, offset: int) -> list[tuple[int, str]]:
    """Residues from 0 that an option lists, and the letters it gives them; checked against the wild type."""
    from genoseq.families.variants.places import parse_places

    found = []
    for one in parse_places(text, option) if text is not None else ():
        place = one.number - 1 - offset
        if not 0 <= place < len(wild_type):
            first, last = 1 + offset, len(wild_type) + offset
            raise click.UsageError(f"{option} {text}: residue {one.number} is outside of {first} to {last}")
        one.check_wild_type(wild_type[place])
        found.append((place, one.new))
    return found


def _roles(model: Any, judge: Any, wild_type: str, method: str | None) -> tuple[Any, Any]:
    """The proposer and the scorer."""
    from genoseq.families.evolution.proposers import family_proposer, family_scorer, masked_proposer, masked_scorer
    from genoseq.families.language.masked import MaskedModel

    proposer = masked_proposer(model) if isinstance(model, MaskedModel) else family_proposer(model, wild_type)
    if isinstance(judge, MaskedModel):
        return proposer, masked_scorer(judge, wild_type, method=method or "masked-marginal")  # type: ignore[arg-type]
    if method is not None:
        raise click.UsageError("--method is for a masked language model that scores")
    return proposer, family_scorer(judge, wild_type)


def _comment(one: Any, offset: int, seed: int) -> str:
    from genoseq.families.variants.notation import format_variant

    return f"score={one.score:.6g} mutations={len(one.variant)} variant={format_variant(one.variant, offset=offset)} seed={seed}"


def _write(path: str, found: Evolved, offset: int, content: dict[str, Any]) -> None:
    from genoseq import __version__
    from genoseq.families.evolution.extrapolate import trajectory_rows
    from genoseq.outputs import whole_file

    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(f"#{json.dumps({'genoseq': __version__, **content}, sort_keys=True)}\n" + "\t".join(COLUMNS) + "\n")
        for row in trajectory_rows(found, offset=offset):
            file.write("\t".join(row) + "\n")
