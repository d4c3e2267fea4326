"""The page about using models describes every option, every note and every public name."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import pytest

import genoseq.infer
from genoseq.cli.main import COMMANDS
from genoseq.infer.score_files import COLUMNS
from genoseq.infer.variants import NOTES
from genoseq.infer.vcf import FIELDS

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE, FORMATS = (DOCS / "use-models.md").read_text(), (DOCS / "formats.md").read_text()


@pytest.mark.parametrize("name", ["embed", "score", "variants", "mutagenesis", "generate"])
def test_every_option_is_described(name: str) -> None:
    module, _, attribute = COMMANDS[name].target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    section = PAGE[PAGE.index(f"| `genoseq {name}` |") :]
    table = section[: section.index("\n\n")]
    options = [option for option in command.params if isinstance(option, click.Option)]
    absent = [spelling for option in options for spelling in option.opts if f"`{spelling}`" not in table]
    assert options and not absent


def test_every_note_field_and_column_is_described() -> None:
    assert [name for name in (*NOTES, *FIELDS, *COLUMNS) if f"`{name}`" not in FORMATS] == []


def test_public_names_are_described_and_exist() -> None:
    assert [name for name in genoseq.infer.__all__ if f"`{name}`" not in PAGE and f"{name}(" not in PAGE] == []
    assert all(getattr(genoseq.infer, name) is not None for name in dir(genoseq.infer))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'; it has AltScore"):
        _ = genoseq.infer.nothing
