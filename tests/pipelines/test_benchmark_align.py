from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "pipelines" / "benchmark-align"
INSTALLED = [
    name for name, program in (("minimap2", "minimap2"), ("bwa", "bwa"), ("last", "lastal")) if shutil.which(program)
]


def run(folder: Path, *settings: str, configuration: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "-s", str(WORKFLOW / "Snakefile"), "--cores", "2"]
    command += ["--configfile", str(configuration or WORKFLOW / "config" / "test.yaml"), "--config", *settings]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=590, check=False
    )


def table(path: Path) -> list[dict[str, str]]:
    with open(path) as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def check(folder: Path, tools: set[str]) -> None:
    rows = table(folder / "results-test" / "results.tsv")
    assert {row["tool"] for row in rows} == tools
    for row in rows:
        assert int(row["reads"]) == 300
        assert sum(int(row[name]) for name in ("correct", "wrong", "unmapped", "lost")) == 300
        assert int(row["lost"]) == int(row["invented"]) == 0
        if row["read_set"] == "pairs-1":
            assert int(row["correct"]) > 280
    assert (folder / "results-test" / "report.md").read_text().startswith("# Read mappers compared")
    assert (folder / "results-test" / "figures" / "accuracy.png").stat().st_size > 10000


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not INSTALLED, reason="neither minimap2, bwa nor LAST is installed")
def test_the_tiny_comparison_of_peers_runs_from_genomes_to_figures(tmp_path: Path) -> None:
    done = run(tmp_path, f"genomes={ROOT / 'data'}", f"tools={INSTALLED}")
    assert done.returncode == 0, done.stderr
    check(tmp_path, set(INSTALLED))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_genoseq_maps_in_the_tiny_comparison(tmp_path: Path) -> None:
    done = run(tmp_path, f"genomes={ROOT / 'data'}", "tools=[genoseq]")
    assert done.returncode == 0, done.stderr
    check(tmp_path, {"genoseq"})


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(len(INSTALLED) < 3, reason="minimap2, bwa and LAST are not all installed")
def test_other_species_and_real_reads_have_their_tables(tmp_path: Path) -> None:
    config = {
        "genomes": str(ROOT / "data"),
        "reads_folder": str(ROOT / "data"),
        "include": ["phix*"],
        "tools": ["minimap2", "bwa"],
        "read_sets": [{"name": "one", "reads": 50}],
        "cross": {"source": "phix*", "target": "phix*", "reads": 100},
        "real": {
            "genome": "portiera*",
            "files": ["portiera_R1.fastq.gz", "portiera_R2.fastq.gz"],
            "tools": ["minimap2", "bwa"],
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = run(tmp_path, "threads=1", configuration=tmp_path / "config.yaml")
    assert done.returncode == 0, done.stderr
    cross = table(tmp_path / "results" / "cross.tsv")
    assert [row["tool"] for row in cross] == ["minimap2", "bwa"]
    for row in cross:  # a genome on itself: nearly every read has its truth, and is placed there
        assert int(row["reads"]) == 100
        assert int(row["with_truth"]) > 95
        assert int(row["correct"]) == int(row["with_truth"])
    (agreement,) = table(tmp_path / "results" / "agreement.tsv")
    assert (agreement["first"], agreement["second"], agreement["reads"]) == ("minimap2", "bwa", "3500")
    assert int(agreement["agree"]) > 0.99 * int(agreement["confident_both"]) > 3000


def test_a_missing_folder_of_genomes_is_said_before_anything_runs(tmp_path: Path) -> None:
    done = run(tmp_path, "threads=2")
    assert done.returncode != 0
    assert "'genomes' is a required property" in done.stderr + done.stdout
    assert not (tmp_path / "results-test").exists()
