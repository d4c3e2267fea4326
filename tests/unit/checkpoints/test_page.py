"""The page on loading lists what the catalogue has, and what its blocks name exists."""

from __future__ import annotations

import re
from pathlib import Path

from genoseq.checkpoints.catalogue import CATALOGUE
from genoseq.nets.architectures import HEADS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "load-models.md"


def test_every_name_is_listed_with_its_repository_and_licence() -> None:
    rows = re.findall(
        r"^\| `([\w.-]+)` \| \[([\w./-]+)\]\(https://huggingface\.co/([\w./-]+)\) \| ([\w.-]*) ?\|$", PAGE.read_text(), re.M
    )
    assert [(name, shown, target, licence) for name, shown, target, licence in rows] == [
        (entry.name, entry.repository, entry.repository, entry.licence or "") for entry in CATALOGUE.values()
    ]


def test_every_head_is_named() -> None:
    section = PAGE.read_text().split("## Heads")[1].split("## ")[0]
    assert all(f"`{head}`" in section for head in HEADS)


def test_names_in_the_examples_exist() -> None:
    assert set(re.findall(r'genoseq\.load\("([\w.-]+)"', PAGE.read_text())) - {"my-model"} <= set(CATALOGUE)
