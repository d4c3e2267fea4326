from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ncd_pruning import excesses, told
from sequence_families import families

from genoseq.classify import settings
from genoseq.classify.benchmark import (
    DESCRIPTIONS,
    METHODS,
    PUBLISHED,
    RULES,
    LeftOutResult,
    NoveltyResult,
    Result,
    RuleResult,
    compare_rules,
    measure_left_out,
    measure_novelty,
    novelty,
    parse_plan,
    run_method,
    wilson,
    write_errors,
    write_leakage,
    write_report,
    write_results,
)
from genoseq.classify.benchmark.pruned import PRUNED, SLACK, PrunedNCD
from genoseq.classify.benchmark.runs import error_by_chance
from genoseq.classify.compressors import compressor_named
from genoseq.classify.homology import homology_groups
from genoseq.classify.ncd import NCDClassifier
from genoseq.classify.sequences import SequenceInputError
from genoseq.classify.settings import GROUPED, SETTINGS, Fold, Setting, find_file, load_setting, read_labelled
from genoseq.errors import InputError, UsageError
from genoseq.evaluate.records import load_record, save_record
from genoseq.recipes import RecipeError
from genoseq.report.benchmark_figures import draw_benchmark
from genoseq.seqs.alphabet import reverse_complement


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
    strange, _ = families(3, 1, length=120, seed=6)
    write_table(folder / "dog_data.txt", [*human[20:23], (strange[0], "0")])
    (folder / "strangers").mkdir()
    (folder / "strangers" / "strangers.fna").write_text("".join(f">s{at}\n{one}\n" for at, one in enumerate(strange)))
    write_table(folder / "ozan_test.csv", human[::5], delimiter=",")
    return folder


def test_settings_are_what_they_say(data: Path) -> None:
    plain = load_setting(data, "A")
    assert len(plain.sequences) == 78 and [len(part) for part in plain.folds[0]] == [62, 16]
    single = load_setting(data, "B")
    assert len(single.sequences) == len(set(single.sequences)) == len(set(plain.sequences)) < 78
    twenty: dict[str, Any] = {"shared": 20, "share": None, "complexity": None}
    for name, count, rule in (("C", 1, {}), ("C5", 5, {}), ("S5", 5, {"shared": 1, "share": None}), ("T5", 5, twenty)):
        setting = load_setting(data, name)
        groups = homology_groups(plain.sequences, **rule)
        assert len(setting.folds) == count
        for train, test in setting.folds:
            assert not set(groups[train]) & set(groups[test])
    assert sorted(np.concatenate([fold.test for fold in load_setting(data, "C5").folds])) == list(range(78))
    published = load_setting(data, "O")
    assert len(published.sequences) == 78 + 6 + 4
    train, test = published.folds[0]
    assert len(test) == 16 and len(train) == 72
    assert load_setting(data, "A", seed=1).folds[0].test.tolist() != plain.folds[0].test.tolist()


def test_test_sequences_are_turned_and_nothing_else(data: Path) -> None:
    plain = load_setting(data, "B").folds[0]
    for name, least, most in (("B-reversed", 1.0, 1.0), ("B-half", 0.2, 0.8)):
        setting = load_setting(data, name)
        train, test = setting.folds[0]
        assert train.tolist() == plain.train.tolist() and len(test) == len(plain.test)
        turned = 0
        for before, after in zip(plain.test, test, strict=True):
            assert setting.labels[before] == setting.labels[after]
            if before != after:
                turned += 1
                assert setting.sequences[after].encode() == reverse_complement(setting.sequences[before].encode())
        assert least <= turned / len(test) <= most
    folds = load_setting(data, "C5").folds
    for one, other in zip(folds, load_setting(data, "C5-half").folds, strict=True):
        assert one.train.tolist() == other.train.tolist() and one.test.tolist() != other.test.tolist()


def test_other_species_train_alone_or_are_tested_by_human(data: Path) -> None:
    dog, _ = read_labelled(data / "dog_data.txt")
    human, _ = read_labelled(data / "human_data.txt.gz")
    setting = load_setting(data, "H-dog")
    train, test = setting.folds[0]
    assert [setting.sequences[at] for at in train] == human
    assert [setting.sequences[at] for at in test] == [one for one in dog if one not in human] != dog
    write_table(data / "dog_data.txt", list(zip(human[:60], list("ab") * 30, strict=True)))
    assert set(load_setting(data, "B-dog").labels) == {"a", "b"}
    assert load_setting(data, "C5-dog").sequences == human[:60]


def test_files_are_found_in_folders_of_the_folder(data: Path, tmp_path: Path) -> None:
    assert load_setting(tmp_path, "A").sequences == load_setting(data, "A").sequences


def test_files_of_one_name_must_hold_the_same(data: Path) -> None:
    there = data / "human_data.txt.gz"
    (data / "other").mkdir()
    again = data / "other" / "human_data.txt"
    again.write_bytes(gzip.decompress(there.read_bytes()))
    assert find_file(data, "human_data.txt") == there
    again.write_bytes(again.read_bytes() + b"ACGT\t1\r\n")
    with pytest.raises(InputError, match=r"human_data\.txt\.gz and .*other/human_data\.txt differ"):
        load_setting(data, "A")
    there.unlink()
    assert find_file(data, "human_data.txt") == again


def test_data_that_do_not_fit_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="setting 'D' is unknown; known settings: A, B, C"):
        load_setting(data, "D")
    with pytest.raises(InputError, match=r"has no file human_data.txt \(or human_data.txt.gz\)"):
        load_setting(data / "strangers", "A")
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
    assert set(plan.settings) <= set(SETTINGS)
    for methods, message in (
        ([{"name": "magic"}], "method 'magic' is unknown; known methods: gzip-ncd"),
        ([{"name": "jaccard-12", "subset": 0}], "subset is 0"),
        ([{"name": "jaccard-12", "settings": ["X"]}], "setting 'X' is unknown"),
        ([{"name": "jaccard-12"}, {"name": "jaccard-12"}], "named twice"),
        (
            [{"name": "jaccard-12", "settings": ["A", "T5", "splice"]}],
            r"is to run in T5, splice.*\(settings: A, B, C, C5, S5, O\)",
        ),
    ):
        with pytest.raises(RecipeError, match=message):
            parse_plan({"data": ".", "methods": methods})
    for key in ("settings", "novelty", "left_out"):
        with pytest.raises(RecipeError, match="setting 'Z' is unknown"):
            parse_plan({"data": ".", key: ["Z"]})
    assert set(DESCRIPTIONS) == set(METHODS) and set(PUBLISHED) <= set(METHODS)


def test_runs_are_measured_saved_and_written(data: Path, tmp_path: Path) -> None:
    plan = parse_plan(
        {
            "data": str(data),
            "settings": ["A", "C", "O"],
            "methods": [
                {"name": "jaccard-12"},
                {"name": "gzip-ncd", "settings": ["O"], "subset": 7},
                {"name": "kmer-8-nb", "settings": ["A", "C"]},
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
    assert len(lines) == 7 and {len(line) for line in lines} == {len(lines[0])}
    write_errors(results, tmp_path / "errors.tsv")
    errors = [line.split("\t") for line in (tmp_path / "errors.tsv").read_text().splitlines()[1:]]
    assert len(errors) == sum(one.tested - round(one.accuracy * one.tested) for one in results) > 0
    assert {row[2] for row in errors} == {"120"} and all(row[3] != row[4] for row in errors)
    write_report(plan, results, tmp_path / "report.md")
    report = (tmp_path / "report.md").read_text()
    assert "| gzip NCD, 1-NN, as published | – | – |" in report and "(7) | 0.962 |" in report
    draw_benchmark(results, tmp_path / "figures")
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"accuracy.png", "confusion_gzip-ncd_O.png", "reliability_kmer-8-nb_A.png"} <= drawn
    write_leakage(plan, "A", tmp_path / "leakage.tsv")
    assert "over 50 % of their 16-mers in one training sequence" in (tmp_path / "leakage.tsv").read_text()


def test_leakage_is_told_by_fold_and_over_all(data: Path, tmp_path: Path) -> None:
    human, texts = read_labelled(data / "human_data.txt.gz")
    relabelled = [(human[0], "0" if texts[0] == "1" else "1"), *zip(human[1:72], texts[1:72], strict=True)]
    write_table(data / "human_data.txt.gz", [*relabelled, (human[0], texts[0])])
    plan = parse_plan({"data": str(data)})
    write_leakage(plan, "C5", tmp_path / "leakage.tsv")
    rows = [line.split("\t") for line in (tmp_path / "leakage.tsv").read_text().splitlines()[1:]]
    assert {row[1] for row in rows} == {"0", "1", "2", "3", "4", "all"}
    copies = [float(row[3]) for row in rows if row[2] == "exact copies"]
    assert copies == [0.0] * 6
    seeds = range(20)
    shares = []
    for seed in seeds:
        write_leakage(parse_plan({"data": str(data), "seed": seed}), "A", tmp_path / "leakage.tsv")
        rows = [line.split("\t") for line in (tmp_path / "leakage.tsv").read_text().splitlines()[1:]]
        shares.append(next(float(row[3]) for row in rows if row[2] == "exact copies, all under another label"))
    assert 0 < max(shares) < 0.1 and min(shares) == 0  # now and then only one of the two copies is tested


def test_ties_and_folds_are_recorded(data: Path) -> None:
    sequence = "ACGTTGCATTGACCAGTCAAGGCTTACCATGGATCATTAGCGGATACCGTTA"
    rows = [(sequence, "0"), (sequence, "1")] * 10 + [("A" * 40 + sequence[:20], "0"), ("C" * 40 + sequence[:20], "1")] * 5
    write_table(data / "human_data.txt.gz", rows)
    plan = parse_plan({"data": str(data), "methods": [{"name": "gzip-ncd"}, {"name": "jaccard-12"}, {"name": "kmer-8-nb"}]})
    tied = run_method(plan, "gzip-ncd", "A")
    lowest, expected, highest = tied.ties
    assert lowest < expected < highest == 1.0 and lowest <= tied.accuracy <= highest
    assert run_method(plan, "jaccard-12", "A").ties == pytest.approx(tied.ties)
    assert len(tied.wrong) == tied.tested - round(tied.accuracy * tied.tested) and tied.largest_class == pytest.approx(0.5)
    assert run_method(plan, "kmer-8-nb", "A").ties == ()


@pytest.mark.parametrize("compressor", ["bz2", "lzma", "zstd"])
def test_compressors_without_a_bound_are_not_pruned(compressor: str) -> None:
    with pytest.raises(SequenceInputError, match=f"no pair can be left out with '{compressor}', only with gzip, brotli"):
        PrunedNCD.published(compressor).fit(["ACGT" * 9, "TTGC" * 9], ["a", "b"])
    assert f"{compressor}-ncd" in METHODS and f"{compressor}-ncd-pruned" not in METHODS


def repetitive(seed: int, length: int) -> tuple[bytes, bytes]:
    """A text of copies of 300 letters, one in ten redrawn, and those letters."""
    rng = np.random.default_rng(seed)
    unit = rng.choice(list(b"ACGT"), 300)
    text = np.tile(unit, length // 300)
    redrawn = rng.random(len(text)) < 0.1
    text[redrawn] = rng.choice(list(b"ACGT"), redrawn.sum())
    return bytes(text.tolist()), bytes(unit.tolist())


def test_the_bound_is_no_law() -> None:
    """What a repeat is made of, before the repeat, and a piece of a long text after it, break the bound: pruning says so."""
    long = bytes(np.random.default_rng(8).choice(list(b"ACGT"), 60_000).tolist())
    pairs = {name: [repetitive(seed, 15_000) for seed in range(4)] for name in ("gzip", "lzma", "zstd")} | {
        "bz2": [(long, long[:60])]
    }
    for compressor, texts in pairs.items():
        size = compressor_named(compressor).size
        joined = [(one, joint) for one, other in texts for joint in (one + b" " + other, other + b" " + one)]
        assert min(size(joint) - size(one) for one, joint in joined) < -SLACK
    assert "no law" in str(PrunedNCD.__doc__)


def test_a_broken_bound_is_seen_among_the_pairs_left_out() -> None:
    rng = np.random.default_rng(8)
    text, other = ("".join(rng.choice(list("ACGT"), 60_000)) for _ in range(2))
    left_out = np.array([[False, True], [True, True]])
    found = excesses("bz2", [text, text], [other, text[:60]], left_out, 9)
    both, alone = (compressor_named("bz2").size(one.encode()) for one in (f"{text} {text[:60]}", text))
    assert (
        sorted(found)[:2] == [both - alone] * 2 and len(found) == 3 and both - alone < -SLACK
    )  # the pair let through is not asked
    assert f"least C(xy) - max(C(x), C(y)) {both - alone} bytes, 2 below the slack of -{SLACK}" in told("pairs", found)
    assert len(excesses("gzip", [text, text], [other, text[:60]], left_out, 2)) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strands": "both"}, "strands is 'both'.*only with 'forward'"),
        ({"candidates": 2}, "candidates is 2.*only with None"),
        ({"k": 2}, "k is 2.*only with 1"),
        ({"level": 1}, "level is 1.*only with None"),
        ({"method": "conditional"}, "method is 'conditional'.*only with 'ncd'"),
    ],
)
def test_pruning_refuses_what_it_cannot_do(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SequenceInputError, match=message):
        PrunedNCD(compressor="gzip", **options).fit(["ACGT" * 9, "TTGC" * 9], ["a", "b"])


@pytest.mark.parametrize("compressor", PRUNED)
def test_pairs_that_cannot_be_nearest_change_nothing(compressor: str) -> None:
    if compressor == "brotli":
        pytest.importorskip("brotli")
    sequences, names = families(12, 5, length=400, rate=0.05, seed=7)
    sequences = [one[: 40 + 60 * (at % 7)] for at, one in enumerate(sequences)]
    known, asked = sequences[:40] + sequences[:6], sequences[:3] + sequences[40:]
    labels = names[:40] + ["copy"] * 6
    plain = NCDClassifier.published(compressor).fit(known, labels)
    pruned = PrunedNCD.published(compressor).fit(known, labels)
    expected, found = plain.distances(asked), pruned.distances(asked)
    compressed = np.isfinite(found)
    assert np.array_equal(found[compressed], expected[compressed]) and 0 < compressed.mean() < 0.9
    nearest = expected.min(axis=1, keepdims=True)
    assert np.array_equal(found == nearest, expected == nearest)  # all of the nearest, where several are tied
    assert pruned.predict(asked).tolist() == plain.predict(asked).tolist()


def test_folds_add_up(data: Path) -> None:
    plan = parse_plan({"data": str(data), "methods": [{"name": "kmer-8-nb"}]})
    found = run_method(plan, "kmer-8-nb", "C5")
    assert len(found.folds) == 5 and sum(fold.tested for fold in found.folds) == found.tested == 78
    assert sum(fold.right for fold in found.folds) / 78 == pytest.approx(found.accuracy)
    assert np.sum([fold.bins for fold in found.folds], axis=0).tolist() == [list(row) for row in found.bins]


def test_chance_alone_makes_a_calibration_error() -> None:
    assert error_by_chance(()) is None
    many, few = (error_by_chance(((count, count / 2, count),)) for count in (10_000.0, 100.0))
    assert many is not None and few is not None
    # mean of |binomial - mean| is sqrt(2 p (1 - p) / (pi n))
    assert few == pytest.approx(np.sqrt(0.5 / (np.pi * 100)), rel=0.1) and many == pytest.approx(few / 10, rel=0.1)


def test_what_is_new_is_told_and_reported(data: Path, tmp_path: Path) -> None:
    plan = parse_plan({"data": str(data), "strangers": "strangers.fna", "methods": [{"name": "jaccard-12"}]})
    shuffled, strange = measure_novelty(plan, "B")
    assert (shuffled.others, strange.others) == ("shuffled", "strangers.fna")
    for one in (shuffled, strange):  # families of three in training, nothing like the others
        assert one.by_rate > 0.95 and one.by_novelty > 0.6 and one.lost <= one.rejected
    with pytest.raises(UsageError, match="setting 'B' has 2 classes: at least three are needed"):
        measure_left_out(plan, "B")
    three = [(one, str(at % 3)) for at, one in enumerate(read_labelled(data / "human_data.txt.gz")[0][:72])]
    write_table(data / "human_data.txt.gz", three)
    left = measure_left_out(plan, "B")
    assert left.labels == ("0", "1", "2") and len(left.by_rate) == len(left.by_novelty) == len(left.by_residue_rate) == 3
    assert all(0 <= value <= 1 for value in (*left.by_rate, *left.by_novelty, *left.by_residue_rate))
    for found, kind in ((shuffled, NoveltyResult), (left, LeftOutResult)):
        save_record(tmp_path / "r.json", found)
        assert load_record(tmp_path / "r.json", kind) == found
    rule = compare_rules(plan, "any 21-mer")
    write_report(plan, [], tmp_path / "report.md", novelty=[shuffled, strange], left_out=[left], groups=[rule])
    report = (tmp_path / "report.md").read_text()
    assert "| strangers.fna | B |" in report and "| B | mean |" in report and "| any 21-mer | " in report


def test_classes_that_cannot_be_told_from_others_are_skipped(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = read_labelled(data / "human_data.txt.gz")[0][:72]
    labels = np.array([str(at % 3) for at in range(72)])
    places = np.arange(72)
    plan = parse_plan({"data": str(data), "strangers": "strangers.fna"})

    def tested(part: Any) -> None:
        """A setting whose test sequences are the first 24, but for their labels."""
        changed = labels.copy()
        changed[:24] = part(labels[:24])
        setting = Setting("B", sequences, changed, [Fold(places[24:], places[:24])])
        monkeypatch.setattr(novelty, "load_setting", lambda *given, **options: setting)

    tested(lambda old: np.where(old == "2", "1", old))
    left = measure_left_out(plan, "B")
    assert left.labels == ("0", "1") and left.skipped == ("2",) and left.unknown == 0 and len(left.by_rate) == 2
    write_report(plan, [], tmp_path / "report.md", left_out=[left])
    report = (tmp_path / "report.md").read_text()
    assert "nan" not in report and "B: without 1 of the classes learned (2), which cannot be told" in report
    tested(lambda old: np.where(old == "2", "new", old))
    asked: list[int] = []
    area = novelty._area
    monkeypatch.setattr(novelty, "_area", lambda known, new: asked.append(len(known)) or area(known, new))
    left = measure_left_out(plan, "B")
    assert left.unknown == 8 and left.skipped == ("2",) and set(asked) == {8}  # eight of the other class, none of the new one
    asked.clear()
    shuffled, strange = measure_novelty(plan, "B")
    assert shuffled.unknown == strange.unknown == 8 and set(asked) == {16}
    write_report(plan, [], tmp_path / "report.md", novelty=[shuffled, strange], left_out=[left])
    assert (tmp_path / "report.md").read_text().count("B: without 8 test sequences of a label that training does not have.") == 2
    tested(lambda old: np.full(len(old), "new"))
    with pytest.raises(UsageError, match="no test sequence has a label that training has"):
        measure_novelty(plan, "B")
    with pytest.raises(UsageError, match="fewer than two classes of training"):
        measure_left_out(plan, "B")


def test_settings_and_the_comparison_of_rules_have_the_same_rules() -> None:
    assert RULES is settings.RULES and set(GROUPED.values()) <= set(RULES) and set(GROUPED) <= set(SETTINGS)


def test_stricter_rules_leak_less(data: Path) -> None:
    plan = parse_plan({"data": str(data)})
    found = {rule: compare_rules(plan, rule) for rule in RULES}
    assert found["any 21-mer"].groups <= found["twenty, or 5 %"].groups
    for one in found.values():
        assert isinstance(one, RuleResult) and sum(one.sizes) == 78 and one.largest >= 3
        assert one.above_half <= one.above_tenth <= 1


def test_figures_of_other_data_are_a_table_of_their_own(data: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    windows = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(60)]
    lines = [f"{'EI' if at % 3 else 'N'}, NAME{at},   {one}" for at, one in enumerate(windows)]
    (data / "uci_splice.data").write_text("\n".join(lines) + "\n")
    plan = parse_plan({"data": str(data), "settings": ["splice"], "methods": [{"name": "kmer-8-svm"}]})
    result = run_method(plan, "kmer-8-svm", "splice")
    assert result.tested == 12 and result.labels == ("EI", "N") and result.largest_class == pytest.approx(8 / 12)
    write_report(plan, [result], tmp_path / "report.md")
    report = (tmp_path / "report.md").read_text()
    assert "## Gene families" not in report and "| splice | 2 | 48 / 12 |" in report and "| 0.667 |" in report


def test_the_same_seed_gives_the_same_result(data: Path) -> None:
    plan = parse_plan({"data": str(data), "methods": [{"name": "jaccard-12", "subset": 5}]})
    first, again = (run_method(plan, "jaccard-12", "C5") for _ in range(2))
    assert first.confusion == again.confusion and first.tested == 25
    assert (first.macro_f1_low, first.macro_f1_high) == (again.macro_f1_low, again.macro_f1_high)


def test_wilson_interval_stays_within_bounds() -> None:
    for right, count in ((0, 10), (10, 10), (5, 10)):
        low, high = wilson(right, count)
        assert -1e-12 <= low <= right / count + 1e-12 and right / count - 1e-12 <= high <= 1 + 1e-12
