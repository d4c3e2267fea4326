"""docs/nets.md: the tables of mixers and of the recipe's keys say what the code has."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest

from genoseq.nets.layers.mamba import Mamba
from genoseq.nets.layers.s4 import S4Convolution
from genoseq.nets.layers.s4_kernel import DiagonalKernel
from genoseq.nets.mixers import MIXERS
from genoseq.nets.models.hybrid import BLOCK_KEYS
from genoseq.train.language_recipe import LanguageData, LanguageOptimiser, LanguageRecipe, LengthStage, Tokens

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "nets.md").read_text()
PASSED_ON = {"bimamba": (Mamba,), "s4": (S4Convolution, DiagonalKernel)}
"""Where a mixer hands on options that it does not name itself."""


def options_row(name: str) -> str:
    """The row of the page's table for a mixer: its options with their defaults, those without one in bold."""
    found: dict[str, str] = {}
    for taker in (MIXERS.load(name), *PASSED_ON.get(name, ())):
        for option in inspect.signature(taker).parameters.values():
            if option.kind is not option.VAR_KEYWORD and option.name != "d_model":
                needed = option.default is option.empty
                default = option.default if option.default is not None else "null"
                default = list(default) if isinstance(default, tuple) else default
                default = str(default).lower() if isinstance(default, bool) else default
                found.setdefault(option.name, f"**`{option.name}`**" if needed else f"`{option.name}: {default}`")
    return f"| `{name}` | {', '.join(found.values())} |"


@pytest.mark.parametrize("name", [name for name in MIXERS.names() if MIXERS.entry(name).target.startswith("genoseq.")])
def test_the_table_of_mixers_has_their_options(name: str) -> None:
    assert options_row(name) in PAGE


@pytest.mark.parametrize("kind", [LanguageRecipe, LanguageData, LanguageOptimiser, LengthStage, Tokens])
def test_the_keys_of_recipes_are_described(kind: type) -> None:
    section = PAGE[PAGE.index("### Keys of the recipe") :]
    assert [field.name for field in dataclasses.fields(kind) if f"`{field.name}`" not in section] == []


def test_the_keys_of_blocks_are_described() -> None:
    assert [key for key in BLOCK_KEYS if f"`{key}`" not in PAGE] == []
