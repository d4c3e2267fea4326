"""``genoseq family generate``: new members of a protein family."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from genoseq.cli.family.alignment_options import format_option, query_of, wild_type_option
from genoseq.cli.family.model_source import is_family_model
from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    from genoseq.families.models.model import Focus

__all__ = ["generate"]

log = logging.getLogger("genoseq.family")
OF_THE_FIT = ("min_coverage", "weight_identity", "penalty", "power", "pulls", "nearest", "passes", "save_model")
OF_POTTS = ("sweeps", "train")


@click.command(name="generate")
@click.argument("source", metavar="SOURCE")
@click.option("-n", "--number", type=click.IntRange(min=1), default=100, show_default=True, help="Samples.")
@click.option("-o", "--output", metavar="FILE", help="FASTA to write. Default: standard output.")
@click.option("--aligned", is_flag=True, help="Write gaps, too: one letter for each column of the model.")
@click.option(
    "--fix", metavar="POSITIONS",
    help="Positions of the wild type that keep its letter (70,S73,68-72), or have another (70A), counted from 1 in its protein.",
)  # fmt: skip
@click.option(
    "--temperature", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
    help="Below 1: more probable samples. Above 1: more diverse ones.",
)  # fmt: skip
@click.option("--max-identity", type=click.FloatRange(0, 1), metavar="SHARE", help="To the nearest train sequence. Default: 0.9.")
@click.option("--min-identity", type=click.FloatRange(0, 1), metavar="SHARE", help="To the nearest train sequence. Default: 0.")
@click.option("--min-length", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Residues, at least.")
@click.option("--max-length", type=click.IntRange(min=1), metavar="N", help="Residues, at most. Default: any number.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random numbers.")
@click.option("--save-model", metavar="FILE", help="Keep the model that was fitted to an alignment.")
@click.option(
    "--min-coverage", type=click.FloatRange(0, 1), metavar="SHARE",
    help="Fit to rows with residues in at least this share of the columns. Default: 0.7.",
)  # fmt: skip
@click.option(
    "--weight-identity", type=click.FloatRange(0, 1, min_open=True), metavar="SHARE",
    help="Rows of at least this identity share one weight. Default: 0.6; 0.7 or 0.8 for families too small for that.",
)  # fmt: skip
@click.option("--penalty", type=click.FloatRange(0), metavar="FACTOR", help="On the squares of the couplings. Default: 0.02.")
@click.option("--power", type=click.FloatRange(0, min_open=True), metavar="FACTOR", help="Of the fitted logits. Default: 0.85.")
@click.option(
    "--pulls", metavar="NATS",
    help="Towards the ancestor's letter, separated by commas; each for the same share of the samples. Default: by --nearest.",
)  # fmt: skip
@click.option(
    "--nearest", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="SHARE",
    help="Choose --pulls so that this is the median identity to the nearest train sequence. Default: 0.63.",
)  # fmt: skip
@click.option("--passes", type=click.IntRange(min=1), metavar="N", help="Of the fit, over all rows. Default: 10.")
@click.option("--sweeps", type=click.IntRange(min=1), metavar="N", help="Of each chain of a Potts model. Default: 200.")
@click.option(
    "--train", metavar="ALIGNMENT",
    help="What a Potts model was fitted to: chains begin from its rows, and identities are taken to them.",
)  # fmt: skip
@wild_type_option
@format_option
@click.option("--device", default="cpu", show_default=True, metavar="DEVICE", help="Where a model is fitted: cpu, or cuda.")
@threads_option
def generate(
    source: str,
    number: int,
    output: str | None,
    aligned: bool,
    fix: str | None,
    temperature: float,
    max_identity: float | None,
    min_identity: float | None,
    min_length: int,
    max_length: int | None,
    seed: int,
    wild_type: str,
    alignment_format: str | None,
    device: str,
    threads: int,
    **options: Any,
) -> None:
    """Draw new members of a family from SOURCE: its alignment, or a model file (of `genoseq family fit`, or --save-model).

    An alignment (a3m, a2m, Stockholm or FASTA; - is standard input) is fitted first, which takes minutes; --save-model keeps
    the result. The same seed gives the same samples.
    """
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.models.model_file import load_model, model_sha256, save_model
    from genoseq.families.sampling.files import sample_record
    from genoseq.families.sampling.members import Wanted, fixed_columns, sample_family
    from genoseq.infer.score_files import text_output
    from genoseq.log import Progress

    output = target_of(output)
    check_targets([output, options["save_model"]], [source, options["train"]])
    wanted = Wanted(
        0.9 if max_identity is None else max_identity, 0.0 if min_identity is None else min_identity, min_length, max_length
    )

    def check_wishes(focus: Focus) -> dict[int, int] | None:
        """What cannot be is refused before minutes are spent; the fixed columns."""
        wanted.check(focus.length)
        return fixed_columns(fix, focus) if fix is not None else None

    is_model = is_family_model(source)
    names = {name: f"--{name.replace('_', '-')}" for name in (*OF_THE_FIT, *OF_POTTS)}
    if is_model:
        model = _with_sampler(load_model(source), source)
        idle = [name for name in OF_THE_FIT if options[name] is not None]
        if model.kind != "potts":
            idle += [name for name in OF_POTTS if options[name] is not None]
        _refuse([names[name] for name in idle], f"a model of kind {model.kind}")
    else:
        _refuse([names[name] for name in OF_POTTS if options[name] is not None], "an alignment")
        model = _fitted(source, query_of(wild_type), alignment_format, device, threads, options, check_wishes)
        if options["save_model"] is not None:
            save_model(model, options["save_model"])
    sampler, train = _sampler(model, options, alignment_format, query_of(wild_type))
    if train is None and (max_identity is not None or min_identity is not None):
        raise click.UsageError("identities are to the train sequences of a Potts model: name them by --train")
    fixed = check_wishes(model.focus)
    digest = model_sha256(model)
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(Progress(number, unit="samples", label="sampling"))
        samples = sample_family(
            sampler, number, train=train, wanted=wanted, temperature=temperature, fixed=fixed, seed=seed, report=progress.update
        )
        scores = model.log_likelihoods(samples.rows) if hasattr(model, "log_likelihoods") else None
        out = stack.enter_context(text_output(output))
        for at in range(number):
            out.write(
                sample_record(
                    samples, at, aligned=aligned, seed=seed, temperature=temperature, model_sha256=digest,
                    log_likelihood=None if scores is None else float(scores[at]),
                )
            )  # fmt: skip
    log.info("%d samples of %d attempts", number, samples.attempts)


def _with_sampler(model: Any, source: str) -> Any:
    """The part of an ensemble that draws; any other model as it is."""
    from genoseq.errors import InputError
    from genoseq.families.models.ensemble import EnsembleModel

    if not isinstance(model, EnsembleModel):
        return model
    if model.sampler is None:
        raise InputError(
            "holds no sampler: `genoseq family score --save-model` and `fit --no-sampler` keep none", path=source,
            remedy="give the alignment, or the model that `genoseq family fit ALIGNMENT -o FILE` writes",
        )  # fmt: skip
    return model.sampler


def _refuse(names: list[str], source: str) -> None:
    if names:
        raise click.UsageError(f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect on {source}")


def _fitted(
    source: str,
    query: str | None,
    alignment_format: str | None,
    device: str,
    threads: int,
    options: dict[str, Any],
    check: Callable[[Focus], object],
) -> Any:
    """The autoregressive model of an alignment; ``check`` is asked of its columns before."""
    from genoseq.families.alignments.files import read_alignment
    from genoseq.families.alignments.filtering import filter_alignment
    from genoseq.families.models.autoregressive import fit_autoregressive
    from genoseq.families.models.autoregressive_fit import AutoregressiveSettings
    from genoseq.families.models.model import focus_of
    from genoseq.log import Progress

    alignment = read_alignment(source, query=query, format=alignment_format)  # type: ignore[arg-type]
    coverage = options["min_coverage"]
    kept = filter_alignment(alignment, min_coverage=0.7 if coverage is None else coverage)
    chosen = {
        name: options[name]
        for name in ("weight_identity", "penalty", "power", "pulls", "nearest", "passes")
        if options[name] is not None
    }
    if "pulls" in chosen and "nearest" in chosen:
        raise click.UsageError("--nearest has no effect with --pulls")
    if "pulls" in chosen:
        try:
            chosen["pulls"] = tuple(float(value) for value in chosen["pulls"].split(","))
        except ValueError:
            raise click.UsageError(f"--pulls {chosen['pulls']}: expected numbers separated by commas") from None
    check(focus_of(kept))
    settings = AutoregressiveSettings(**chosen)
    with Progress(settings.passes * len(kept), unit="rows", label="fitting", stream=sys.stderr) as progress:
        return fit_autoregressive(kept, settings=settings, device=device, threads=threads, report=progress.update)


def _sampler(model: Any, options: dict[str, Any], alignment_format: str | None, query: str | None) -> tuple[Any, Any]:
    """What draws rows, and the train rows."""
    from genoseq.errors import InputError, UsageError
    from genoseq.families.alignments.files import read_alignment
    from genoseq.families.models.autoregressive import AutoregressiveModel
    from genoseq.families.models.potts import PottsModel
    from genoseq.families.sampling.gibbs import GibbsSampler

    if isinstance(model, AutoregressiveModel):
        return model, model.ancestors
    if not isinstance(model, PottsModel):
        raise UsageError(f"nothing can be drawn from a model of kind {model.kind}: expected ensemble, potts or autoregressive")
    train = None
    if options["train"] is not None:
        alignment = read_alignment(options["train"], query=query, format=alignment_format)  # type: ignore[arg-type]
        if alignment.length != len(model.focus.modelled):
            raise InputError(
                f"has {alignment.length} columns, the model {len(model.focus.modelled)}", path=options["train"],
                remedy="give the alignment that the model was fitted to",
            )  # fmt: skip
        train = alignment.matrix[:, model.focus.modelled]
    return GibbsSampler(model, sweeps=options["sweeps"] or 200, starts=train), train
