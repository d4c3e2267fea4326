from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from genoseq.classify.other_data import BACTERIA, OTHER_DATA
from genoseq.classify.settings import SETTINGS, find_file, load_setting
from genoseq.errors import InputError
from genoseq.seqs.alphabet import reverse_complement


def bases(seed: int, length: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def test_each_is_a_setting() -> None:
    assert set(OTHER_DATA) <= set(SETTINGS)


def test_exons_and_introns_are_cut_from_the_genome_by_gene(tmp_path: Path) -> None:
    genome = bases(1, 10_000)
    (tmp_path / "athaliana_1pct.fa").write_text(f">Chr1 some\n{genome}\n")
    lines = ["##gff-version 3"]
    for gene in range(10):
        for form in (1, 2):  # two transcripts of the same exons: no copies
            for start, end in ((101, 200), (301, 420), (431, 460)):
                where = f"{gene * 900 + start}\t{gene * 900 + end}"
                strand = "+-"[gene % 2]
                lines.append(f"Chr1\tx\texon\t{where}\t.\t{strand}\t.\tParent=G{gene}.{form}")
    (tmp_path / "athaliana_1pct.gff3").write_text("\n".join(lines) + "\n")
    found = OTHER_DATA["exons"](partial(find_file, tmp_path), 0)
    assert sorted(set(found.labels)) == ["exon", "intron"]
    assert found.labels.count("exon") == 20 and found.labels.count("intron") == 10  # short ones are left out
    assert genome[100:200] in found.sequences and genome[200:300] in found.sequences
    assert reverse_complement(genome[1000:1100].encode()).decode() in found.sequences
    assert len(found.test) == 2 * 3 and len(found.train) == 8 * 3


def test_promoters_need_no_names(tmp_path: Path) -> None:
    (tmp_path / "cnnprom_Ecoli_prom.fa").write_text("".join(f">p{i}\n{bases(i, 40)}\n{bases(i + 50, 41)}\n" for i in range(10)))
    (tmp_path / "cnnprom_Ecoli_non_prom.fa").write_text("".join(f"> {i}\n{bases(i + 100, 81).lower()}\n" for i in range(20)))
    setting = load_setting(tmp_path, "promoters-ecoli")
    assert {len(one) for one in setting.sequences} == {81} and all(one.isupper() for one in setting.sequences)
    assert (setting.labels == "promoter").sum() == 10 and [len(part) for part in setting.folds[0]] == [24, 6]


def test_reads_share_no_stretch_with_training(tmp_path: Path) -> None:
    for seed, name in enumerate(BACTERIA):
        (tmp_path / f"{name}.fna").write_text(f">plasmid\n{bases(seed + 10, 500)}\n>c\n{bases(seed, 8000)}\n")
    found = OTHER_DATA["reads"](partial(find_file, tmp_path), 0)
    assert {len(found.sequences[at]) for at in found.train} == {1000} and {len(found.sequences[at]) for at in found.test} == {150}
    assert [found.labels[at] for at in found.train] == [name for name in BACTERIA for _ in range(6)]
    assert [found.sequences[at] for at in found.train[:6]] == [bases(0, 8000)[at : at + 1000] for at in range(0, 6000, 1000)]
    for seed, name in enumerate(BACTERIA):
        learned, rest = bases(seed, 8000)[:6000], bases(seed, 8000)[6000:]
        assert all(found.sequences[at] in learned for at in found.train if found.labels[at] == name)
        assert all(found.sequences[at] in rest for at in found.test if found.labels[at] == name)


def test_genera_with_few_sequences_are_left_out(tmp_path: Path) -> None:
    records = [(genus, bases(at + 20 * number, 60)) for number, genus in enumerate(("Aa", "Bb")) for at in range(9)]
    records += [("Cc", bases(900 + at, 60)) for at in range(7)]  # too few
    records += [("Dd", bases(950, 60))] * 9  # all the same
    text = "".join(f">gi_{at};tax=d:Bacteria,f:X,g:{genus};\n{one}\n" for at, (genus, one) in enumerate(records))
    (tmp_path / "dada2_ten_16s_100.fa").write_text(text)
    found = OTHER_DATA["16s"](partial(find_file, tmp_path), 0)
    assert sorted(set(found.labels)) == ["Aa", "Bb"] and len(found.train) == 12 and len(found.test) == 6


@pytest.mark.parametrize("again", ["IE", "EI"])
def test_a_sequence_under_two_labels_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture, again: str) -> None:
    windows = [bases(seed, 60) for seed in range(20)]
    lines = [f"{('EI', 'N')[at % 2]}, X{at}, {one}\n" for at, one in enumerate(windows)]
    (tmp_path / "uci_splice.data").write_text("".join([*lines, f"{again}, Y, {windows[0]}\n"]))
    found = OTHER_DATA["splice"](partial(find_file, tmp_path), 0)
    told = f"uci_splice.data: {windows[0]} stands under the labels EI, IE: left out"
    if again == "EI":  # a copy under the same label
        assert found.sequences == windows and not caplog.messages
    else:
        assert found.sequences == windows[1:] and set(found.labels) == {"EI", "N"} and caplog.messages == [told]


def test_tables_with_too_few_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "uci_splice.data").write_text(f"EI, X, {bases(0, 60)}\nEI, {bases(1, 60)}\n")
    with pytest.raises(InputError, match=r"line 2.*expected 3 columns, found 2"):
        load_setting(tmp_path, "splice")
