"""The OpenAPI document against what the API does: schemathesis makes requests, and judges every answer."""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.urls import resolve
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from connections.adapters.registry import registry
from connections.api import operations
from connections.models import Role
from connections.services import sources
from tests.catalogue import Tenant
from tests.routes import BODIES, Things, routes, things_of

EXAMPLES = 12
CHECKS: list[Any] = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
ROUTES = {"/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route): route for route in routes() if route.startswith("api/")}
IDS = [f"{method} {name}" for name, methods in operations.OPERATIONS.items() for method in methods]


@functools.cache
def by_name() -> dict[str, Any]:
    """Every operation of the live document, by its method and the name of its path."""
    document: Any = schemathesis.openapi.from_wsgi("/api/v1/schema/", get_wsgi_application())
    operations_ = [found.ok() for found in document.get_all_operations()]
    return {f"{each.method.upper()} {resolve(_filled(each.path)).url_name}": each for each in operations_}


def _filled(path: str) -> str:
    """A path of the document with something in each place."""
    path = path.replace("{version}", "1")
    return re.sub(r"\{(member|key)\}", str(uuid.uuid4()), path).replace("{", "").replace("}", "")


def ask(case: Any, tenant: Tenant, role: str | None) -> Any:
    """Make the case's request as one role and judge its answer; what it changed is undone."""
    key = {"Authorization": f"Bearer {tenant.keys[role]}"} if role else {}
    with transaction.atomic():
        answer = case.call(headers={**dict(case.headers or {}), **key})
        transaction.set_rollback(True)
    case.validate_response(answer, checks=CHECKS)
    return answer


@pytest.fixture(autouse=True)
def kept_connection() -> Iterator[None]:
    """Requests come through WSGI here, whose end would close the database connection of the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def values(acme: Tenant) -> dict[str, str]:
    return things_of(acme).values


def path_parameters(operation: Any, values: dict[str, str]) -> dict[str, str]:
    names = [parameter.name for parameter in operation.path_parameters]
    values = Things(values).on(operation.path)
    return {name: values[name] for name in names}


def test_the_document_has_every_operation_and_no_other() -> None:
    assert sorted(by_name()) == sorted(IDS)


@pytest.mark.parametrize("wanted", IDS)
def test_a_right_request_gets_the_answer_that_is_declared(acme: Tenant, values: dict[str, str], wanted: str) -> None:
    operation = by_name()[wanted]
    body = BODIES.get(f"{operation.method.upper()} {ROUTES[operation.path]}")
    more = {"body": body, "media_type": "application/json"} if body is not None else {}
    query = {"path": ["orders"]} if wanted == "GET columns" else {}
    case = operation.Case(path_parameters=path_parameters(operation, values), query=query, **more)
    assert ask(case, acme, "admin").status_code in (200, 201, 204)


@pytest.mark.parametrize("source", sorted(registry))
def test_the_schemas_of_each_source_are_json_schemas_whose_secrets_are_write_only(source: str) -> None:
    found = sources.detail(source)
    for name in ("config_schema", "query_schema"):
        assert found[name]["$schema"].endswith("2020-12/schema")
        jsonschema.Draft202012Validator.check_schema(found[name])
    for secret in _secrets(found["config_schema"]):
        assert secret["writeOnly"] is True
        assert secret.keys().isdisjoint({"default", "example", "examples"})


def _secrets(shape: Any) -> Iterator[dict[str, Any]]:
    if isinstance(shape, list):
        for each in shape:
            yield from _secrets(each)
    elif isinstance(shape, dict):
        if shape.get("format") == "password":
            yield shape
        for each in shape.values():
            yield from _secrets(each)


@pytest.mark.parametrize("wanted", IDS)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_no_request_gets_an_answer_that_is_not_declared(
    acme: Tenant, values: dict[str, str], wanted: str, mode: GenerationMode
) -> None:
    operation = by_name()[wanted]
    real = operation.as_strategy(generation_mode=mode, path_parameters=path_parameters(operation, values) or None)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=real, role=st.sampled_from([None, *Role.values]))
    def all_are_declared(case: Any, role: str | None) -> None:
        ask(case, acme, role)

    all_are_declared()
