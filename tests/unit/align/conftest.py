"""The small genome, its index, and an aligner, made once for all tests of the mapper."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_genome import make_genome, write_fasta

from genoseq.align.aligner import Aligner
from genoseq.align.index import Index, build_index


@pytest.fixture(scope="session")
def genome() -> dict[str, str]:
    """Letters of each contig."""
    return make_genome()


@pytest.fixture(scope="session")
def fasta(genome: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The genome as a file."""
    return write_fasta(genome, tmp_path_factory.mktemp("genome") / "genome.fa")


@pytest.fixture(scope="session")
def index(fasta: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Its index, by the shipped encoder."""
    return build_index(fasta, tmp_path_factory.mktemp("index") / "index")


@pytest.fixture
def aligner(index: Index) -> Aligner:
    """An aligner with the settings a user gets."""
    return Aligner(index)
