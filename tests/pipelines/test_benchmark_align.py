from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "pipelines" / "benchmark-align"
PEERS = [name for name in ("minimap2", "bwa", "lastal") if shutil.which(name)]


def run(folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "-s", str(WORKFLOW / "Snakefile"), "--cores", "2", "--quiet", "all"]
    command += ["--configfile", str(WORKFLOW / "config" / "test.yaml"), "--config", *settings]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )


def check(folder: Path, tools: set[str]) -> None:
    with open(folder / "results-test" / "results.tsv") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert {row["tool"] for row in rows} == tools
    for row in rows:
        assert int(row["reads"]) == 300
        assert sum(int(row[name]) for name in ("correct", "wrong", "unmapped", "lost")) == 300
        assert int(row["lost"]) == int(row["invented"]) == 0
        if row["read_set"] == "pairs-1":
            assert int(row["correct"]) > 280
    assert (folder / "results-test" / "report.md").read_text().startswith("# Read mappers compared")
    assert (folder / "results-test" / "figures" / "accuracy.png").stat().st_size > 10000


@pytest.mark.timeout(300)
@pytest.mark.skipif(not PEERS, reason="neither minimap2, bwa nor LAST is installed")
def test_the_tiny_comparison_of_peers_runs_from_genomes_to_figures(tmp_path: Path) -> None:
    installed = [{"lastal": "last"}.get(name, name) for name in PEERS]
    done = run(tmp_path, f"genomes={ROOT / 'data'}", f"tools={installed}")
    assert done.returncode == 0, done.stderr
    check(tmp_path, set(installed))


@pytest.mark.timeout(300)
def test_genoseq_maps_in_the_tiny_comparison(tmp_path: Path) -> None:
    done = run(tmp_path, f"genomes={ROOT / 'data'}", "tools=[genoseq]")
    assert done.returncode == 0, done.stderr
    check(tmp_path, {"genoseq"})


def test_a_missing_folder_of_genomes_is_said_before_anything_runs(tmp_path: Path) -> None:
    done = run(tmp_path, "threads=2")
    assert done.returncode != 0
    assert "'genomes' is a required property" in done.stderr + done.stdout
