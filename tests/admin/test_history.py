"""The history of a connection: changes and checks on one line of time, and the way back to earlier settings."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from connections.admin.streaks import Happening, length, sentences
from connections.models import (
    Connection,
    ConnectionRevision,
    ConnectionUse,
    Event,
    StatusCheck,
)
from connections.services import connections, events, rotation, vault
from connections.services.connections import Change
from tests.admin.pages import Page
from tests.admin.test_editing import BASE
from tests.catalogue import CANARY, Tenant
from tests.services.rotating import elsewhere, promoted

CONFIG = {"host": "db.example.com", "database": "sales", "user": "reader"}
ROLES = ("viewer", "analyst", "editor", "admin")
START = datetime(2026, 1, 1, tzinfo=UTC)


def make(tenant: Tenant) -> Connection:
    return connections.create(
        tenant.actor(), "postgresql", Change(name="Warehouse", config=CONFIG, secrets={"password": CANARY})
    )


def update(tenant: Tenant, row: Connection, **change: Any) -> Connection:
    return connections.update(tenant.actor(), row, Change(**change))


def check(row: Connection, ok: bool | None, at: datetime) -> StatusCheck:
    report: dict[str, Any] = {"ok": ok, "message": "" if ok else "The server rejected the password.", "steps": []}
    return StatusCheck.objects.create(
        organisation_id=row.organisation_id,
        connection=row,
        access_version=row.access_version,
        ok=ok,
        report=report,
        duration_ms=1,
        site="test",
        checked_at=at,
    )


def edited_at(row: Connection) -> datetime:
    return Event.objects.filter(object_id=str(row.pk), action="connection.update").latest("at").at


def told(html: str) -> list[str]:
    """The sentences of a history page, newest first."""
    return [unescape(found) for found in re.findall(r'<em class="timeline-sentence">(.*?)</em>', html)]


def page(tenant: Tenant, row: Connection, role: str = "admin", query: str = "") -> str:
    response = tenant.browser(role).get(f"{BASE}/{row.pk}/history/{query}")
    assert response.status_code == 200
    return response.content.decode()


# Sentences ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["admin", "viewer"])
def test_an_edit_before_the_first_failure_is_told_at_both(acme: Tenant, role: str) -> None:
    row = make(acme)
    check(row, True, timezone.now())
    row = update(acme, row, config={"database": "other"})
    at = edited_at(row)
    check(row, False, at + timedelta(minutes=3, seconds=20))
    check(row, False, at + timedelta(minutes=9))
    assert told(page(acme, row, role)) == [
        "First failure. Edited 3 minutes before.",
        "Edited 3 minutes before the first failure.",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_new_secrets_are_an_edit_and_a_new_name_is_none(acme: Tenant, role: str) -> None:
    row = make(acme)
    check(row, True, timezone.now())
    row = update(acme, row, secrets={"password": "new"})
    row = update(acme, row, name="Renamed")
    at = Event.objects.get(action="connection.update", changes__has_key="secrets").at
    check(row, False, at + timedelta(hours=2))
    found = told(page(acme, row, role))
    assert found == ["First failure. Edited 2 hours before.", "Edited 2 hours before the first failure."]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("done", "words"), [("promote", "New secrets promoted"), ("rollback", "Old secrets taken back")]
)
def test_secrets_promoted_and_taken_back_are_edits_for_every_role(
    acme: Tenant, done: str, words: str, role: str
) -> None:
    row = promoted(acme, elsewhere(acme))
    if done == "rollback":
        row = rotation.rollback(acme.actor(), row)
    check(row, True, row.created_at)
    event = Event.objects.get(action=f"connection.{done}")
    check(row, False, event.at + timedelta(minutes=3))
    html = page(acme, row, role)
    assert f"<b>{words}</b> by {event.actor_label}" in html
    assert told(html) == [f"First failure. {words} 3 minutes before.", f"{words} 3 minutes before the first failure."]


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
def test_of_changed_secrets_the_line_says_who_and_when_and_not_which(acme: Tenant, role: str) -> None:
    row = update(acme, make(acme), secrets={"password": "new"})
    event = Event.objects.get(action="connection.update")
    entry = page(acme, row, role).split("<b>Edited</b>")[1].split("</li>")[0]
    assert f"by {event.actor_label}" in entry
    assert "<b>secrets" in entry
    assert not any(told in entry for told in ("password", str(event.pk), event.request_id))


@pytest.mark.parametrize("role", ROLES)
def test_settings_and_secrets_changed_at_once_are_one_edit(acme: Tenant, role: str) -> None:
    row = update(acme, make(acme), config={"host": "other.example.com"}, secrets={"password": "new"})
    assert page(acme, row, role).count("<b>Edited</b>") == 1


def test_what_was_mended_is_told_too(acme: Tenant) -> None:
    row = make(acme)
    check(row, False, timezone.now())
    row = update(acme, row, config={"database": "other"})
    check(row, True, edited_at(row) + timedelta(minutes=5))
    assert told(page(acme, row))[:2] == [
        "Works again after 5 minutes. Edited 5 minutes before.",
        "Edited 5 minutes before it worked again.",
    ]


def test_a_sentence_does_not_change_where_one_page_ends_and_the_next_begins(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make(acme)
    check(row, True, timezone.now())
    row = update(acme, row, config={"database": "other"})
    at = edited_at(row)
    for minute in range(3, 8):
        check(row, False, at + timedelta(minutes=minute))
    whole = told(page(acme, row))
    assert len(whole) == 2
    for role in ("admin", "viewer"):
        for size in range(1, 6):
            monkeypatch.setattr("connections.admin.timeline.PAGE", size)
            parts: list[str] = []
            query: str | None = ""
            while query is not None:
                html = page(acme, row, role, query)
                parts += told(html)
                older = re.search(r'href="(\?before=[^"]+)"', html)
                query = unescape(older[1]) if older else None
            assert parts == whole, (role, size)


def _line(*marks: str) -> list[Happening]:
    """A letter each, a minute apart: ``+`` a passing check, ``-`` a failing one, ``?`` one that could not tell."""
    checks = {"+": True, "-": False, "?": None}
    return [
        Happening(START + timedelta(minutes=minute), uuid4(), checks.get(mark), "" if mark in checks else "Edited")
        for minute, mark in enumerate(marks)
    ]


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ("e+e+", {}),
        ("e-", {0: "Edited 1 minute before the first failure.", 1: "First failure. Edited 1 minute before."}),
        ("+e+-", {3: "First failure."}),
        ("+e?-", {1: "Edited 2 minutes before the first failure.", 3: "First failure. Edited 2 minutes before."}),
        ("+ee-", {2: "Edited 1 minute before the first failure.", 3: "First failure. Edited 1 minute before."}),
        ("--", {0: "First failure."}),
        ("+-e-", {1: "First failure."}),
        ("+-+-", {1: "First failure.", 2: "Works again after 1 minute.", 3: "First failure."}),
    ],
)
def test_only_what_lies_between_an_edit_and_the_next_check_binds_them(marks: str, expected: dict[int, str]) -> None:
    line = _line(*marks)
    assert sentences(reversed(line)) == {line[place].id: words for place, words in expected.items()}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 seconds"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (7200, "2 hours"), (90_000, "1 day")],
)
def test_a_length_of_time_is_told_in_its_largest_unit(seconds: int, words: str) -> None:
    assert length(timedelta(seconds=seconds)) == words


# Restore -----------------------------------------------------------------------------------------------------------


def test_earlier_settings_are_restored_from_the_history_after_a_look_at_the_difference(acme: Tenant) -> None:
    row = update(acme, make(acme), config={"database": "other", "connect_timeout": 5})
    for role, offered in (("viewer", False), ("analyst", False), ("editor", True), ("admin", True)):
        assert (f"{row.pk}/history/1/restore/" in page(acme, row, role)) is offered, role
    assert f"{row.pk}/history/2/restore/" not in page(acme, row)
    browser = acme.browser("editor")
    path = f"{BASE}/{row.pk}/history/1/restore/"
    asked = browser.get(path).content.decode()
    changes = asked.split('class="changes"')[1].split("</ul>")[0]
    assert sorted(re.findall(r"<b>(.*?)</b>", changes)) == ["config.connect_timeout", "config.database"]
    assert '<del dir="auto">other</del>' in changes
    assert '<ins dir="auto">sales</ins>' in changes
    row.refresh_from_db()
    assert row.config["database"] == "other"
    done = browser.post(path, {"version": "2"})
    assert (done.status_code, done["Location"]) == (302, f"{BASE}/{row.pk}/change/")
    row = connections.get(acme.actor(), row.slug)
    assert (row.config["database"], row.version, vault.unseal(row)) == ("sales", 3, {"password": CANARY})
    assert "connection.restore" in page(acme, row)


def test_a_restore_that_sends_a_secret_elsewhere_asks_for_it_and_shows_it_nowhere(acme: Tenant) -> None:
    row = update(acme, make(acme), config={"host": "new.example.com"}, secrets={"password": "other"})
    browser = acme.browser("editor")
    path = f"{BASE}/{row.pk}/history/1/restore/"
    assert not [found for found in Page(browser.get(path).content.decode()).inputs if found.get("type") == "password"]
    refused = browser.post(path, {"version": "2"})
    assert refused.status_code == 200
    (field,) = [found for found in Page(refused.content.decode()).inputs if found.get("type") == "password"]
    name = str(field["name"])
    stale = browser.post(path, {"version": "1", name: CANARY}).content.decode()
    assert "Load it again" in stale
    assert CANARY not in unescape(stale)
    assert browser.post(path, {"version": "2", name: CANARY}).status_code == 302
    row = connections.get(acme.actor(), row.slug)
    assert (row.config["host"], vault.unseal(row)) == ("db.example.com", {"password": CANARY})


def test_a_version_that_is_not_there_or_is_anothers_is_not_found(acme: Tenant, globex: Tenant) -> None:
    row = make(acme)
    for version in (2, 10**12):
        assert acme.browser("editor").get(f"{BASE}/{row.pk}/history/{version}/restore/").status_code == 404
    assert globex.browser("admin").get(f"{BASE}/{row.pk}/history/1/restore/").status_code == 404
    assert "nothing to restore" in acme.browser("editor").get(f"{BASE}/{row.pk}/history/1/restore/").content.decode()


def test_a_history_without_versions_is_shown(acme: Tenant) -> None:
    row = make(acme)
    ConnectionRevision.objects.all().delete()
    for role in ("viewer", "admin"):
        assert "restore/" not in page(acme, row, role)


# The list ----------------------------------------------------------------------------------------------------------


def test_the_list_tells_what_expires_and_who_used_what_and_filters_by_it(
    acme: Tenant, django_assert_max_num_queries: Any
) -> None:
    row, quiet = make(acme), make(acme)
    end = timezone.now() + timedelta(days=3)
    Connection.objects.filter(pk=row.pk).update(secrets_expire_at=end)
    Connection.objects.filter(pk=quiet.pk).update(secrets_expire_at=end + timedelta(days=300), name="Quiet")
    ConnectionUse.objects.create(
        connection=row, organisation=acme.organisation, uses=7, last_used_at=timezone.now(), last_used_by="<b>etl</b>"
    )
    browser = acme.browser("viewer")
    html = browser.get(f"{BASE}/").content.decode()
    assert f"{end:%Y-%m-%d}" in html
    assert "&lt;b&gt;etl&lt;/b&gt;" in html
    for days, names in (("1", []), ("7", ["Warehouse"]), ("30", ["Warehouse"]), ("5", [])):
        found = browser.get(f"{BASE}/?expiring={days}").content.decode()
        listed = re.findall(r'<th class="field-shown_name"><a[^>]*>(.*?)<span', found)
        assert listed == names, days
    html = browser.get(f"{BASE}/{row.pk}/change/").content.decode()
    assert re.search(r"used 7 times, last on [\d :-]+ UTC by &lt;b&gt;etl&lt;/b&gt;", html)
    for number in range(10):
        make(acme)
        ConnectionUse.objects.create(
            connection=Connection.objects.latest("created_at"),
            organisation=acme.organisation,
            uses=number,
            last_used_at=timezone.now(),
            last_used_by="etl",
        )
    with django_assert_max_num_queries(20):
        browser.get(f"{BASE}/")


def test_dates_by_hand_are_entered_on_a_page_of_their_own(acme: Tenant) -> None:
    row = make(acme)
    browser = acme.browser("editor")
    path = f"{BASE}/{row.pk}/expiry/"
    assert 'type="date"' in browser.get(path).content.decode()
    assert browser.post(path, {"version": "1", "password": "2031-02-28"}).status_code == 302
    row.refresh_from_db()
    assert row.secrets_expire_at == datetime(2031, 2, 28, tzinfo=UTC)
    assert 'value="2031-02-28"' in browser.get(path).content.decode()
    for sent, words in (({"version": "2", "password": "soon"}, "valid date"), ({"version": "1"}, "Load it again")):
        assert words in browser.post(path, sent).content.decode()
    assert browser.post(path, {"version": "2", "password": ""}).status_code == 302
    row = Connection.objects.get(pk=row.pk)
    assert (row.secrets_expire_at, row.version) == (None, 3)


def test_the_first_page_names_what_ends_soon_the_first_first(acme: Tenant) -> None:
    for name, days in (("Later", 20), ("Over", -3), ("Soon", 2), ("Far", 200)):
        row = make(acme)
        Connection.objects.filter(pk=row.pk).update(name=name, secrets_expire_at=timezone.now() + timedelta(days=days))
    html = acme.browser("viewer").get("/admin/").content.decode()
    section = html.split('id="expiring"')[1].split("</section>")[0]
    assert re.findall(r'change/">(.*?)</a>', section) == ["Over", "Soon", "Later"]


@pytest.mark.parametrize("role", ["admin", "editor"])
def test_the_edit_is_told_beside_the_failure_though_a_page_of_reads_lies_between(acme: Tenant, role: str) -> None:
    row = make(acme)
    row = update(acme, row, config={"host": "other.example.com"}, secrets={"password": CANARY})
    edited = Event.objects.filter(object_id=str(row.pk), action="connection.update").latest("at")
    for _number in range(70):
        events.record(acme.actor("analyst"), "connection.preview", row)
    check(row, False, edited.at + timedelta(minutes=3))
    assert told(page(acme, row, role))[0] == "First failure. Edited 3 minutes before."
