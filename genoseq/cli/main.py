"""The ``genoseq`` command: the table of commands, the options before them, and what becomes of every error.

Listing the commands imports none of them. Exit status: 0 done, 1 something is wrong with the data or the machine,
2 usage, 130 interrupted, 143 terminated, 129 hung up, 141 whoever read the output went away.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any

import click

from genoseq import __version__, log
from genoseq.cli.lazy import Entry, LazyGroup
from genoseq.errors import GenoseqError

__all__ = ["COMMANDS", "cli", "main"]

INTERRUPTED, PIPE_CLOSED = 130, 141
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that ask the process to end; the status is 128 and their number."""


COMMANDS: dict[str, Entry] = {
    "index": Entry("genoseq.cli.index:index", "Build the index of a reference genome."),
    "align": Entry("genoseq.cli.align:align", "Map reads to an indexed genome; write SAM, BAM or CRAM."),
    "embed": Entry("genoseq.cli.embed:embed", "Embed sequences by a model."),
    "score": Entry("genoseq.cli.score:score", "Score sequences by a language model."),
    "segment": Entry("genoseq.cli.segment:segment", "Cut sequences where a net has learned to begin a token."),
    "variants": Entry("genoseq.cli.variants:variants", "Score the variants of a VCF by a language model."),
    "mutagenesis": Entry("genoseq.cli.mutagenesis:mutagenesis", "Score all substitutions of a stretch of sequence."),
    "generate": Entry("genoseq.cli.generate:generate", "Draw new sequences from a language model."),
    "train": Entry("genoseq.cli.train:train", "Train a model from a recipe."),
    "distances": Entry("genoseq.cli.distances:distances", "Distances between sequences or genomes."),
    "tree": Entry("genoseq.cli.tree:tree", "A tree from distances: Newick, and a figure."),
    "simulate": Entry("genoseq.cli.simulate:simulate", "Simulate reads with a known true place."),
    "family": Entry("genoseq.cli.family.group:family", "Model a protein family: score variants, generate members, judge."),
    "classify": Entry("genoseq.cli.classify:classify", "Tell classes of sequences apart by how well each one compresses them."),
    "judge": Entry("genoseq.cli.judge:judge", "Judge where a mapper put simulated reads."),
}


def _show_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"genoseq {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say more about what is being done.")
@click.option("--debug", is_flag=True, help="Show the Python traceback of an error.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def cli(quiet: bool, verbose: bool, debug: bool) -> None:
    """Map reads, use and train models of sequences, classify.

    Data go to standard output, everything else to standard error. `genoseq COMMAND --help` explains a command.
    """
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose contradict each other")
    log.configure(verbosity=-1 if quiet else 1 if verbose else 0)


class _Terminated(BaseException):
    """The process was asked to end by a signal, its argument; raised so that half-written outputs are removed on the way out."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        args: the arguments; those of the process unless given.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    before = _handle_ending()
    debug = False
    try:
        context = cli.make_context("genoseq", arguments)
        debug = bool(context.params["debug"])
        with context:
            cli.invoke(context)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _report("interrupted", INTERRUPTED, debug=debug)
    except _Terminated as stop:
        number = int(stop.args[0])
        return _report("terminated" if number == signal.SIGTERM else "hung up", 128 + number, debug=debug)
    except click.ClickException as error:
        _with_place(error).show()
        return error.exit_code
    except GenoseqError as error:
        return _report(f"error: {error}", error.exit_code, debug=debug)
    except BrokenPipeError:
        _abandon_stdout()
        return PIPE_CLOSED
    except OSError as error:
        from genoseq.outputs import describe_os_error

        if error.errno == errno.ENOSPC:
            _abandon_stdout()
        return _report(f"error: {describe_os_error(error)}", 1, debug=debug)
    except MemoryError:
        return _report("error: out of memory", 1, debug=debug)
    except Exception as error:
        hint = "" if debug else "; run `genoseq --debug ...` to see where"
        text = f"internal error, a defect of genoseq: {type(error).__name__}: {error}{hint}"
        return _report(f"error: {text}", 1, debug=debug)
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)


def _with_place(error: click.ClickException) -> click.ClickException:
    """The error; of an option that stands behind the command but belongs before it, one that says so."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None or error.ctx.parent is None:
        return error
    if error.option_name not in {name for parameter in cli.params for name in parameter.opts}:
        return error
    place = f"it goes before the command, as in `genoseq {error.option_name} {error.ctx.info_name} ...`"
    return click.UsageError(f"No such option {error.option_name} of {error.ctx.info_name}: {place}.", error.ctx)


def _report(text: str, status: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    click.echo(f"genoseq: {text}", err=True)
    return status


def _abandon_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush cannot fail."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
    except (OSError, ValueError):  # standard output is no file (a test holds it) or is closed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (open until the process ends)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated(number)


def _handle_ending() -> dict[signal.Signals, Any]:
    """Have the signals of :data:`ENDING` raise; return the handlers before: none outside the main thread."""
    before: dict[signal.Signals, Any] = {}
    for ending in ENDING:
        if signal.getsignal(ending) is signal.SIG_IGN:  # as under nohup
            continue
        try:
            before[ending] = signal.signal(ending, _terminate)
        except ValueError:
            return before
    return before
