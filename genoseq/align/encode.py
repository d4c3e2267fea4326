"""SAM text to SAM, BAM or CRAM, sorted or not, by samtools inside pysam; run as a process of its own.

``python -m genoseq.align.encode OUT FORMAT SORTED THREADS`` reads SAM from standard input. As a process it takes nothing from
the mapper's interpreter, and a failure of htslib (a full disk, say) is an exit status with a message.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["FORMATS", "main"]

FORMATS = ("sam", "bam", "cram")
SORT_MEMORY = "256M"


def main(arguments: list[str]) -> int:
    """Encode standard input; return the exit status."""
    import pysam

    out, kind, ordering, threads = arguments
    # CRAM without a reference keeps every base, so that reading it needs no FASTA.
    form = ["--output-fmt", "cram,no_ref=1"] if kind == "cram" else ["-O", kind]
    helpers = ["-@", str(max(0, int(threads) - 1))]
    try:
        if ordering == "sorted":
            scratch = str(Path(out).with_suffix(".sorting"))
            pysam.samtools.sort(
                *form, *helpers, "-m", SORT_MEMORY, "-T", scratch, "--no-PG", "-o", out, "-", catch_stdout=False
            )
        else:
            pysam.samtools.view(*form, *helpers, "-h", "--no-PG", "-o", out, "-", catch_stdout=False)
    except pysam.SamtoolsError as error:
        print(str(error).strip() or "samtools failed", file=sys.stderr)
        return 1
    finally:
        for leftover in Path(out).parent.glob(f"{Path(out).stem}.sorting.*"):
            leftover.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
