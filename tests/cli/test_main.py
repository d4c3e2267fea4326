"""The command line as a whole: what it lists, what it imports, and what becomes of every kind of error."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from genoseq import __version__, log
from genoseq.cli import main as module
from genoseq.cli.main import COMMANDS, Entry, main
from genoseq.errors import InputError, UsageError

HEAVY = ["torch", "transformers", "faiss", "pysam", "numba", "numpy", "matplotlib", "sklearn", "Bio"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Make the command ``try`` that runs the given function."""
    monkeypatch.setattr(log, "configure", lambda *, verbosity: None)

    def make(run: Callable[[], object]) -> None:
        monkeypatch.setattr(module, "attempt", click.Command("try", callback=run), raising=False)
        monkeypatch.setitem(COMMANDS, "try", Entry("genoseq.cli.main:attempt", "Try it."))

    yield make


def raising(error: BaseException) -> Callable[[], object]:
    def run() -> object:
        raise error

    return run


def run(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "genoseq", *args], capture_output=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from genoseq.cli.main import main; status = main(sys.argv[1:]); "
        f"print(sorted(set(sys.modules) & set({HEAVY})), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"genoseq {__version__}\n", "")


def test_help_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-h"]) == 0
    shown = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert f"  {name} " in shown
        assert entry.help.split()[0] in shown


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_listed_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: genoseq {name} " in capsys.readouterr().out


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["algin"], "No such command 'algin'. Commands: index, align, "),
        (["--nonsense"], "No such option"),
        (["--quiet", "--verbose", "align"], "--quiet and --verbose contradict each other"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (InputError("odd", path="a.fq", record=2), 1, "error: a.fq, record 2: odd"),
        (UsageError("--a needs --b"), 2, "error: --a needs --b"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
        (
            OSError(errno.ENOSPC, "full", "out.bam"),
            1,
            "error: out.bam: no space left on the device; free some space or",
        ),
        (PermissionError(errno.EACCES, "no", "x"), 1, "error: x: no permission"),
        (MemoryError(), 1, "error: out of memory"),
        (ZeroDivisionError("by zero"), 1, "error: internal error, a defect of genoseq: ZeroDivisionError: by zero"),
    ],
)
def test_errors_are_one_line_and_a_status(
    command: Callable[[Callable[[], object]], None],
    error: BaseException,
    status: int,
    text: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    command(raising(error))
    before = os.dup(1)
    try:
        assert main(["try"]) == status
        shown = capfd.readouterr().err
        assert shown.startswith(f"genoseq: {text}")
        assert shown.count("\n") == 1
        assert main(["--debug", "try"]) == status
        assert "Traceback (most recent call last)" in capfd.readouterr().err
    finally:
        os.dup2(before, 1)
        os.close(before)


def test_a_command_that_ends_well_gives_0_whatever_it_returns(
    command: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(lambda: 7)
    assert main(["try"]) == 0
    command(lambda: click.get_current_context().exit(3))
    assert main(["try"]) == 3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("option", "verbosity"), [([], 0), (["-q"], -1), (["--verbose"], 1)])
def test_how_much_is_said(
    command: Callable[[Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
    option: list[str],
    verbosity: int,
) -> None:
    command(lambda: None)
    asked: list[int] = []
    monkeypatch.setattr(log, "configure", lambda *, verbosity: asked.append(verbosity))
    assert main([*option, "try"]) == 0
    assert asked == [verbosity]


def _script(body: str) -> list[str]:
    """A Python command that runs genoseq with a command ``try`` of this body."""
    lines = [
        "import sys, time, click, os",
        "from genoseq.cli import main as module",
        "from genoseq.outputs import whole_file",
        "def attempt():",
        *[f"    {line}" for line in body.splitlines()],
        "module.attempt = click.Command('try', callback=attempt)",
        "module.COMMANDS['try'] = module.Entry('genoseq.cli.main:attempt', '')",
        "sys.exit(module.main(['try']))",
    ]
    return [sys.executable, "-c", "\n".join(lines)]


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = _script("for i in range(100_000): click.echo('line')")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_device_behind_standard_output_is_told() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(_script("print('x' * 100)"), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "genoseq: error: no space left on the device; free some space or choose another place\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_leaves_no_half_written_output(tmp_path: Path, number: signal.Signals, status: int) -> None:
    target = tmp_path / "out.txt"
    body = f"with whole_file({str(target)!r}) as path:\n    path.write_text('half')\n    print('on', flush=True)\n    time.sleep(60)"
    with subprocess.Popen(_script(body), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"on\n"
        assert len(os.listdir(tmp_path)) == 1
        process.send_signal(number)
        assert process.wait() == status
        assert process.stderr.read() in (b"genoseq: terminated\n", b"genoseq: hung up\n", b"genoseq: interrupted\n")
    assert os.listdir(tmp_path) == []


def test_the_handler_of_the_caller_is_put_back(command: Callable[[Callable[[], object]], None]) -> None:
    command(lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["try"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before
