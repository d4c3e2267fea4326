"""The figure of the depth: what its title keeps of long names."""

from __future__ import annotations

import pytest

from genoseq.report.coverage import LONGEST_TITLE, shortened, title_of


def test_short_names_stay_whole() -> None:
    assert title_of("reads.fq and mates", "genome.fa") == "reads.fq and mates on genome.fa"
    assert shortened("genome.fa", 9) == "genome.fa"


@pytest.mark.parametrize("reads", ["r.fq", "long_name_of_a_run_" * 5 + "R1.fastq.gz and mates"])
@pytest.mark.parametrize("reference", ["g.fa", "GCF_000005845.2_" * 6 + "genomic.fna.gz"])
def test_both_ends_of_both_names_are_kept_where_the_line_is_too_short(reads: str, reference: str) -> None:
    title = title_of(reads, reference)
    assert len(title) <= LONGEST_TITLE
    left, right = title.split(" on ")
    for shown, whole in ((left, reads), (right, reference)):
        assert shown == whole or (whole.startswith(shown.split("...")[0]) and whole.endswith(shown.split("...")[1]))
        assert shown[:4] == whole[:4] and shown[-4:] == whole[-4:]
    if len(reads) < 10:
        assert left == reads
    if len(reference) < 10:
        assert right == reference
