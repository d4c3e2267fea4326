"""A built wheel works from an empty folder and carries the models, but not the tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_the_models_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"genoseq"}
    for model in (folder for folder in (ROOT / "models").iterdir() if folder.is_dir()):
        held = {path.name for path in model.iterdir() if path.is_file()}
        assert held >= {"recipe.yaml", "card.md"}  # a recipe alone has no weights yet
        for path in held:
            assert f"genoseq/_models/{model.name}/{path}" in names
    assert "genoseq/_models/align-window/weights.safetensors" in names
    assert "genoseq/py.typed" in names


def test_the_wheel_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    code = "import genoseq; print(genoseq.__file__); from genoseq.cli.main import main; raise SystemExit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    assert "Commands:" in done.stdout


def test_the_wheel_indexes_and_maps_with_the_weights_it_carries(wheel: Path, tmp_path: Path, sample: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(site), str(wheel)]
    if importlib.util.find_spec("pip") is not None:
        subprocess.run(pip, check=True, capture_output=True)
    else:
        zipfile.ZipFile(wheel).extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site), "GENOSEQ_HOME": str(tmp_path / "home")}

    def run(*command: str) -> str:
        done = subprocess.run([sys.executable, *command], cwd=empty, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "from genoseq.embed.window import WindowEncoder; print(WindowEncoder.shipped().name)"
    assert Path(run("-c", where).strip()).is_relative_to(site)
    run("-m", "genoseq", "index", str(sample / "portiera.fna.gz"))
    reads = [str(sample / f"portiera_R{mate}.fastq.gz") for mate in (1, 2)]
    records = [line.split("\t") for line in run("-m", "genoseq", "align", *reads).splitlines() if line[0] != "@"]
    assert len(records) == 3500
    assert sum(not int(fields[1]) & 4 for fields in records) > 3400
    assert os.listdir(empty) == []
