"""The sample data are the files that SOURCES.md describes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path


def test_every_file_has_its_checksum_in_sources(sample: Path) -> None:
    rows = re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", (sample / "SOURCES.md").read_text(), re.MULTILINE)
    files = {path.name: path for path in sample.iterdir() if path.name != "SOURCES.md"}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == dict(rows)
