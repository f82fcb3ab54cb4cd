"""Every route, by every method, as everybody, against the table of ``tests.matrix``.

A route that is not in the table fails here, and the failure gives the lines to add once they have been judged.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from tests import matrix
from tests.catalogue import Tenant
from tests.routes import CALLERS, METHODS, Asker, Things, random_things, routes, things_of, with_keys, with_sessions

Row = tuple[int, ...]


@pytest.fixture
def things(acme: Tenant) -> Things:
    return things_of(acme)


@pytest.fixture
def sessions(things: Things, acme: Tenant, globex: Tenant, superuser: Any) -> dict[str, Asker]:
    return with_sessions(acme, globex, superuser)


@pytest.fixture
def keys(things: Things, acme: Tenant, globex: Tenant) -> dict[str, Asker]:
    return with_keys(acme, globex)


def rows(route: str, askers: dict[str, Asker], things: Things) -> dict[str, Row]:
    """The statuses that each method answers, by caller."""
    callers = [caller for caller in CALLERS if caller in askers]
    return {
        method: tuple(askers[caller].ask(method, route, things).status_code for caller in callers) for method in METHODS
    }


def lines(route: str, found: dict[str, Row]) -> str:
    """``found`` as the table has it."""
    methods: dict[Row, list[str]] = defaultdict(list)
    for method, row in found.items():
        methods[row].append(method)
    most = max(methods, key=lambda row: len(methods[row]))
    ordered = sorted(methods, key=lambda row: row == most)
    return "\n".join(
        [route or "/", *(f"    {'other' if row == most else ' '.join(methods[row]):16} {_row(row)}" for row in ordered)]
    )


def _row(row: Row) -> str:
    return " ".join(map(str, row))


def compare(found: dict[str, dict[str, Row]], columns: int = len(CALLERS)) -> None:
    table = matrix.read(METHODS)
    wrong = [
        lines(route, answers)
        for route, answers in found.items()
        if answers != {method: row[:columns] for method, row in table.get(route, {}).items()}
    ]
    assert not wrong, "These answers are not those of tests/matrix.py:\n" + "\n".join(wrong)


def test_every_route_answers_every_browser_as_the_table_says(sessions: dict[str, Asker], things: Things) -> None:
    compare({route: rows(route, sessions, things) for route in routes()})


def test_every_route_of_the_api_answers_every_key_as_it_answers_its_browser(
    keys: dict[str, Asker], things: Things
) -> None:
    found = {route: rows(route, keys, things) for route in routes() if route.startswith("api/")}
    compare(found, columns=len(keys))


def test_the_table_has_no_route_that_is_gone() -> None:
    assert set(matrix.read(METHODS)) - set(routes()) == set()


def test_the_table_keeps_the_promises_of_the_api() -> None:
    for route, answers in matrix.read(METHODS).items():
        for method, row in answers.items():
            nobody, *roles, foreign, _superuser = row
            if not route.startswith("api/v1/orgs/"):
                continue
            assert nobody == 401, (method, route)
            assert foreign == (404 if "<slug:org>" in route else roles[-1]), (method, route)
            forbidden = [status == 403 for status in roles]
            assert forbidden == sorted(forbidden, reverse=True), "a higher role may do what a lower one may"


@pytest.mark.parametrize("kind", ["key", "session"])
def test_what_is_another_organisations_cannot_be_told_from_what_is_not_there(
    kind: str, keys: dict[str, Asker], sessions: dict[str, Asker], things: Things
) -> None:
    foreign = (keys if kind == "key" else sessions)["foreign"]
    for route in routes():
        if not route.startswith("api/v1/orgs/<slug:org>/"):
            continue
        for method in METHODS:
            theirs, nothing = (_told(foreign.ask(method, route, each)) for each in (things, random_things()))
            assert theirs == nothing, (method, route)


def test_an_id_of_another_organisation_in_ones_own_path_is_not_there(keys: dict[str, Asker], things: Things) -> None:
    globex = Things({**things.values, "org": "globex"})
    nothing = Things({**random_things().values, "org": "globex"})
    for route in routes():
        if not route.startswith("api/v1/orgs/<slug:org>/") or not ("<slug:slug>" in route or "<uuid:" in route):
            continue
        for method in METHODS:
            theirs, random = (_told(keys["foreign"].ask(method, route, each)) for each in (globex, nothing))
            assert theirs == random, (method, route)
            assert theirs[0] == 404, (method, route)


def _told(answer: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
    """All that an answer tells but its own id and time."""
    body = json.loads(answer.content or b"{}")
    headers = {name: value for name, value in answer.headers.items() if name not in ("X-Request-ID", "X-Process-Time")}
    if "request_id" in body:
        assert body.pop("request_id") == answer["X-Request-ID"]
    headers.pop("Content-Length", None)
    return answer.status_code, body, headers
