"""What ``genoseq family score`` is asked for, and what of it makes no sense together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

__all__ = ["ScoreOptions", "check_files", "check_options"]


@dataclass(frozen=True)
class ScoreOptions:
    """What was typed; ``model_path`` and ``members`` are both from --model, ``fitting`` is what `fit_settings` takes."""

    wild_type_path: str
    variants_path: str | None
    alignment_path: str | None
    model_path: str | None
    members: tuple[tuple[str, str], ...]
    output: str | None
    kind: str | None
    all_singles: bool
    figure: str | None
    offset: int | None
    column: str | None
    skip_stops: bool
    save_model: str | None
    prompts: int | None
    seed: int | None
    alignment_format: str | None
    device: str
    threads: int
    fitting: Mapping[str, Any]

    def family_file(self) -> str:
        """The file of the model of the family.

        Raises:
            click.UsageError: none is given.
        """
        if self.model_path is None:
            raise click.UsageError("give either --msa or --model" + (" beside the language model" if self.members else ""))
        return self.model_path

    @property
    def poet(self) -> bool:
        """Whether a language model is among them that reads homologues."""
        return any(kind == "poet" for kind, _ in self.members)


def check_options(options: ScoreOptions) -> None:
    """Refuse what makes no sense together.

    Raises:
        click.UsageError: says which options.
    """
    fit_to = options.alignment_path is not None
    given = options.model_path is not None
    if options.poet and not fit_to:
        raise click.UsageError("a PoET reads homologues: give them by --msa")
    if not fit_to:
        options.family_file()  # raises where there is none
    if given and fit_to and not options.poet:
        raise click.UsageError("give either --msa or --model")
    if not options.poet and (options.prompts is not None or options.seed is not None):
        raise click.UsageError("--prompts and --seed are those of a PoET: give one by -m poet=DIR")
    if options.all_singles == (options.variants_path is not None):
        raise click.UsageError("give either VARIANTS or --all-singles")
    if given:
        unused = [f"--{name.replace('_', '-')}" for name, value in options.fitting.items() if value is not None]
        unused += ["--save-model"] if options.save_model is not None else []
        unused += ["--alignment-format"] if options.alignment_format is not None and not options.poet else []
        if unused:
            raise click.UsageError(
                f"{', '.join(unused)} can be given only where --msa is fitted to, without a model of the family"
            )
    if options.variants_path == "-" and "-" in (options.wild_type_path, options.alignment_path):
        raise click.UsageError("standard input is read once: give one of the files by name")
    if options.all_singles and (options.column is not None or options.skip_stops):
        raise click.UsageError("--column and --skip-stops are about VARIANTS")


def check_files(options: ScoreOptions) -> None:
    """Refuse outputs that cannot be written, before any work is done.

    Raises:
        UsageError: an output is an input, two are one, or a figure of no known kind.
        OutputError: an output cannot be written.
    """
    from genoseq.cli.targets import check_targets
    from genoseq.report.mutant_heatmap import check_figure_name

    if options.figure is not None:
        check_figure_name(options.figure)
    inputs = [options.wild_type_path, options.variants_path, options.alignment_path, options.model_path]
    check_targets(
        [options.output, *(path for path in (options.figure, options.save_model) if path is not None)],
        [*inputs, *(source for _, source in options.members)],
    )
