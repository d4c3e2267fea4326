from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sequence_families import families

from genoseq.classify.benchmark import parse_plan

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "pipelines" / "benchmark-classify"


@pytest.mark.parametrize("name", ["config", "published", "more", "test"])
def test_configurations_are_plans(name: str) -> None:
    values = yaml.safe_load((WORKFLOW / "config" / f"{name}.yaml").read_text())
    plan = parse_plan({**values, "data": "."})
    used = {setting for _, setting in plan.jobs()}
    assert used == set(plan.settings)  # no setting without a method
    assert all(not method.settings or set(method.settings) <= used for method in plan.methods)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tiny_comparison_runs_from_tables_to_figures(tmp_path: Path) -> None:
    sequences, names = families(20, 3, length=120, rate=0.02, seed=5)
    rows = [f"{one}\t{int(name.removeprefix('family')) % 3}" for one, name in zip(sequences, names, strict=True)]
    (tmp_path / "human_data.txt").write_text("\n".join(["sequence\tclass", *rows]) + "\n")
    strange, _ = families(12, 1, length=120, seed=6)
    (tmp_path / "strangers.fna").write_text("".join(f">s{at}\n{one}\n" for at, one in enumerate(strange)))
    windows = [f"{'EN'[at % 2]}, w{at}, {one[:60]}\n" for at, one in enumerate(sequences)]
    (tmp_path / "uci_splice.data").write_text("".join(windows))
    command = [sys.executable, "-m", "snakemake", "-s", str(WORKFLOW / "Snakefile"), "--cores", "1"]
    command += ["--configfile", str(WORKFLOW / "config" / "test.yaml"), "--config", f"data={tmp_path}"]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=590, check=False)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "results-test" / "results.tsv") as stream:
        found = list(csv.DictReader(stream, delimiter="\t"))
    assert [(row["method"], row["setting"]) for row in found] == [
        ("gzip-ncd", "A"),
        ("jaccard-12", "A"),
        ("jaccard-12", "C5-half"),
        ("kmer-8-nb", "C5-half"),
        ("kmer-8-nb", "splice"),
    ]
    assert found[0]["tested"] == "6"
    report = (tmp_path / "results-test" / "report.md").read_text()
    assert report.startswith("# Classifiers compared")
    heads = [line for line in report.splitlines() if line.startswith("## ")]
    assert heads == [
        "## Gene families",
        "## Other kinds of data",
        "## Ties of nearest neighbours",
        "## Macro-F1 and calibration",
        "## Fold by fold",
        "## Novelty",
        "## Rules for homology groups",
    ]
    assert "| strangers.fna | B |" in report and "| ten, or 5 % (default) |" in report
    assert (tmp_path / "results-test" / "errors.tsv").read_text().startswith("method\tsetting\tlength")
    assert (tmp_path / "results-test" / "figures" / "accuracy.png").stat().st_size > 5000
    assert (tmp_path / "results-test" / "leakage" / "C5-half.tsv").exists()
