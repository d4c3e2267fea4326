"""Recipes: strict reading, messages that help, and a dump that reads back as the same recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from genoseq.errors import GenoseqError
from genoseq.recipes import RecipeError, build_recipe, dump_recipe, load_recipe, parse_recipe, recipe_digest
from genoseq.train.window_recipe import WindowRecipe


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    kind: Literal["plain", "warm"] = "plain"

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate is {self.rate}; expected at least 0")


@dataclass(frozen=True)
class Outer:
    name: str
    steps: int = 3
    flag: bool = False
    limit: int | None = None
    pair: tuple[float, float] = (0.1, 0.2)
    many: tuple[int, ...] = ()
    inner: Inner = field(default_factory=Inner)


def test_nested_values_arrive_with_their_types() -> None:
    recipe = parse_recipe(
        "name: a\nsteps: 7\nflag: true\nlimit: 4\npair: [1, 2.5]\n"
        "many: [1, 2, 3]\ninner: {rate: 2, kind: warm}",
        Outer,
    )
    assert recipe == Outer("a", 7, True, 4, (1.0, 2.5), (1, 2, 3), Inner(2.0, "warm"))
    assert isinstance(recipe.pair[0], float)
    assert isinstance(recipe.inner.rate, float)


def test_dump_reads_back_as_the_same_recipe_and_digest() -> None:
    recipe = Outer("ü: #", 7, True, None, (1e-7, 1e300), (), Inner(1e-9, "warm"))
    again = parse_recipe(dump_recipe(recipe), Outer)
    assert again == recipe
    assert recipe_digest(again) == recipe_digest(recipe)
    assert recipe_digest(recipe) != recipe_digest(
        Outer("ü: #", 8, True, None, (1e-7, 1e300), (), Inner(1e-9, "warm"))
    )


def test_digest_ignores_how_the_file_is_written() -> None:
    first = parse_recipe("name: a\nsteps: 3", Outer)
    second = parse_recipe("# a comment\ninner:\n  rate: 0.50\nname: 'a'", Outer)
    assert recipe_digest(first) == recipe_digest(second)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "name: a\nstep: 3",
            ["unknown key 'step'", "did you mean 'steps'", "name, steps, flag, limit, pair, many, inner"],
        ),
        ("name: a\ninner: {speed: 3}", ["unknown key 'speed'", "section 'inner'", "known keys: rate, kind"]),
        ("steps: 3", ["lacks the key 'name'"]),
        ("name: a\nsteps: 3.0", ["steps is 3.0 (float)", "expected a whole number"]),
        ("name: a\nsteps: true", ["steps is True (bool)", "expected a whole number"]),
        ("name: 5", ["name is 5 (int)", "expected text"]),
        ("name: a\nflag: 1", ["flag is 1 (int)", "expected true or false"]),
        ("name: a\nlimit: many", ["limit is 'many' (str)", "a whole number"]),
        ("name: a\npair: [1, 2, 3]", ["pair is [1, 2, 3]", "a list of 2 values"]),
        ("name: a\nmany: [1, x]", ["many[1] is 'x'", "expected a whole number"]),
        ("name: a\ninner: {kind: cold}", ["inner.kind is 'cold'", "one of 'plain', 'warm'"]),
        ("name: a\ninner: {rate: 1e-3}", ["inner.rate is '1e-3' (str)", "expected a number; write 0.001"]),
        ("name: a\ninner: {rate: -1}", ["section 'inner'", "rate is -1.0; expected at least 0"]),
        ("name: a\ninner: 3", ["section 'inner' is 3 (int)", "expected keys and values"]),
        ("name: a\nname: b", ["not valid YAML", "key 'name' is given twice"]),
        ("name: [a", ["not valid YAML"]),
        ("- a", ["the recipe is ['a']"]),
        ("name: a\n[1]: 2", ["a key must be a plain word"]),
    ],
)
def test_errors_say_where_and_what_was_expected(text: str, parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, Outer, name="my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: ")
    for part in parts:
        assert part in message


def test_an_empty_file_means_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("")
    assert load_recipe(path, Inner) == Inner()


def test_a_missing_file_is_an_error_of_genoseq(tmp_path: Path) -> None:
    with pytest.raises(GenoseqError, match=r"nowhere\.yaml: no such file or folder"):
        load_recipe(tmp_path / "nowhere.yaml", Inner)


def test_yaml_tags_build_no_objects() -> None:
    with pytest.raises(RecipeError, match="not valid YAML"):
        parse_recipe("name: !!python/object/apply:os.getcwd []", Outer)


def test_build_from_a_mapping_needs_no_file() -> None:
    assert build_recipe({"name": "a", "inner": {"rate": 1}}, Outer).inner.rate == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("context: 4", "context is 4; expected 1, 2 or 3"),
        ("edits: [0.3, 0.1]", "edits is"),
        ("genomes: {gc: [0.5, 0.2]}", "section 'genomes'"),
        ("ends: {anchor: 200}", "section 'ends'"),
        ("objective: {hamming: 0, sums: 0}", "section 'objective'"),
        ("optimiser: {rate: 0}", "section 'optimiser'"),
        ("evaluation: {edits: []}", "section 'evaluation'"),
        ("batch: 1", "batch 1"),
        ("model: transformer", "one of 'window-encoder'"),
    ],
)
def test_the_window_recipe_refuses_what_cannot_work(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, WindowRecipe)
    assert message in str(caught.value)
