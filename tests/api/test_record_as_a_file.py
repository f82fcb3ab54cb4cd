"""The record as a file over REST: whose it is, who gets it, what is in it, and what it costs."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections, transaction
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections.adapters.errors import DeadlineError, ThrottledError
from connections.api.formats import BrokenOff
from connections.models import APIKey, Event
from connections.services import api_keys, events, exporting
from connections.services.errors import Forbidden
from tests.api.test_no_record_no_action import no_event_is_taken
from tests.catalogue import API, Tenant, forget_events

pytestmark = pytest.mark.django_db
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", '=HYPERLINK("http://example.com")')


def leave(answer: Any) -> None:
    """Close an answer, without the database connection of the test's transaction."""
    request_finished.disconnect(close_old_connections)
    try:
        answer.close()
    finally:
        request_finished.connect(close_old_connections)


def happen(tenant: Tenant, count: int, **fields: Any) -> None:
    """Events of one organisation, a second apart, the last of them now."""
    now = timezone.now()
    Event.objects.bulk_create(
        Event(
            **{"organisation": tenant.organisation, "actor_kind": "user", "actor_label": "somebody", **fields},
            at=now - timedelta(seconds=count - number),
            action="thing.happen",
            result="ok",
            detail={"number": number, "text": "x" * 1000},
        )
        for number in range(count)
    )


def body(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content).decode()


def lines(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body(answer).splitlines()]


def cells(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body(answer), newline="")))


def test_ndjson_is_the_list_line_by_line_and_csv_has_the_same_events(acme: Tenant) -> None:
    acme.sqlite()
    api = acme.api("admin")
    by_format = lines(api.get("events/?format=ndjson"))
    by_accept = cells(api.get("events/", Accept="text/csv"))
    listed = api.get("events/?page_size=200").json()["results"]
    assert by_format == listed[1:]  # that the CSV was asked for came after
    assert [row["id"] for row in by_accept] == [event["id"] for event in listed]
    assert [(row["at"], row["actor"], row["action"], row["object"]) for row in by_accept] == [
        (event["at"], event["actor"]["label"], event["action"], event["object"]["label"] if event["object"] else "")
        for event in listed
    ]
    assert json.loads(by_accept[0]["detail"]) == {"format": "csv"}


@pytest.mark.parametrize(("form", "media_type"), exporting.FORMATS.items())
def test_a_file_is_named_and_of_its_type(acme: Tenant, form: str, media_type: str) -> None:
    answer = acme.api("admin").get(f"events/?format={form}")
    assert (answer["Content-Type"], answer["Content-Disposition"]) == (
        media_type,
        f'attachment; filename="acme-events.{form}"',
    )
    leave(answer)


def test_every_event_is_there_once_newest_first_however_many_share_a_moment(acme: Tenant) -> None:
    forget_events()
    at = timezone.now() - timedelta(minutes=1)
    own = [Event(organisation=acme.organisation, action="x", at=at) for _ in range(2 * exporting.PAGE + 7)]
    Event.objects.bulk_create(own)
    happen(acme, exporting.PAGE)
    found = lines(acme.api("admin").get("events/?format=ndjson"))
    wanted = Event.objects.filter(organisation=acme.organisation).order_by("-at", "-id")
    assert [event["id"] for event in found] == [str(pk) for pk in wanted.values_list("pk", flat=True)]


def test_an_export_is_on_record_before_its_first_byte(acme: Tenant) -> None:
    forget_events()
    answer = acme.api("admin").get("events/?format=csv")
    event = Event.objects.get()
    assert (event.action, event.result, event.detail) == ("record.export", "ok", {"format": "csv"})
    assert (event.actor_label.split(" (")[0], event.object_label) == ("admin key", "Acme Air")
    assert [row["action"] for row in cells(answer)] == ["record.export"]


@pytest.mark.parametrize("form", exporting.FORMATS)
def test_without_a_place_in_the_record_nothing_is_exported(acme: Tenant, form: str) -> None:
    happen(acme, 1, actor_label="nobody's business")
    actor = acme.actor("admin")
    with no_event_is_taken(), pytest.raises(Exception, match="disk is full"), transaction.atomic():
        exporting.export(actor, form)
    assert not exporting._running


def test_nothing_of_another_organisation_or_of_the_platform_is_in_it(acme: Tenant, globex: Tenant) -> None:
    globex.sqlite("Secret plans")
    events.not_theirs([acme.actor("admin")], "connection.get", {"connection": "somewhere"})
    own = {str(pk) for pk in Event.objects.filter(organisation=acme.organisation).values_list("pk", flat=True)}
    for form in exporting.FORMATS:
        text = body(acme.api("admin").get(f"events/?format={form}"))
        assert "Secret plans" not in text
        assert "globex" not in text
        assert own <= {line.split('"')[3] if form == "ndjson" else line.split(",")[0] for line in text.splitlines()}


@pytest.mark.parametrize("form", exporting.FORMATS)
def test_another_organisations_administrator_finds_nothing_and_lesser_roles_are_refused(
    acme: Tenant, globex: Tenant, form: str
) -> None:
    foreign = API("acme", globex.keys["admin"])
    assert foreign.get(f"events/?format={form}").status_code == 404
    for role in ("viewer", "analyst", "editor"):
        answer = acme.api(role).get(f"events/?format={form}")
        assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")
        with pytest.raises(Forbidden):
            exporting.export(acme.actor(role), form)
    assert not Event.objects.filter(action="record.export").exists()


def test_a_key_for_some_connections_only_exports_nothing(acme: Tenant) -> None:
    acme.sqlite()
    _, key = api_keys.create(acme.actor("admin"), "Restricted", "editor", connections=["shop"])
    APIKey.objects.filter(restricted=True).update(role="admin")
    assert API("acme", key).get("events/?format=csv").status_code == 403


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_is_escaped(acme: Tenant, text: str) -> None:
    forget_events()
    Event.objects.create(
        organisation=acme.organisation, actor_label=text, action=text, object_label=text, code=text, request_id=text
    )
    row = cells(acme.api("admin").get("events/?format=csv"))[1]
    for name in ("actor", "action", "object", "code", "request_id"):
        assert row[name] == f"'{text}"


def test_other_formats_and_pages_of_a_file_are_refused(acme: Tenant) -> None:
    api = acme.api("admin")
    assert [api.get(f"events/?format={name}").status_code for name in ("arrow", "parquet", "xlsx", "")] == [406] * 4
    assert api.get("events/", Accept="application/vnd.apache.parquet").status_code == 406
    for query in ("page_size=10", "cursor=x"):
        answer = api.get(f"events/?format=csv&{query}")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, f"/{query.split('=')[0]}")
    assert api.get("events/?format=json&page_size=1").json()["results"]


def test_many_events_take_no_more_memory_than_few(acme: Tenant) -> None:
    happen(acme, 20 * exporting.PAGE)
    answer = acme.api("admin").get("events/?format=ndjson")
    parts = iter(answer.streaming_content)
    tracemalloc.start()
    try:
        few = sum(len(next(parts)) for _ in range(4))
        peak_of_few = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        many = sum(len(part) for part in parts)
        peak_of_many = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert few + many > 20 * exporting.PAGE * 1000
    assert peak_of_many < 1.2 * peak_of_few


def test_a_page_is_read_when_it_is_asked_for(acme: Tenant) -> None:
    happen(acme, 5 * exporting.PAGE)
    export = exporting.export(acme.actor("admin"), "ndjson")
    next(export)
    with CaptureQueriesContext(
        database,
    ) as asked:
        next(export)
    assert len([query for query in asked if "connections_event" in query["sql"]]) == 1
    export.close()


def test_an_organisation_has_one_export_at_a_time(acme: Tenant, globex: Tenant) -> None:
    answer = acme.api("admin").get("events/?format=csv")
    refused = acme.api("admin").get("events/?format=ndjson")
    assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (429, "throttled", "10")
    body(globex.api("admin").get("events/?format=csv"))
    leave(answer)  # the caller went away
    body(acme.api("admin").get("events/?format=csv"))
    body(acme.api("admin").get("events/?format=csv"))


@pytest.fixture
def endless(acme: Tenant) -> Iterator[Tenant]:
    happen(acme, 3 * exporting.PAGE)
    yield acme
    assert not exporting._running


def test_an_export_ends_visibly_with_the_right_to_it(endless: Tenant, settings: Any) -> None:
    settings.CATALOG_RECHECK_SECONDS = 0
    answer = endless.api("admin").get("events/?format=ndjson")
    parts = iter(answer.streaming_content)
    next(parts)
    APIKey.objects.filter(role="admin").update(revoked_at=timezone.now())
    last = b"".join(parts).splitlines()[-1]
    assert json.loads(last)["error"]["code"] == "cancelled"


def test_csv_is_cut_off_with_the_right_to_it(endless: Tenant, settings: Any) -> None:
    settings.CATALOG_RECHECK_SECONDS = 0
    answer = endless.api("admin").get("events/?format=csv")
    APIKey.objects.filter(role="admin").update(revoked_at=timezone.now())
    with pytest.raises(BrokenOff, match=r"cancelled\.$"):
        b"".join(answer.streaming_content)


def test_an_export_that_is_read_too_slowly_ends(endless: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    export = exporting.export(endless.actor("admin"), "csv")
    monkeypatch.setattr(exporting, "MOST_SECONDS", 0.0)
    with pytest.raises(DeadlineError):
        b"".join(export)


@pytest.mark.django_db(transaction=True)
def test_while_a_part_is_read_nothing_of_the_database_is_held(acme: Tenant) -> None:
    happen(acme, 2 * exporting.PAGE)
    export = exporting.export(acme.actor("admin"), "csv")
    next(export), next(export)  # the head, and a page that nobody takes
    raw = database.connection
    held = raw.in_transaction if database.vendor == "sqlite" else raw.info.transaction_status.name != "IDLE"
    assert not held
    export.close()


def test_an_export_that_failed_gives_its_place_back(acme: Tenant) -> None:
    actor = acme.actor("admin")
    export = exporting.export(actor, "csv")
    with pytest.raises(ThrottledError):
        exporting.export(actor, "csv")
    export.close()
    exporting.export(actor, "csv").close()
