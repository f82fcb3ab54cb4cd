"""The expiry radar: what is known of when secrets end, without opening one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections.models import Connection, ConnectionSecrets, Event, Slot
from connections.sealing.secrets import SealedSecrets
from connections.services import connections, drafts, expiry, slots, sources, state
from connections.services.connections import Change
from connections.services.errors import Invalid
from tests.catalogue import Tenant
from tests.services.test_endings import END, pem, token

CONFIG = {"host": "db.example.com", "database": "sales", "user": "reader"}
ISO = "2031-05-06T07:08:09Z"


def make(tenant: Tenant, expiries: Any = None, config: Any = None, **secrets: Any) -> Connection:
    change = Change(name="Warehouse", config={**CONFIG, **(config or {})}, secrets=secrets, expiries=expiries)
    return connections.create(tenant.actor(), "postgresql", change)


def update(tenant: Tenant, row: Connection, **change: Any) -> Connection:
    return connections.update(tenant.actor(), row, Change(**change))


def stored(row: Connection) -> Any:
    return ConnectionSecrets.objects.get(connection=row).expiries


def ends_in(row: Connection, left: timedelta) -> Connection:
    """The connection, read anew, whose password ends after ``left``."""
    end = timezone.now() + left
    update_ = {"password": {"at": end.isoformat(), "from": "manual"}}
    ConnectionSecrets.objects.filter(connection=row).update(expiries=update_)
    Connection.objects.filter(pk=row.pk).update(secrets_expire_at=end)
    return connections.visible(_Whose(row)).get(pk=row.pk)  # type: ignore[arg-type]


class _Whose:
    def __init__(self, row: Connection) -> None:
        self.organisation_id = row.organisation_id
        self.reach = None


def test_a_certificate_tells_its_end_when_it_is_set(acme: Tenant) -> None:
    row = make(acme, password="p", tls={"certificate": pem(END), "key": "PEM"})
    assert stored(row) == {"tls.certificate": {"at": ISO, "from": "certificate"}}
    assert row.secrets_expire_at == END
    shown = state.secrets_shown(row)
    assert shown["tls"]["certificate"]["expires_at"] == ISO
    assert shown["tls"]["certificate"]["expiries"] == [{"at": ISO, "from": "certificate"}]
    assert set(shown["password"]) == {"set", "updated_at"}


def test_a_certificate_in_the_settings_counts_without_any_secret(acme: Tenant) -> None:
    end = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
    row = make(acme, config={"tls": {"ca": pem(end, authority=True)}})
    assert row.secrets_expire_at == end
    assert [(w["code"], w["field"]) for w in state.warnings(row)] == [("expiring", "/config/tls/ca")]
    row = update(acme, row, config={"tls": {"ca": None}})
    assert row.secrets_expire_at is None


def test_a_date_by_hand_and_a_found_one_are_both_kept_and_the_earlier_counts(acme: Tenant) -> None:
    row = make(acme, {"password": "2030-01-01"}, password=token({"exp": int(END.timestamp())}))
    assert stored(row) == {"password": {"at": ISO, "from": "jwt", "manual": "2030-01-01T00:00:00Z"}}
    assert row.secrets_expire_at == datetime(2030, 1, 1, tzinfo=UTC)
    shown = state.secrets_shown(row)["password"]
    assert shown["expires_at"] == "2030-01-01T00:00:00Z"
    assert [end["from"] for end in shown["expiries"]] == ["manual", "jwt"]
    row = update(acme, row, expiries={"password": None})
    assert stored(row) == {"password": {"at": ISO, "from": "jwt"}}
    assert row.secrets_expire_at == END


def test_a_date_by_hand_opens_nothing_and_is_a_version_and_an_event(acme: Tenant) -> None:
    row = make(acme, password="p")
    ConnectionSecrets.objects.filter(connection=row).update(blob=b"\x01broken")
    row = update(acme, connections.get(acme.actor(), row.slug), expiries={"password": "2030-02-03T04:05:06+02:00"})
    assert stored(row)["password"] == {"at": "2030-02-03T02:05:06Z", "from": "manual"}
    assert (row.version, row.access_version) == (2, 1)
    event = Event.objects.filter(action="connection.update").latest("at")
    assert event.changes == {"expiries": [{"password": None}, {"password": "2030-02-03T02:05:06Z"}]}


def test_a_new_value_has_neither_the_found_end_nor_the_date_of_the_one_before(acme: Tenant) -> None:
    row = make(acme, {"password": "2030-01-01"}, password=token({"exp": int(END.timestamp())}))
    row = update(acme, row, secrets={"password": "plain"})
    assert stored(row) == {}
    assert row.secrets_expire_at is None


def test_a_new_value_takes_the_date_that_comes_with_it(acme: Tenant) -> None:
    row = make(acme, {"password": "2030-01-01"}, password="p")
    row = update(acme, row, secrets={"password": "new"}, expiries={"password": "2032-01-01"})
    assert stored(row) == {"password": {"at": "2032-01-01T00:00:00Z", "from": "manual"}}


def test_what_is_kept_keeps_its_ends_when_other_things_change(acme: Tenant) -> None:
    row = make(acme, {"password": "2030-01-01"}, password="p", tls={"certificate": pem(END), "key": "PEM"})
    before = stored(row)
    row = update(acme, row, name="Renamed")
    row = update(acme, row, config={"database": "other"})
    assert stored(row) == before
    row = update(acme, row, secrets={"tls": {"certificate": None, "key": None}})
    assert stored(row) == {"password": {"at": "2030-01-01T00:00:00Z", "from": "manual"}}


@pytest.mark.parametrize(
    ("expiries", "pointer"),
    [
        ({"password": "soon"}, "/expiries/password"),
        ({"password": 5}, "/expiries/password"),
        ({"password": "2030-02-30"}, "/expiries/password"),
        ({"password": "2030-01-01T00:00:00"}, "/expiries/password"),
        ({"nothing": "2030-01-01"}, "/expiries/nothing"),
        ({"tls": {"certificate": "2030-01-01"}}, "/expiries/tls/certificate"),
        ([], "/expiries"),
    ],
)
def test_a_date_that_is_none_and_a_secret_that_is_not_set_are_refused(
    acme: Tenant, expiries: Any, pointer: str
) -> None:
    row = make(acme, password="p")
    if expiries == []:
        expiries = ["x"]
    with pytest.raises(Invalid) as caught:
        update(acme, row, name="Not this", expiries=expiries)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]
    assert Connection.objects.get(pk=row.pk).name == "Warehouse"


@pytest.mark.parametrize(
    ("left", "code", "within", "words"),
    [
        (timedelta(days=31), None, None, ""),
        (timedelta(days=29, hours=1), "expiring", 30, "in 29 days"),
        (timedelta(days=6, hours=1), "expiring", 7, "in 6 days"),
        (timedelta(days=1, hours=1), "expiring", 7, "in 1 day,"),
        (timedelta(hours=5), "expiring", 1, "within a day"),
        (timedelta(hours=-5), "expired", None, "expired on"),
    ],
)
def test_warnings_come_thirty_seven_and_one_day_before_and_after(
    acme: Tenant, left: timedelta, code: str | None, within: int | None, words: str
) -> None:
    row = ends_in(make(acme, password="p"), left)
    found = state.warnings(row)
    if code is None:
        assert found == []
        return
    (warning,) = found
    assert (warning["code"], warning.get("within_days"), warning["field"]) == (code, within, "/secrets/password")
    assert words in warning["message"]
    assert warning["message"].startswith("The secret password ")


def test_nothing_is_opened_to_list_what_expires(
    acme: Tenant, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in range(3):
        row = make(acme, {"password": "2026-01-01"}, password=f"p{name}")
    monkeypatch.setattr(SealedSecrets, "open", _refuse)
    ConnectionSecrets.objects.filter(connection=row).update(expiries={"password": "nonsense", "x": {"at": 5}})
    with django_assert_max_num_queries(6):
        rows = list(connections.search(acme.actor("viewer"), expiring=7))
        codes = [[warning["code"] for warning in state.warnings(found)] for found in rows]
    assert sorted(codes) == [[], ["expired"], ["expired"]]
    assert list(connections.search(acme.actor("viewer"), expiring=0)) == rows


def _refuse(*args: Any) -> Any:
    raise AssertionError("A list opened a secret.")


def test_a_copy_has_no_secrets_and_so_none_of_their_ends(acme: Tenant) -> None:
    row = make(acme, {"password": "2030-01-01"}, password="p")
    assert connections.clone(acme.actor(), row).secrets_expire_at is None


def test_what_settings_in_plain_tell_is_found_by_path() -> None:
    told = expiry.found({"a": {"b": token({"exp": int(END.timestamp())})}, "c": "p", "d": 5}, {"tls": {"ca": "x"}})
    assert told == {"a.b": {"at": ISO, "from": "jwt"}}


def test_ends_of_secrets_move_with_them_between_slots(acme: Tenant) -> None:
    row = make(acme, {"password": "2030-01-01"}, password="p", tls={"certificate": pem(END), "key": "PEM"})
    adapter = sources.chosen("postgresql", acme.organisation)
    end = (timezone.now() + timedelta(days=5)).replace(microsecond=0)
    staged = slots.stage(row, drafts.changed(adapter, row, {}, {"tls": {"certificate": pem(end), "key": "PEM"}}))
    by_hand = {"at": "2030-01-01T00:00:00Z", "from": "manual"}  # of the password, which stays
    told = end.isoformat().replace("+00:00", "Z")
    assert staged.expiries == {"password": by_hand, "tls.certificate": {"at": told, "from": "certificate"}}
    row.refresh_from_db()
    assert row.secrets_expire_at == datetime(2030, 1, 1, tzinfo=UTC)
    slots.make_current(row, Slot.PENDING, kept_until=timezone.now() + timedelta(hours=1))
    row.refresh_from_db()
    assert row.secrets_expire_at == end
    slots.make_current(row, Slot.PREVIOUS, kept_until=timezone.now() + timedelta(hours=1))
    row.refresh_from_db()
    assert row.secrets_expire_at == datetime(2030, 1, 1, tzinfo=UTC)
