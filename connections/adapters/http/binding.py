"""A query and a caller's values as one request."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from connections.adapters.errors import InvalidError
from connections.adapters.http.addresses import relative_path, segment
from connections.adapters.http.query import PARAMETER, HTTPQuery, Parameter, parameter_names
from connections.adapters.schema import pointer

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: ``url`` is absolute and encoded, ``params`` are appended to it, ``body`` is JSON or None."""

    method: str
    url: str
    params: Pairs = ()
    body: Any = None

    @property
    def target(self) -> str:
        """The whole URL. It may hold what the caller sent: for the wire, not for messages."""
        if not self.params:
            return self.url
        return self.url + ("&" if "?" in self.url else "?") + urlencode(self.params, quote_via=quote)

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body).encode()

    def with_values(self, place: str, values: dict[str, str | int]) -> Request:
        """The request with ``values`` in its ``params`` or ``body``, in place of others of the same names."""
        if place == "body":
            return replace(self, body={**(self.body or {}), **values})
        kept = tuple(pair for pair in self.params if pair[0] not in values)
        return replace(self, params=(*kept, *((name, str(value)) for name, value in values.items())))


def bind(query: HTTPQuery, parameters: dict[str, Any], base: str) -> Request:
    """The first request of ``query``, beneath ``base``.

    Raises ``InvalidError`` for a parameter that is missing, that the query does not have, or that is not text,
    number, boolean or null, or a list of those.
    """
    _require_same(_declared(query), parameters)
    for name, value in parameters.items():
        _require_plain(name, value)
    path = _path(query.path, parameters)
    params = tuple(pair for name, value in query.params.items() for pair in _pairs(name, value, parameters))
    return Request(query.method, f"{base}{path}", params, _filled(query.body, parameters))


def _declared(query: HTTPQuery) -> set[str]:
    parts = [*(query.path if isinstance(query.path, list) else ()), *query.params.values()]
    return {part.name for part in parts if isinstance(part, Parameter)} | parameter_names(query.body)


def _require_same(declared: set[str], parameters: dict[str, Any]) -> None:
    for name in sorted(declared - set(parameters)):
        raise InvalidError(f"The parameter {name} is missing.", field=pointer("/parameters", (name,)))
    for name in sorted(set(parameters) - declared):
        raise InvalidError(f"The query has no parameter {name}.", field=pointer("/parameters", (name,)))


def _require_plain(name: str, value: Any) -> None:
    for part in value if isinstance(value, list) else [value]:
        plain = part is None or isinstance(part, str | int) or (isinstance(part, float) and math.isfinite(part))
        if not plain:
            raise _wrong(name, "is text, a number, true, false or null, or a list of those")
        if isinstance(part, str):
            try:
                part.encode()
            except UnicodeEncodeError:
                raise _wrong(name, "is text without halves of surrogate pairs") from None


def _wrong(name: str, must: str) -> InvalidError:
    return InvalidError(f"The parameter {name} does not fit: it {must}.", field=pointer("/parameters", (name,)))


def _path(path: str | list[str | Parameter], parameters: dict[str, Any]) -> str:
    if isinstance(path, str):
        return f"/{relative_path(path)}" if path else ""
    return "".join("/" + _segment(part, parameters) for part in path)


def _segment(part: str | Parameter, parameters: dict[str, Any]) -> str:
    if isinstance(part, str):
        return segment(part)
    value = parameters[part.name]
    if value is None or isinstance(value, list):
        raise _wrong(part.name, "is one text or number where it stands in the path")
    try:
        return segment(_text(value))
    except ValueError:
        raise _wrong(part.name, "is a plain name where it stands in the path, without / \\ ; ? # %") from None


def _pairs(name: str, value: Any, parameters: dict[str, Any]) -> Pairs:
    """A URL parameter as pairs: a list repeats its name, null leaves it out."""
    given = parameters[value.name] if isinstance(value, Parameter) else value
    return tuple((name, _text(part)) for part in (given if isinstance(given, list) else [given]) if part is not None)


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filled(value: Any, parameters: dict[str, Any]) -> Any:
    """``value`` with each parameter's place taken by its value."""
    if isinstance(value, list):
        return [_filled(part, parameters) for part in value]
    if not isinstance(value, dict):
        return value
    if PARAMETER in value:
        return parameters[value[PARAMETER]]
    return {name: _filled(part, parameters) for name, part in value.items()}
