from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from genoseq import log as module
from genoseq.log import Progress, announce, configure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """The package's logger, put back as it was."""
    logger = logging.getLogger("genoseq")
    before = logger.handlers[:], logger.level, logger.propagate
    yield logger
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        (-1, ["genoseq: error: three"]),
        (0, ["genoseq: one", "genoseq: warning: two", "genoseq: error: three"]),
        (1, ["genoseq: zero", "genoseq: one", "genoseq: warning: two", "genoseq: error: three"]),
    ],
)
def test_verbosity_decides_what_is_logged_to_standard_error(
    verbosity: int, shown: list[str], logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(verbosity=verbosity)
    child = logger.getChild("part")
    child.debug("zero")
    child.info("one")
    child.warning("two")
    child.error("three")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == shown
    assert captured.out == ""


def test_configuring_twice_logs_once(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(verbosity=0)
    configure(verbosity=0)
    logger.info("once")
    assert capsys.readouterr().err == "genoseq: once\n"


def test_progress_counts_but_draws_nothing_where_nobody_looks() -> None:
    stream = io.StringIO()
    with Progress(10, unit="reads", label="mapping", stream=stream) as progress:
        progress.update(4)
        progress.update()
    assert progress.done == 5
    assert stream.getvalue() == ""


def test_progress_draws_on_a_terminal_and_wipes_itself() -> None:
    stream = Terminal()
    with Progress(10, unit="reads", label="mapping", stream=stream) as progress:
        progress.update(5)
    drawn = stream.getvalue()
    assert "mapping: [############............]  50% of 10 reads" in drawn
    assert drawn.endswith("\r\x1b[K")


def test_progress_is_silent_when_only_errors_are_asked_for() -> None:
    configure(verbosity=-1)
    stream = Terminal()
    with Progress(10, stream=stream) as progress:
        progress.update(5)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("total", "done", "seconds", "text"),
    [
        (1000, 250, 1.0, "[######..................]  25% of 1,000 reads, 250/s, 0:03 left"),
        (1_000_000, 1000, 10.0, "[........................]   0% of 1,000,000 reads, 100/s, 2:46:30 left"),
        (1000, 0, 0.0, "[........................]   0% of 1,000 reads, 0/s, ? left"),
        (None, 5000, 2.0, "5,000 reads, 2,500/s"),
        (20, 13, 30.0, "[###############.........]  65% of 20 reads, 0.43/s, 0:16 left"),
        (None, 93, 10.0, "93 reads, 9.3/s"),
    ],
)
def test_progress_tells_share_rate_and_time_left(total: int | None, done: int, seconds: float, text: str) -> None:
    progress = Progress(total, unit="reads", stream=io.StringIO())
    progress.update(done)
    assert progress.text(seconds) == text


def test_a_log_line_is_written_above_the_bar(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(verbosity=0)
    stream = Terminal()
    with Progress(10, stream=stream) as progress:
        progress.update(5)
        logger.info("halfway")
        assert stream.getvalue().endswith("\r\x1b[K")
    assert capsys.readouterr().err == "genoseq: halfway\n"


def in_a_program_without_logging(monkeypatch: pytest.MonkeyPatch, logger: logging.Logger) -> None:
    """As in a notebook; pytest's own handlers are put aside for the rest of the test."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logger.handlers[:] = []
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def test_a_long_step_is_announced_where_nobody_set_up_logging(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_a_program_without_logging(monkeypatch, logger)
    announce(logger.getChild("part"), "compiling %s", "all")
    logger.info("a main step of a command")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "genoseq: compiling all\n")


def test_a_program_with_logging_of_its_own_decides_what_is_announced(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_a_program_without_logging(monkeypatch, logger)
    logger.addHandler(logging.NullHandler())
    announce(logger, "hidden")
    logger.handlers[:] = []
    logger.setLevel(logging.ERROR)
    announce(logger, "hidden")
    assert capsys.readouterr().err == ""
    configure(verbosity=0)
    announce(logger, "shown")
    configure(verbosity=-1)
    announce(logger, "hidden")
    assert capsys.readouterr().err == "genoseq: shown\n"


@pytest.mark.parametrize(("verbosity", "expected"), [(-1, 0), (0, 1), (1, 1)])
def test_progress_goes_to_a_log_line_by_line(
    verbosity: int, expected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(verbosity=verbosity)
    monkeypatch.setattr(module, "LINE_EVERY", 0.0)
    with Progress(10, unit="bytes", label="mapping", stream=io.StringIO()) as progress:
        progress.note = "3 reads"
        progress.update(5)
        monkeypatch.setattr(module, "LINE_EVERY", 100.0)
        progress.update(5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == expected
    for line in lines:
        assert line.startswith("genoseq: mapping: 50% of 10 bytes, ") and line.endswith(" left; 3 reads")


@pytest.mark.parametrize(("verbosity", "lines"), [(-1, 0), (0, 17), (1, 19)])
def test_a_log_without_details_is_told_ever_more_seldom(
    verbosity: int, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After half a minute, then whenever a tenth more time has passed; every half minute with details."""
    configure(verbosity=verbosity)
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with Progress(600, unit="steps", label="training", stream=io.StringIO()) as progress:
        for _ in range(599):
            now += 1.0
            progress.update()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    assert not said or said[0] == "genoseq: training: 5% of 600 steps, 1/s, 9:30 left"
