"""What genoseq says while it works: a log on standard error, and a progress bar where a person is watching.

Data go to standard output, so nothing here ever writes there. Modules log to ``logging.getLogger(__name__)``;
only the command line calls :func:`configure`, so a program that imports genoseq keeps its own logging. The few steps
that take long and happen rarely go through :func:`announce`, which a program that set up no logging shows, too.
"""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Self, TextIO

__all__ = ["Progress", "announce", "configure", "counted"]

REDRAW = 0.2  # seconds between two drawings of a bar
LINE_EVERY = 30.0  # seconds between two lines about progress in a log
LINE_SHARE = 0.1  # of the time so far, between two lines without -v: some sixty in a day
WIDTH = 24  # characters of the bar itself


logger = logging.getLogger("genoseq")


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
    """Set what is logged: -1 only errors, 0 warnings and the main steps, 1 or more also details and progress.

    Calling it again changes the level and adds no second handler.
    """
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
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return f"genoseq: {level}{text}"


def announce(logger: logging.Logger, message: str, *arguments: object) -> None:
    """Log, as information, a step that takes long and happens rarely; without any logging set up, say it all the same.

    Python shows such a program (a notebook, say) warnings only, and a first use that compiles for a minute would look dead.
    """
    if logger.hasHandlers() or not logger.isEnabledFor(logging.WARNING):
        logger.info(message, *arguments)
        return
    handler = _Handler()
    handler.setFormatter(_Formatter())
    handler.handle(logger.makeRecord(logger.name, logging.INFO, "", 0, message, arguments, None))


def counted(number: int, thing: str) -> str:
    """A number and what is counted, in the plural unless it is one.

    >>> counted(1, "contig"), counted(1200, "read")
    ('1 contig', '1,200 reads')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


class Progress:
    """A progress bar with rate and remaining time on standard error, if that is a terminal.

    Where it is none, a line goes to the log after half a minute, then ever more seldom, so that the log file of a long run does
    not look dead; with details (``-v``) every half minute.

    Args:
        total: how many units make the whole; None where it is not known (then no bar, only count and rate).
        unit: what is counted, in the plural.
        label: what is being done.
        stream: where to draw; standard error unless given.

    Attributes:
        done: units done so far.
        note: something to add to the line.

    >>> with Progress(3, unit="reads", label="mapping") as progress:
    ...     progress.update(3)
    >>> progress.done
    3
    """

    shown: Progress | None = None

    def __init__(
        self,
        total: int | None,
        unit: str = "records",
        label: str = "",
        *,
        stream: TextIO | None = None,
    ) -> None:
        self.total = total
        self.unit = unit
        self.label = label
        self.done = 0
        self.note = ""
        self._stream = stream if stream is not None else sys.stderr
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._quiet = logger.getEffectiveLevel() >= logging.ERROR
        self._draws = not self._quiet and _is_terminal(self._stream)
        self._often = logger.isEnabledFor(logging.DEBUG)
        self._logs = not self._draws and logger.isEnabledFor(logging.INFO)
        self._logged = self._begun

    def __enter__(self) -> Self:
        self._begun = self._logged = time.monotonic()
        if self._draws:
            Progress.shown = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
        elif self._logs:
            now = time.monotonic()
            share = 0.0 if self._often else LINE_SHARE * (self._logged - self._begun)
            if now - self._logged >= max(LINE_EVERY, share):
                self._logged = now
                logger.info("%s", self.text(now - self._begun, bar=False))

    def text(self, seconds: float, *, bar: bool = True) -> str:
        """The line to show ``seconds`` after the start."""
        rate = self.done / seconds if seconds > 0 else 0.0
        head = f"{self.label}: " if self.label else ""
        tail = f"; {self.note}" if self.note else ""
        if not self.total:
            return f"{head}{self.done:,} {self.unit}, {_rate(rate)}/s{tail}"
        share = min(1.0, self.done / self.total)
        left = _clock((self.total - self.done) / rate) if rate > 0 and self.done <= self.total else "?"
        if bar:
            full = int(WIDTH * share)
            head += f"[{'#' * full}{'.' * (WIDTH - full)}] {share:4.0%}"
        else:
            head += f"{share:.0%}"
        return f"{head} of {self.total:,} {self.unit}, {_rate(rate)}/s, {left} left{tail}"

    def clear(self) -> None:
        """Wipe the bar; the next update draws it again."""
        self._stream.write("\r\x1b[K")
        self._stream.flush()


def _is_terminal(stream: TextIO) -> bool:
    return not stream.closed and stream.isatty()


def _rate(rate: float) -> str:
    """A number per second; below 10 with two digits, so that slow steps are not 0."""
    return f"{rate:,.0f}" if rate >= 10 or rate <= 0 else f"{rate:.2g}"


def _clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
