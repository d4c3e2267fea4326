from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sequence_families import families

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "pipelines" / "benchmark-classify"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tiny_comparison_runs_from_tables_to_figures(tmp_path: Path) -> None:
    sequences, names = families(20, 3, length=120, rate=0.02, seed=5)
    rows = [f"{one}\t{int(name.removeprefix('family')) % 2}" for one, name in zip(sequences, names, strict=True)]
    (tmp_path / "human_data.txt").write_text("\n".join(["sequence\tclass", *rows]) + "\n")
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
        *(("jaccard-12", setting) for setting in "ABC"),
        ("kmer-8-nb", "A"),
        ("kmer-8-nb", "C"),
    ]
    assert found[0]["tested"] == "6"
    assert (tmp_path / "results-test" / "report.md").read_text().startswith("# Classifiers of gene families compared")
    assert (tmp_path / "results-test" / "figures" / "accuracy.png").stat().st_size > 5000
    assert (tmp_path / "results-test" / "leakage" / "C.tsv").exists()
