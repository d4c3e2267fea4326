"""Options that several commands share."""

from __future__ import annotations

import os

import click

__all__ = ["threads_option"]


def available_cores() -> int:
    """Cores this process may use, at most 8: a default that is kind to shared machines."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


threads_option = click.option(
    "-t", "--threads", type=click.IntRange(min=1), default=available_cores, help="Threads. Default: all cores, at most 8."
)
