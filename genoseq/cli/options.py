"""Options that several commands share."""

from __future__ import annotations

import os
from typing import Any

import click

__all__ = ["Whole", "threads_option"]


class Whole(click.IntRange):
    """A whole number from ``least`` to ``most``, or without an upper end."""

    def __init__(self, least: int, most: int | None = None) -> None:
        super().__init__(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; a usage error that says which numbers there are."""
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            span = f"of {self.min} or more" if self.max is None else f"from {self.min} to {self.max}"
            self.fail(f"{value!r} is not a whole number {span}.", param, ctx)


def available_cores() -> int:
    """Cores this process may use, at most 8: a default that is kind to shared machines."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


threads_option = click.option(
    "-t", "--threads", type=Whole(1), default=available_cores, help="Threads. Default: all cores, at most 8."
)
