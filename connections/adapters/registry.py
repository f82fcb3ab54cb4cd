"""The registry: every source this process knows, by id.

Filled from the files of ``connections.sources`` and from entry points of the group ``catalog.sources``, by one
loading path. Reading the names imports no source; asking for one imports that one, and no driver.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from connections.adapters.base import Adapter

GROUP = "catalog.sources"
PACKAGE = "connections.sources"
AdapterClass = type[Adapter[Any, Any]]


class DuplicateSourceError(RuntimeError):
    """Two places give the same source id. Fatal at start-up, as either could be the one a row means."""


class UnknownSourceError(KeyError):
    """No source has this id."""

    def __str__(self) -> str:
        return f"There is no source {self.args[0]!r}."


class BrokenSourceError(RuntimeError):
    """A source's module cannot be used. It is greyed out; the others work."""


class Registry(Mapping[str, AdapterClass]):
    """Source ids to adapter classes, read-only. Loads a class when it is first asked for."""

    def __init__(self, places: Mapping[str, tuple[str, Callable[[], Any]]]) -> None:
        """``places`` maps an id to where it comes from, in words, and to what loads it."""
        self._places = dict(sorted(places.items()))
        self._loaded: dict[str, AdapterClass] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, source: object) -> bool:
        return source in self._places

    def __getitem__(self, source: str) -> AdapterClass:
        """The adapter class of ``source``. Raises ``UnknownSourceError`` or ``BrokenSourceError``."""
        if source not in self._loaded:
            self._loaded[source] = self._load(source)
        return self._loaded[source]

    def place(self, source: str) -> str:
        """Where ``source`` comes from, in words for an operator."""
        return self._places[source][0]

    def healthy(self) -> Iterator[AdapterClass]:
        """The sources that load, by id."""
        for source in self:
            try:
                yield self[source]
            except BrokenSourceError:
                continue

    def broken(self) -> dict[str, str]:
        """The sources that do not load, each with the reason."""
        found = {}
        for source in self:
            try:
                self[source]
            except BrokenSourceError as exc:
                found[source] = str(exc)
        return found

    def _load(self, source: str) -> AdapterClass:
        if source not in self._places:
            raise UnknownSourceError(source)
        place, load = self._places[source]
        try:
            adapter = load()
        except Exception as exc:  # whatever a plug-in does at import must not take the others down
            raise BrokenSourceError(f"{place} cannot be imported: {type(exc).__name__}: {exc}") from exc
        if not (isinstance(adapter, type) and issubclass(adapter, Adapter)):
            raise BrokenSourceError(f"{place} does not give an Adapter class.")
        if adapter.id != source:
            raise BrokenSourceError(f"{place} gives an adapter whose id is {adapter.id!r}, not {source!r}.")
        return adapter


def discover() -> Registry:
    """A registry of all sources that are installed. Raises ``DuplicateSourceError``, which names both places."""
    places: dict[str, tuple[str, Callable[[], Any]]] = {}
    for source, place, load in (*_built_in(), *_third_party()):
        if source in places:
            raise DuplicateSourceError(f"Source {source!r} is given twice: by {places[source][0]} and by {place}.")
        places[source] = (place, load)
    return Registry(places)


def _built_in() -> Iterator[tuple[str, str, Callable[[], Any]]]:
    package = importlib.import_module(PACKAGE)
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            path = f"{PACKAGE}.{module.name}"
            yield module.name, path, lambda path=path: importlib.import_module(path).adapter  # type: ignore[misc]


def _third_party() -> Iterator[tuple[str, str, Callable[[], Any]]]:
    for entry in entry_points(group=GROUP):
        owner = entry.dist.name if entry.dist else "an unnamed distribution"
        yield entry.name, f"{entry.value} of {owner}", entry.load


registry = discover()
