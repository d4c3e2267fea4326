"""SAM text to SAM, BAM or CRAM, sorted or not, by samtools inside pysam; run as a process of its own.

``python -m genoseq.align.encode OUT FORMAT SORTED THREADS SCRATCH MEMORY`` reads SAM from standard input. As a process it takes
nothing from the mapper's interpreter, and a failure of htslib (a full disk, say) is an exit status with a message.
"""

from __future__ import annotations

import ctypes
import re
import signal
import sys
from pathlib import Path

__all__ = ["FORMATS", "main"]

FORMATS = ("sam", "bam", "cram")
PR_SET_PDEATHSIG = 1  # prctl(2)


def main(arguments: list[str]) -> int:
    """Encode standard input; return the exit status."""
    _follow_parent()
    import pysam

    out, kind, ordering, threads, scratch, memory = arguments
    # CRAM without a reference keeps every base, so that reading it needs no FASTA.
    form = ["--output-fmt", "cram,no_ref=1"] if kind == "cram" else ["-O", kind]
    helpers = ["-@", str(max(0, int(threads) - 1))]
    try:
        if ordering == "sorted":
            prefix = str(Path(scratch) / "sorting")
            pysam.samtools.sort(
                *form, *helpers, "-m", memory, "-T", prefix, "--no-PG", "-o", out, "-", catch_stdout=False
            )
        else:
            pysam.samtools.view(*form, *helpers, "-h", "--no-PG", "-o", out, "-", catch_stdout=False)
    except pysam.SamtoolsError as error:  # type: ignore[attr-defined]
        print(_message(str(error)), file=sys.stderr)
        return 1
    return 0


def _follow_parent() -> None:
    """Leave signals to the mapper, and end when it ends, so that half of the reads never look like a whole file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads the output went away: end without a word
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _message(text: str) -> str:
    """What samtools said, out of what pysam makes of it.

    >>> _message("'samtools returned with error 1: stdout=None, stderr=samtools view: no room\\\\n'")
    'samtools view: no room'
    """
    said = text.partition("stderr=")[2] or text
    return re.sub(r"(\\n|\s)+", " ", said).strip(" '\"") or "samtools failed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
