"""Runs of the command line as tests see them, and the reads they are given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from genoseq.seqs.alphabet import reverse_complement

__all__ = [
    "Done", "Runner", "Start", "fastq", "opposite", "record", "rights_can_be_given_up", "run_without_rights", "sam_records",
    "wait_until",
]  # fmt: skip

NO_OVERRIDE = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


class Done(NamedTuple):
    """How a run of the command ended."""

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """Lines of standard output."""
        return self.out.decode().splitlines()

    @property
    def records(self) -> list[list[str]]:
        """Fields of the SAM records on standard output."""
        return sam_records(self.out.decode())


Runner = Callable[..., Done]
Start = Callable[..., "subprocess.Popen[bytes]"]


def sam_records(text: str) -> list[list[str]]:
    """Fields of each record of SAM text."""
    return [line.split("\t") for line in text.splitlines() if not line.startswith("@")]


def record(name: str, sequence: str, quality: str | None = None) -> str:
    """A FASTQ record."""
    return f"@{name}\n{sequence}\n+\n{'I' * len(sequence) if quality is None else quality}\n"


def fastq(reads: Iterable[tuple[str, str]]) -> str:
    """FASTQ text of (name, sequence)."""
    return "".join(record(name, sequence) for name, sequence in reads)


def opposite(sequence: str) -> str:
    """The other strand."""
    return reverse_complement(sequence.encode()).decode()


def wait_until(happened: Callable[[], object]) -> None:
    """Return once it has happened; fail after a while."""
    deadline = time.monotonic() + 100
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def run_without_rights(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command for a user to whom permissions apply (to root they do not), and who has none of our folders."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GENOSEQ", "XDG", "HOME"))}
    command = [*(NO_OVERRIDE if os.getuid() == 0 else []), sys.executable, "-m", "genoseq", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, env={**environment, **variables})


def rights_can_be_given_up(folder: Path) -> bool:
    """Whether :func:`run_without_rights` cannot write into a read-only folder."""
    if os.getuid() != 0:
        return True
    tried = [*NO_OVERRIDE, "touch", str(folder / "probe")]
    return shutil.which("setpriv") is not None and subprocess.run(tried, capture_output=True).returncode != 0
