from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from genoseq.evaluate.judge import Judgement
from genoseq.evaluate.measure import Cost
from genoseq.evaluate.peers import IndexRun, MapRun, peer_named
from genoseq.evaluate.report import Result, make_result
from genoseq.seqs.genome import Genome


@pytest.fixture
def make_genome(tmp_path: Path) -> Callable[..., Genome]:
    """Genome from keyword arguments: contig name to sequence."""

    def make(**contigs: str) -> Genome:
        path = tmp_path / "genome.fa"
        path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in contigs.items()))
        return Genome.from_fasta(path)

    return make


def invented_result(
    tool: str, read_set: str, *, correct: int, wrong: int, divergence: float = 0.1, paired: bool = False, lost: int = 0
) -> Result:
    """A result of 1,000 reads with round numbers for everything not given."""
    peer = peer_named(tool)
    silent = peer.writes == "last"
    judged = Judgement(
        1000,
        correct,
        wrong,
        1000 - correct - wrong - lost,
        lost,
        0,
        pairs=500 if paired else 0,
        pairs_correct=400,
        has_quality=not silent,
    )
    judged.correct_by_quality[60] = correct - 100
    judged.correct_by_quality[10] = 100
    judged.wrong_by_quality[60] = 2
    judged.wrong_by_quality[0] = wrong - 2
    return make_result(
        peer,
        IndexRun(tool, "1.0", f"{tool} index", 2, Cost(3.0, 4.0, 200_000_000), 50_000_000),
        MapRun(tool, f"{tool} map", 2, 1000, Cost(0.5, 0.75, 100_000_000), (0.5,)),
        judged,
        read_set=read_set,
        divergence=divergence,
        errors=0.0,
        length=150,
        paired=paired,
    )


@pytest.fixture
def make_row() -> Callable[..., Result]:
    """Results with invented figures: see :func:`invented_result`."""
    return invented_result


@pytest.fixture
def results() -> list[Result]:
    """Two tools on single reads, one of them on pairs too."""
    return [
        invented_result("bwa", "a", correct=900, wrong=50),
        invented_result("last", "a", correct=950, wrong=30),
        invented_result("bwa", "pairs", correct=800, wrong=60, paired=True, lost=7),
    ]
