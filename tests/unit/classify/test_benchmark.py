from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sequence_families import families

from genoseq.classify.benchmark import (
    DESCRIPTIONS,
    METHODS,
    PUBLISHED,
    Result,
    parse_plan,
    run_method,
    wilson,
    write_leakage,
    write_report,
    write_results,
)
from genoseq.classify.homology import homology_groups
from genoseq.classify.settings import load_setting, read_labelled
from genoseq.errors import InputError, UsageError
from genoseq.evaluate.records import load_record, save_record
from genoseq.recipes import RecipeError
from genoseq.report.benchmark_figures import draw_benchmark


def write_table(path: Path, rows: Sequence[tuple[str, str]], *, delimiter: str = "\t") -> None:
    lines = [delimiter.join(["sequence", "class"]), *(delimiter.join(row) for row in rows)]
    data = ("\r\n".join(lines) + "\r\n").encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Tables of the same shape as the real ones: families of three, some copies, and a test set that is part of them."""
    sequences, names = families(24, 3, length=120, rate=0.02, seed=5)
    human = [(one, str(int(name.removeprefix("family")) % 2)) for one, name in zip(sequences, names, strict=True)]
    human += human[:6]
    folder = tmp_path / "data"
    folder.mkdir()
    write_table(folder / "human_data.txt.gz", human)
    write_table(folder / "chimp_data.txt", human[10:16])
    write_table(folder / "dog_data.txt", human[20:23])
    write_table(folder / "ozan_test.csv", human[::5], delimiter=",")
    return folder


def test_settings_are_what_they_say(data: Path) -> None:
    plain = load_setting(data, "A")
    assert len(plain.sequences) == 78 and [len(part) for part in plain.folds[0]] == [62, 16]
    single = load_setting(data, "B")
    assert len(single.sequences) == len(set(single.sequences)) == len(set(plain.sequences)) < 78
    groups = homology_groups(plain.sequences)
    for name, count in (("C", 1), ("C5", 5), ("S5", 5)):
        setting = load_setting(data, name)
        assert len(setting.folds) == count
        for train, test in setting.folds:
            assert not set(groups[train]) & set(groups[test])
    assert sorted(np.concatenate([fold.test for fold in load_setting(data, "C5").folds])) == list(range(78))
    published = load_setting(data, "O")
    assert len(published.sequences) == 78 + 6 + 3
    train, test = published.folds[0]
    assert len(test) == 16 and len(train) == 71
    assert load_setting(data, "A", seed=1).folds[0].test.tolist() != plain.folds[0].test.tolist()


def test_data_that_do_not_fit_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="setting 'D' is unknown; known settings: A, B, C"):
        load_setting(data, "D")
    with pytest.raises(InputError, match=r"has no file human_data.txt \(or human_data.txt.gz\)"):
        load_setting(tmp_path, "A")
    write_table(data / "ozan_test.csv", [("ACGT", "0")], delimiter=",")
    with pytest.raises(InputError, match="1 of its 1 rows are in none of the data files"):
        load_setting(data, "O")
    for text, message in (
        ("name\tclass\n", "expected the columns 'sequence' and 'class'"),
        ("sequence\tclass\n", "holds no sequences"),
        ("sequence\tclass\nACGT\n", "line 2.*expected 2 columns, found 1"),
    ):
        path = tmp_path / "t.txt"
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_labelled(path)


def test_plans_are_checked() -> None:
    plan = parse_plan({"data": ".", "methods": [{"name": "jaccard-12", "settings": ["A"]}, {"name": "kmer-8-nb"}]})
    assert plan.jobs() == [("jaccard-12", "A"), *(("kmer-8-nb", s) for s in ("A", "B", "C", "C5", "S5", "O"))]
    for methods, message in (
        ([{"name": "magic"}], "method 'magic' is unknown; known methods: gzip-ncd"),
        ([{"name": "jaccard-12", "subset": 0}], "subset is 0"),
        ([{"name": "jaccard-12", "settings": ["X"]}], "setting 'X' is unknown"),
        ([{"name": "jaccard-12"}, {"name": "jaccard-12"}], "named twice"),
    ):
        with pytest.raises(RecipeError, match=message):
            parse_plan({"data": ".", "methods": methods})
    assert set(DESCRIPTIONS) == set(METHODS) and set(PUBLISHED) <= set(METHODS)


def test_runs_are_measured_saved_and_written(data: Path, tmp_path: Path) -> None:
    plan = parse_plan(
        {
            "data": str(data),
            "settings": ["A", "C", "O"],
            "methods": [
                {"name": "jaccard-12"},
                {"name": "gzip-ncd", "settings": ["O"], "subset": 7},
                {"name": "kmer-8-nb", "settings": ["A"]},
            ],
        }
    )
    results = []
    for method, setting in plan.jobs():
        result = run_method(plan, method, setting)
        save_record(tmp_path / "r.json", result)
        assert load_record(tmp_path / "r.json", Result).accuracy == result.accuracy
        results.append(load_record(tmp_path / "r.json", Result))
        assert sum(result.confusion) == result.tested
        right = sum(result.confusion[at * len(result.labels) + at] for at in range(len(result.labels)))
        assert right / result.tested == pytest.approx(result.accuracy)
        assert result.accuracy_low <= result.accuracy <= result.accuracy_high
        assert result.macro_f1_low <= result.macro_f1 <= result.macro_f1_high
    by_name = {(one.method, one.setting): one for one in results}
    assert by_name["jaccard-12", "A"].accuracy == 1.0 > by_name["jaccard-12", "C"].accuracy
    assert by_name["gzip-ncd", "O"].tested == 7 and by_name["gzip-ncd", "O"].available == 16
    assert by_name["kmer-8-nb", "A"].calibration_error is not None
    assert by_name["jaccard-12", "A"].calibration_error is None
    write_results(results, tmp_path / "results.tsv")
    lines = [line.split("\t") for line in (tmp_path / "results.tsv").read_text().splitlines()]
    assert len(lines) == 6 and {len(line) for line in lines} == {len(lines[0])}
    write_report(plan, results, tmp_path / "report.md")
    report = (tmp_path / "report.md").read_text()
    assert "| gzip NCD, 1-NN, as published | – | – |" in report and "(7) | 0.962 |" in report
    draw_benchmark(results, tmp_path / "figures")
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"accuracy.png", "confusion_gzip-ncd_O.png", "reliability_kmer-8-nb_A.png"} <= drawn
    write_leakage(plan, "A", tmp_path / "leakage.tsv")
    assert "over 50 % of their 16-mers in one training sequence" in (tmp_path / "leakage.tsv").read_text()


def test_the_same_seed_gives_the_same_result(data: Path) -> None:
    plan = parse_plan({"data": str(data), "methods": [{"name": "jaccard-12", "subset": 5}]})
    first, again = (run_method(plan, "jaccard-12", "C5") for _ in range(2))
    assert first.confusion == again.confusion and first.tested == 25
    assert (first.macro_f1_low, first.macro_f1_high) == (again.macro_f1_low, again.macro_f1_high)


def test_wilson_interval_stays_within_bounds() -> None:
    for right, count in ((0, 10), (10, 10), (5, 10)):
        low, high = wilson(right, count)
        assert -1e-12 <= low <= right / count + 1e-12 and right / count - 1e-12 <= high <= 1 + 1e-12
