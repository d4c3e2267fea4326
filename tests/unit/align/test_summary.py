"""Counts and depth of a run against a plain count over its records."""

from __future__ import annotations

import random

import numpy as np
import pytest

from genoseq.align import summary as module
from genoseq.align.aligner import Aligner, _batches
from genoseq.align.index import Index, build_index
from genoseq.align.summary import CONFIDENT, Summary


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Nine contigs of 100 to 900 bp, the second half of the longest the same as its first."""
    draw = random.Random(4)
    folder = tmp_path_factory.mktemp("summary")
    lines = []
    for i in (3, 9, 1, 5, 7, 2, 8, 6, 4):
        sequence = "".join(draw.choices("ACGT", k=100 * i if i < 9 else 450))
        lines.append(f">c{i}\n{sequence * (2 if i == 9 else 1)}\n")
    (folder / "r.fa").write_text("".join(lines))
    return build_index(folder / "r.fa", folder / "i")


@pytest.mark.parametrize("bins", [20_000, 500, 7])
def test_depth_is_that_of_the_longest_contigs_bin_by_bin(index: Index, bins: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BINS", bins)
    codes = np.frombuffer(b"ACGTN", np.uint8)[index.arrays.codes].tobytes().decode()
    reads = [(f"r{i}", codes[i : i + 80]) for i in range(0, len(codes) - 80, 17)]
    aligner = Aligner(index)
    summary = Summary(index)
    plain = {False: np.zeros(len(codes), int), True: np.zeros(len(codes), int)}
    starts = dict(zip(index.names, index.arrays.offsets, strict=False))
    for mapped in aligner.map_batches(_batches(reads, paired=False)):
        summary.add(mapped.reads, mapped.records)
    for hit in aligner.map(reads):
        if hit.start >= 0:
            for confident in (False, True):
                if hit.mapq >= (CONFIDENT if confident else 0):
                    plain[confident][starts[hit.contig] + hit.start : starts[hit.contig] + hit.end] += 1
    assert [index.names[contig] for contig in summary.shown] == ["c9", "c8", "c7", "c6", "c5", "c4"]
    assert summary.counts["reads"] == len(reads)
    assert plain[True].sum() < plain[False].sum()
    for contig in summary.shown:
        first, last = index.arrays.offsets[contig : contig + 2]
        for confident in (False, True):
            bases = plain[confident][first:last]
            expected = [bases[at : at + summary.bin_width].sum() for at in range(0, last - first, summary.bin_width)]
            assert summary.binned(contig, confident=confident).tolist() == expected
