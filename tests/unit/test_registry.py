"""Things by name: what genoseq brings, what other packages add, and what goes wrong."""

from __future__ import annotations

import importlib.metadata
import logging
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import genoseq.registry
from genoseq.errors import UsageError
from genoseq.registry import Entry, Registry, suggestion

ENTRIES = {
    "fraction": Entry("fractions:Fraction", summary="exact"),
    "half": Entry("fractions:Fraction", {"numerator": 1, "denominator": 2}),
    "dict": Entry("builtins:dict"),
    "path": Entry("os:path.join"),
}


def registry_with(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> Registry:
    found = [EntryPoint(name, target, "test.group") for name, target in points]

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [point for point in found if point.group == group]

    monkeypatch.setattr(genoseq.registry, "entry_points", entry_points)
    return Registry("thing", "test.group", ENTRIES)


def test_names_come_in_their_order_then_those_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_with(monkeypatch, ("zebra", "json:dumps"), ("ape", "json:loads"))
    assert registry.names() == ("fraction", "half", "dict", "path", "ape", "zebra")
    assert "zebra" in registry and "half" in registry and "gnu" not in registry


def test_entries_make_things_and_options_of_the_caller_win(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_with(monkeypatch, ("ape", "json:loads"), ("any", "json:dumps"))
    assert registry.options("any") is None and registry.make("any", obj=[1], indent=None) == "[1]"
    with pytest.raises(UsageError, match="'any' needs obj"):
        registry.make("any", indent=1)
    assert str(registry.make("half")) == "1/2"
    assert str(registry.make("half", denominator=3)) == "1/3"
    assert registry.load("path")("a", "b") == "a/b"
    assert registry.load("ape")("[1]") == [1]
    assert registry.entry("fraction").summary == "exact"


def test_unknown_names_list_the_known_ones_and_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_with(monkeypatch, ("ape", "json:loads"))
    with pytest.raises(
        UsageError, match=r"no thing is called 'fracton' \(did you mean 'fraction'\?\); there are: fraction, half,"
    ):
        registry.make("fracton")
    with pytest.raises(UsageError, match=r"'qqq'; there are: fraction, half, dict, path, ape$"):
        registry.load("qqq")


def test_unknown_and_missing_options_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_with(monkeypatch)
    with pytest.raises(
        UsageError, match=r"'half' has no option 'numrator' \(did you mean 'numerator'\?\); it has: numerator, den"
    ):
        registry.make("half", numrator=3)

    def needs(first: int, *, second: int = 2) -> int:
        return first + second

    monkeypatch.setattr(genoseq.registry, "needs", needs, raising=False)
    registry = Registry("thing", "test.group", {"needs": Entry("genoseq.registry:needs")})
    assert registry.options("needs") == {"first": True, "second": False}
    with pytest.raises(UsageError, match=r"thing 'needs' needs first$"):
        registry.make("needs", second=3)
    assert registry.make("needs", first=1) == 3


def test_things_that_pass_options_on_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    class Passing:
        common_options = frozenset({"size", "own"})

        def __init__(self, *, own: int = 0, **kwargs: object) -> None:
            self.kwargs = kwargs

    def anything(**kwargs: object) -> dict[str, object]:
        return kwargs

    for name, thing in (("Passing", Passing), ("anything", anything)):
        monkeypatch.setattr(genoseq.registry, name, thing, raising=False)
    registry_with(monkeypatch)
    registry = Registry("thing", "test.group", {name: Entry(f"genoseq.registry:{name}") for name in ("Passing", "anything")})
    assert registry.options("Passing") == {"own": False, "size": False}
    assert registry.make("Passing", size=3).kwargs == {"size": 3}
    with pytest.raises(UsageError, match="has no option 'colour'; it has: own, size"):
        registry.make("Passing", colour=1)
    assert registry.options("anything") is None
    assert registry.make("anything", colour=1) == {"colour": 1}
    closed = Registry("thing", "test.group", {"anything": Entry("genoseq.registry:anything")}, common=frozenset({"size"}))
    assert closed.make("anything", size=1) == {"size": 1}
    with pytest.raises(UsageError, match="has no option 'colour'; it has: size"):
        closed.make("anything", colour=1)


def test_a_name_of_genoseq_cannot_be_taken(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    registry = registry_with(monkeypatch, ("half", "json:dumps"))
    with caplog.at_level(logging.WARNING, logger="genoseq.registry"):
        assert registry.names() == ("fraction", "half", "dict", "path")
    assert "thing 'half' of json:dumps is left out: genoseq has one of that name" in caplog.text
    assert str(registry.make("half")) == "1/2"


def test_of_two_packages_with_one_name_the_same_one_always_wins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for points in ([("ape", "json:dumps"), ("ape", "json:loads")], [("ape", "json:loads"), ("ape", "json:dumps")]):
        registry = registry_with(monkeypatch, *points)
        assert registry.entry("ape").target == "json:dumps"
    assert "thing 'ape' of json:loads is left out" in caplog.text


@pytest.mark.parametrize("target", ["no_such_module:thing", "json:no_such_thing"])
def test_a_plugin_that_cannot_be_imported_says_whose_it_is(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    registry = registry_with(monkeypatch, ("ape", target))
    with pytest.raises(UsageError, match=f"thing 'ape' of {target} cannot be imported from {target}: "):
        registry.make("ape")


def test_listing_imports_nothing() -> None:
    code = (
        "import sys; from genoseq.registry import Entry, Registry\n"
        "registry = Registry('thing', 'no.such.group', {'a': Entry('fractions:Fraction'), 'b': Entry('wave:open')})\n"
        "assert registry.names() == ('a', 'b') and 'a' in registry\n"
        "assert 'wave' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_entry_points_of_installed_packages_are_asked_for() -> None:
    registry = Registry("script", "console_scripts", {})
    assert "genoseq" in registry.names()
    owner = next(point for point in importlib.metadata.entry_points(group="console_scripts") if point.name == "genoseq")
    assert registry.entry("genoseq") == Entry(owner.value, summary="from the package genoseq")
    assert callable(registry.load("genoseq"))


def test_a_far_name_suggests_nothing() -> None:
    assert suggestion("protein", ("hyenadna", "esm")) == ""
