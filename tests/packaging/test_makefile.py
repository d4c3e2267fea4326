"""``make demo`` leaves a user's own indexes alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_the_demo_has_a_registry_of_its_own(tmp_path: Path) -> None:
    for name in ("pyproject.toml", ".ci/setup.sh", ".venv/.installed"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    command = ["make", "-s", "-f", str(ROOT / "Makefile"), "demo", "GENOSEQ=printenv GENOSEQ_HOME; :"]
    environment = {**os.environ, "GENOSEQ_HOME": str(tmp_path / "mine")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(tmp_path / "demo" / "home")] * 2
