"""What the commands that fit a model share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from genoseq.families.models.fitting import FitSettings

__all__ = ["KINDS", "device_option", "fit_options", "fit_settings", "kind_option"]

KINDS = ("ensemble", "potts", "pssm", "nearest", "site", "profile")

kind_option = click.option(
    "--kind",
    type=click.Choice(KINDS),
    help="ensemble: Potts model, PSSM and nearest homologues by mean rank, a profile HMM for insertions and deletions. "
    "Default: ensemble.",
)
device_option = click.option(
    "--device", default="cpu", show_default=True, metavar="DEVICE", help="Where the Potts model is fitted: cpu, or cuda."
)


def fit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a fit; :func:`fit_settings` takes what they say."""
    for option in reversed(
        (
            click.option(
                "--min-coverage", type=click.FloatRange(0, 1), metavar="SHARE",
                help="Rows with residues in at least this share of the columns. Default: 0.7.",
            ),
            click.option(
                "--weight-identity", type=click.FloatRange(0, 1, min_open=True), metavar="SHARE",
                help="Rows of at least this identity share one weight. Default: 0.8.",
            ),
            click.option(
                "--pssm-identity", type=click.FloatRange(0, 1), metavar="SHARE",
                help="The PSSM takes rows of at least this identity to the wild type. Default: 0.4.",
            ),
            click.option(
                "--gap-state/--no-gap-state", default=None, help="Let the Potts model have the gap as a 21st letter. Default: no."
            ),
            click.option(
                "--couplings-penalty", type=click.FloatRange(0, min_open=True), metavar="FACTOR",
                help="Of the Potts model, times (L - 1)(q - 1). Default: 0.01.",
            ),
            click.option(
                "--fields-penalty", type=click.FloatRange(0, min_open=True), metavar="FACTOR",
                help="Of the Potts model, on the distance to fields with pseudo-counts. Default: 1.",
            ),
            click.option(
                "--iterations", type=click.IntRange(1), metavar="N", help="Steps of the Potts fit at most. Default: 100."
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def fit_settings(options: dict[str, Any]) -> FitSettings:
    """The settings that the options of :func:`fit_options` ask for."""
    from genoseq.families.models.fitting import FitSettings
    from genoseq.families.models.potts_fit import PottsSettings

    given = {name: value for name, value in options.items() if value is not None}
    potts = {
        name: given.pop(name) for name in ("gap_state", "couplings_penalty", "fields_penalty", "iterations") if name in given
    }
    return FitSettings(**given, potts=PottsSettings(**potts))
