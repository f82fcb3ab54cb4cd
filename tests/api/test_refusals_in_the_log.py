"""A flood that is refused fills no log: one line an organisation and minute, with how many there were."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from connections.api import problems
from connections.services.logs import Seldom
from tests.catalogue import Tenant

PREVIEW = {"query": {"table": ["orders"]}}
SETTINGS = {(429, "throttled"): "CATALOG_CONNECTION_JOBS", (503, "busy"): "CATALOG_HOST_JOBS"}


@pytest.fixture(autouse=True)
def _nothing_told_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "refusals", Seldom(problems.logger))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("refusal", SETTINGS)
def test_a_flood_of_refusals_is_one_line_for_each_organisation(
    acme: Tenant, globex: Tenant, settings: Any, caplog: pytest.LogCaptureFixture, refusal: tuple[int, str]
) -> None:
    setattr(settings, SETTINGS[refusal], 0)
    for tenant in (acme, globex):
        tenant.sqlite("Shop")
        for _ in range(20):
            answer = tenant.api("analyst").post("connections/shop/preview/", PREVIEW)
            assert (answer.status_code, answer.json()["code"]) == refusal
    status, code = refusal
    assert warnings(caplog) == [
        f"Refused with {status} {code} for the organisation {org} (times: 1)" for org in ("acme", "globex")
    ]


def test_a_refusal_the_usual_way_is_counted_with_the_others(
    acme: Tenant, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CATALOG_CONNECTION_JOBS = 0
    acme.sqlite("Shop")
    for path in ("preview/", "preview/?format=csv", "describe/", "status/"):
        body = None if path == "status/" else PREVIEW
        assert acme.api("analyst").post(f"connections/shop/{path}", body).status_code == 429
    assert len(warnings(caplog)) == 1


def test_other_answers_are_logged_each_as_before(acme: Tenant, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        assert acme.api("analyst").post("connections/nothing/preview/", PREVIEW).status_code == 404
    assert len([record for record in caplog.records if record.name == "django.request"]) == 3


def test_what_came_after_a_line_is_counted_in_the_next_and_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom(logging.getLogger("tests.seldom"), seconds=0.2)
    for key, times in (("a", 5), ("b", 1), ("c", 2)):
        for _ in range(times):
            seldom.tell(key)
    time.sleep(0.25)
    seldom.tell("b")
    assert warnings(caplog) == [
        *(f"{key} (times: 1)" for key in "abc"),
        *("b (times: 1)", "a (times: 4)", "c (times: 1)"),
    ]


def test_keys_beyond_all_number_take_no_more_memory(caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom(logging.getLogger("tests.seldom"), most=3)
    for number in range(10):
        seldom.tell(str(number))
    assert warnings(caplog)[-1] == "others (times: 1)"
    assert len(warnings(caplog)) == 4
