"""Things by name: a name maps to ``module:attribute``, which is imported only when the thing is asked for.

A registry knows the names that genoseq brings and those of installed packages that declare entry points in its group:

    [project.entry-points."genoseq.tokenizers"]
    my-tokenizer = "my_package.tokens:MyTokenizer"

Listing names imports nothing. A built-in name cannot be taken by an entry point: the same name means the same thing
wherever genoseq is installed.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from genoseq.errors import UsageError

__all__ = ["Entry", "Registry", "suggestion"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """Where a thing is and how it is made.

    Attributes:
        target: ``module:attribute``, a class or function.
        options: keyword arguments given to it unless the caller says otherwise.
        summary: one line for listings.
    """

    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""


class Registry:
    """The things of one kind.

    Args:
        kind: what one of them is called in messages, for example ``tokenizer``.
        group: the entry point group in which other packages add to it.
        entries: those that genoseq brings.
        common: options that those entries pass on through ``**kwargs``, so that a misspelt option is noticed. What other
            packages add may say so itself, in an attribute ``common_options``; else it takes any option.

    >>> numbers = Registry("number type", "genoseq.numbers", {"fraction": Entry("fractions:Fraction")})
    >>> numbers.names()
    ('fraction',)
    >>> numbers.make("fraction", numerator=1, denominator=3)
    Fraction(1, 3)
    >>> numbers.make("fractoin")
    Traceback (most recent call last):
        ...
    genoseq.errors.UsageError: no number type is called 'fractoin' (did you mean 'fraction'?); there are: fraction
    """

    def __init__(self, kind: str, group: str, entries: Mapping[str, Entry], *, common: frozenset[str] = frozenset()) -> None:
        self.kind = kind
        self.group = group
        self._entries = dict(entries)
        self._common = common

    @functools.cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        """Entry points of other packages by name; looked up once in a process."""
        found: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: (point.name, point.value)):
            if point.name in self._entries:
                log.warning("%s %r of %s is left out: genoseq has one of that name", self.kind, point.name, _package(point))
            elif point.name in found and found[point.name].value != point.value:
                taken = _package(found[point.name])
                log.warning("%s %r of %s is left out: %s has one of that name", self.kind, point.name, _package(point), taken)
            else:
                found.setdefault(point.name, point)
        return found

    def names(self) -> tuple[str, ...]:
        """All names: those of genoseq in their own order, then those of other packages. Imports nothing."""
        return (*self._entries, *self._plugins)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._plugins

    def entry(self, name: str) -> Entry:
        """Where ``name`` is to be found.

        Raises:
            UsageError: there is none of that name; the message lists those there are.
        """
        if name in self._entries:
            return self._entries[name]
        if name in self._plugins:
            point = self._plugins[name]
            return Entry(point.value, summary=f"from {_package(point)}")
        raise UsageError(
            f"no {self.kind} is called {name!r}{suggestion(name, self.names())}; there are: {', '.join(self.names())}"
        )

    def load(self, name: str) -> Any:
        """The class or function behind ``name``.

        Raises:
            UsageError: no such name, or another package's entry cannot be imported.
        """
        entry = self.entry(name)
        if name in self._entries:
            module, _, attribute = entry.target.partition(":")
            return functools.reduce(getattr, attribute.split("."), import_module(module))
        try:
            return self._plugins[name].load()
        except (ImportError, AttributeError) as error:
            package = _package(self._plugins[name])
            raise UsageError(f"{self.kind} {name!r} of {package} cannot be imported from {entry.target}: {error}") from error

    def make(self, name: str, **options: Any) -> Any:
        """A new thing of that name; options not given are those of its entry, then its own defaults.

        Raises:
            UsageError: no such name, or an option that it does not take; the message lists those it takes.
        """
        entry = self.entry(name)
        target = self.load(name)
        given = {**entry.options, **options}
        known, any_other = self._options(target, name)
        for option in given:
            if option not in known and not any_other:
                hint = suggestion(option, known)
                raise UsageError(f"{self.kind} {name!r} has no option {option!r}{hint}; it has: {', '.join(known)}")
        needed = [option for option, required in known.items() if required and option not in given]
        if needed:
            raise UsageError(f"{self.kind} {name!r} needs {', '.join(needed)}")
        return target(**given)

    def options(self, name: str) -> dict[str, bool] | None:
        """Options of ``name``, each with whether it must be given; None if it takes any option at all.

        Raises:
            UsageError: no such name, or another package's entry cannot be imported.
        """
        known, any_other = self._options(self.load(name), name)
        return None if any_other else known

    def _options(self, target: Any, name: str) -> tuple[dict[str, bool], bool]:
        """Named options, each with whether it must be given, and whether any other is taken too."""
        parameters = inspect.signature(target).parameters.values()
        known = {
            parameter.name: parameter.default is parameter.empty
            for parameter in parameters
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return known, False
        passed_on = getattr(target, "common_options", self._common if name in self._entries else ())
        return known | dict.fromkeys(sorted(set(passed_on) - known.keys()), False), not passed_on


def suggestion(name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """A parenthesis with the nearest known name, or nothing where none is near.

    >>> suggestion("hyena-dna", ("hyenadna", "esm"))
    " (did you mean 'hyenadna'?)"
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _package(point: EntryPoint) -> str:
    """Name of the distribution that declares the entry point."""
    return f"the package {point.dist.name}" if point.dist is not None else point.value
