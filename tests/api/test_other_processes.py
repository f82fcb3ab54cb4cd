"""What a web process does reaches the jobs of the host's other web processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings

from connections.models import Connection
from tests.catalogue import API, Tenant
from tests.runner.test_leases import RUNS, Other, other

__all__ = ["other"]


@pytest.fixture
def there(acme: Tenant, other: Callable[..., Other]) -> Callable[..., Any]:
    """Starts a job of a connection in another process, as a preview with this request id would."""
    acme.sqlite("Shop")
    process = other(RUNS, settings.CATALOG_RUNTIME_FOLDER)

    def ask(job: Any) -> Any:
        if isinstance(job, dict):
            connection = str(Connection.objects.get(slug="shop").pk)
            job = {"organisation": str(acme.organisation.pk), "connection": connection, **job}
        return process.ask(json.dumps(job))

    return ask


def test_a_preview_of_another_process_is_cancelled(acme: Tenant, globex: Tenant, there: Callable[..., Any]) -> None:
    assert there({"id": "in-another-process"}) == 1
    assert globex.api("admin").delete("previews/in-another-process/").status_code == 204
    acme.sqlite("Depot")
    body = {"name": "Depot's", "role": "analyst", "connections": ["depot"]}
    narrow = API("acme", acme.api("admin").post("api-keys/", body).json()["key"])
    assert narrow.delete("previews/in-another-process/").status_code == 204
    assert there("running") == 1
    started = time.monotonic()
    assert acme.api("analyst").delete("previews/in-another-process/").status_code == 204
    assert there("outcome") == "cancelled"
    assert time.monotonic() - started < 5


def test_jobs_of_another_process_count(acme: Tenant, there: Callable[..., Any]) -> None:
    for number in range(4):
        assert there({"id": f"job-{number}"}) == number + 1
    over = acme.api("analyst").post("connections/shop/preview/", {"query": {"sql": "select 1"}})
    assert (over.status_code, over.json()["code"]) == (429, "throttled")
    assert int(over["Retry-After"]) >= 1
