"""What genoseq says while it works: a log on standard error, and a progress bar where a person is watching.

Data go to standard output, so nothing here ever writes there. Modules log to ``logging.getLogger(__name__)``;
only the command line calls :func:`configure`, so a program that imports genoseq keeps its own logging.
"""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Self, TextIO

__all__ = ["Progress", "configure"]

REDRAW = 0.2  # seconds between two drawings of a bar
WIDTH = 24  # characters of the bar itself


class _Handler(logging.Handler):
    """Writes to whatever ``sys.stderr`` is at the time, above a progress bar where one stands."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            bar = Progress.shown
            if bar is not None:
                bar.clear()
            print(text, file=sys.stderr, flush=True)
        except (OSError, ValueError):  # standard error is closed: there is nobody left to tell
            self.handleError(record)


def configure(*, verbosity: int = 0) -> None:
    """Set what is logged: -1 only errors, 0 warnings and the main steps, 1 or more also details.

    Calling it again changes the level and adds no second handler.
    """
    logger = logging.getLogger("genoseq")
    for handler in [h for h in logger.handlers if isinstance(h, _Handler)]:
        logger.removeHandler(handler)
    handler = _Handler()
    handler.setFormatter(_Formatter())
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR if verbosity < 0 else logging.DEBUG if verbosity > 0 else logging.INFO)
    logger.propagate = False


class _Formatter(logging.Formatter):
    """``genoseq: text`` for information, ``genoseq: warning: text`` for what a user should look at."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"genoseq: {level}{text}"


class Progress:
    """A progress bar with rate and remaining time on standard error, drawn only if that is a terminal.

    Args:
        total: how many units make the whole; None where it is not known (then no bar, only count and rate).
        unit: what is counted, in the plural.
        label: what is being done.
        stream: where to draw; standard error unless given.

    >>> with Progress(3, unit="reads", label="mapping") as progress:
    ...     progress.update(3)
    >>> progress.done
    3
    """

    shown: Progress | None = None

    def __init__(
        self, total: int | None, unit: str = "records", label: str = "", *, stream: TextIO | None = None
    ) -> None:
        self.total = total
        self.unit = unit
        self.label = label
        self.done = 0
        self._stream = stream if stream is not None else sys.stderr
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._quiet = logging.getLogger("genoseq").getEffectiveLevel() >= logging.ERROR
        self._draws = not self._quiet and _is_terminal(self._stream)

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        if self._draws:
            Progress.shown = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._draws:
            self.clear()
            Progress.shown = None

    def update(self, n: int = 1) -> None:
        """Count ``n`` more units as done."""
        self.done += n
        if self._draws:
            now = time.monotonic()
            if now - self._drawn >= REDRAW:
                self._drawn = now
                self._stream.write(f"\r{self.text(now - self._begun)}\x1b[K")
                self._stream.flush()

    def text(self, seconds: float) -> str:
        """The line to show ``seconds`` after the start."""
        rate = self.done / seconds if seconds > 0 else 0.0
        head = f"{self.label}: " if self.label else ""
        if not self.total:
            return f"{head}{self.done:,} {self.unit}, {rate:,.0f}/s"
        share = min(1.0, self.done / self.total)
        full = int(WIDTH * share)
        left = _clock((self.total - self.done) / rate) if rate > 0 and self.done <= self.total else "?"
        bar = "#" * full + "." * (WIDTH - full)
        return f"{head}[{bar}] {share:4.0%} of {self.total:,} {self.unit}, {rate:,.0f}/s, {left} left"

    def clear(self) -> None:
        """Wipe the bar; the next update draws it again."""
        self._stream.write("\r\x1b[K")
        self._stream.flush()


def _is_terminal(stream: TextIO) -> bool:
    return not stream.closed and stream.isatty()


def _clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
