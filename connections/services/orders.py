"""Orders: what a request to read comes to, on the ground that it stands on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from connections.adapters import schema
from connections.adapters.limits import Budget
from connections.services.errors import Invalid
from connections.services.grounds import Allowance

USUAL_LIMIT = 100
KEPT_TEXT = 4096
"""Characters of a query that is still kept once it was found valid."""
MEMBERS = ("query", "parameters", "limit", "offset", "count", "timeout")
"""Of a request's body."""
FORMATS = ("json", "csv", "ndjson", "arrow", "parquet")


@dataclass(frozen=True, slots=True)
class Request:
    """What to preview. ``timeout`` is in seconds. ``integers`` is number or string, ``formulas`` escape or keep.

    A ``limit`` or ``timeout`` that is None is the usual one, or less where the organisation may not have that.
    """

    query: Any
    parameters: Any = field(default_factory=dict)
    limit: int | None = None
    offset: int = 0
    count: bool = False
    timeout: float | None = None
    format: str = "json"
    integers: str = "number"
    formulas: str = "escape"


@dataclass(frozen=True, slots=True)
class Order:
    """A request that was found in order: what to do, within what, in how many seconds, and what is put on record."""

    arguments: dict[str, Any]
    limits: Budget
    timeout: float
    action: str
    detail: dict[str, Any]


def order(allowance: Allowance, request: Request) -> Order:
    """What ``request`` comes to within ``allowance``. Raises ``Invalid``, which points at what is wrong.

    A pure function: the same request comes to the same order, which nobody changes.
    """
    _require_numbers(allowance.limits, request)
    if request.limit is None:
        request = replace(request, limit=min(USUAL_LIMIT, allowance.limits.rows))
    arguments = {
        "query": query(allowance.query_class, request.query),
        "parameters": parameters(request.parameters),
        "limit": request.limit,
        "offset": request.offset,
        "count": request.count,
        "format": request.format,
        "integers": request.integers,
        "formulas": request.formulas,
    }
    action = "connection.preview" if request.format == "json" else "connection.export"
    timeout = _timeout(allowance, request.timeout)
    return Order(arguments, allowance.limits, timeout, action, _detail(request))


def query(model: Any, query: Any) -> dict[str, Any]:
    """``query``, of which ``model`` finds that it is one. Raises ``Invalid``."""
    if not isinstance(query, dict):
        raise Invalid.at("/query", "Send the query as a JSON object.", "required" if query is None else "invalid")
    if query.keys() == {"sql"} and isinstance(query["sql"], str) and len(query["sql"]) <= KEPT_TEXT:
        _sql(model, query["sql"])
    else:
        _validate(model, query)
    return query


@lru_cache(1024)
def _sql(model: Any, text: str) -> None:
    """``_validate`` of the usual query. One that passed is known to pass."""
    _validate(model, {"sql": text})


def _validate(model: Any, query: dict[str, Any]) -> None:
    try:
        model.model_validate(query)
    except ValidationError as exc:
        raise Invalid.of(schema.problems(exc, model, config="/query", secrets="/query")) from None


def parameters(parameters: Any) -> dict[str, Any]:
    """``parameters``, which are by name. Raises ``Invalid``."""
    if not isinstance(parameters, dict):
        raise Invalid.at("/parameters", "Send the parameters as a JSON object of names and values.")
    return parameters


def _require_numbers(limits: Budget, request: Request) -> None:
    for name, most in (("limit", limits.rows), ("offset", 2**53)):
        value = getattr(request, name)
        if name == "limit" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise Invalid.at(f"/{name}", f"A whole number from 0 to {most}.")
    if not isinstance(request.count, bool):
        raise Invalid.at("/count", "true or false.")


def _timeout(allowance: Allowance, timeout: Any) -> float:
    if timeout is None:
        return allowance.timeout
    most = allowance.timeout_max
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= most:
        raise Invalid.at("/timeout", f"Seconds, more than 0 and at most {most:g}.")
    return float(timeout)


def _detail(request: Request) -> dict[str, Any]:
    """What the record says of a read: of the query hash and length, as its text may hold what nobody should keep."""
    text = json.dumps(request.query, default=str, sort_keys=True).encode()
    return {
        "query_sha256": hashlib.sha256(text).hexdigest(),
        "query_bytes": len(text),
        "limit": request.limit,
        "format": request.format,
    }
