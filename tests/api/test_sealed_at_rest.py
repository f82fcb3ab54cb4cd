"""What a thief or a vandal of the database can do with sealed secrets: read nothing, and make nothing of them open."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.conf import settings
from django.core import serializers
from django.core.exceptions import FieldDoesNotExist
from django.db import connection as database

from connections.models import Connection, ConnectionSecrets, Slot
from connections.services import connections, vault
from connections.services.connections import Change
from connections.services.errors import Locked
from tests.catalogue import CANARY, Tenant
from tests.hostile.liar import Liar

Row = ConnectionSecrets
STAGE = "connections/warehouse/secrets/stage/"


def make(tenant: Tenant, port: int, name: str = "Warehouse") -> Connection:
    """A connection to a server that a test listens as: no name to look up, no TLS to fail before the password."""
    config = {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "tls": {"mode": "disable"}}
    change = Change(name=name, config=config, secrets={"password": CANARY})
    return connections.create(tenant.actor(), "postgresql", change)


def current(row: Connection) -> Any:
    return Row.objects.filter(connection=row, slot="current")


def of_another(acme: Tenant, globex: Tenant, port: int) -> dict[str, Any]:
    return {"blob": Row.objects.get(connection=make(acme, port, "Other")).blob}


def of_another_organisation(acme: Tenant, globex: Tenant, port: int) -> dict[str, Any]:
    return {"blob": Row.objects.get(connection=make(globex, port)).blob}


def of_before(acme: Tenant, globex: Tenant, port: int) -> dict[str, Any]:
    row = Connection.objects.get(slug="warehouse", organisation=acme.organisation)
    before = current(row).get()
    connections.update(acme.actor(), row, Change(secrets={"password": "newer"}))
    return {"blob": before.blob}


def all_of_before(acme: Tenant, globex: Tenant, port: int) -> dict[str, Any]:
    row = Connection.objects.get(slug="warehouse", organisation=acme.organisation)
    before = current(row).get()
    connections.update(acme.actor(), row, Change(secrets={"password": "newer"}))
    return {"blob": before.blob, "generation": before.generation, "names": before.names}


def under_another_key(acme: Tenant, globex: Tenant, port: int) -> dict[str, Any]:
    blob = bytes(Row.objects.get(organisation=acme.organisation).blob)
    at = blob.index(b"org-1")
    return {"blob": blob[:at] + b"org-2" + blob[at + 5 :]}


def literally(**change: Any) -> Any:
    return lambda *_: change


def edited(acme: Tenant, globex: Tenant, port: int) -> dict[str, Any]:
    blob = bytearray(Row.objects.get(organisation=acme.organisation).blob)
    blob[len(blob) // 2] ^= 1
    return {"blob": bytes(blob)}


VANDALISM = {
    "another connection's": of_another,
    "another organisation's": of_another_organisation,
    "the bytes of before": of_before,
    "the row of before": all_of_before,
    "the key's id replaced": under_another_key,
    "a byte edited": edited,
    "a name in it renamed": literally(names={"Password": "2026-01-01T00:00:00Z"}),
    "another slot's": literally(slot="previous"),
    "another generation": literally(generation=7),
    "another endpoint's": literally(fingerprint="0" * 64),
    "empty": literally(blob=b""),
    "cut": literally(blob=b"\x01k1"),
    "plain text": literally(blob=json.dumps({"password": CANARY}).encode()),
    "an old format": literally(blob=b"gAAAAAB" + base64.b64encode(b"x" * 60)),
}


@pytest.mark.parametrize("how", VANDALISM)
def test_what_was_moved_or_edited_is_locked_and_nobody_is_asked(acme: Tenant, globex: Tenant, how: str) -> None:
    with Liar(lambda wire: wire.silence()) as liar:
        row = make(acme, liar.port)
        change = VANDALISM[how](acme, globex, liar.port)
        assert current(row).update(**change) == 1
        body = {"query": {"sql": "select 1"}}
        answer = acme.api().post(f"connections/{row.slug}/preview/", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "locked"), answer.content
        assert CANARY not in answer.content.decode()
        checked = acme.api().post(f"connections/{row.slug}/status/")
        assert checked.status_code == 409 or checked.json()["code"] == "locked", checked.content
        assert acme.api().get(f"connections/{row.slug}/").json()["state"] == "locked"
        assert liar.accepted == 0


def test_a_connection_that_is_said_to_have_no_secrets_is_locked_where_it_has(acme: Tenant) -> None:
    with Liar(lambda wire: wire.silence()) as liar:
        row = make(acme, liar.port)
        Connection.objects.filter(pk=row.pk).update(secrets_generation=0)
        answer = acme.api().post(f"connections/{row.slug}/preview/", {"query": {"sql": "select 1"}})
        assert (answer.status_code, answer.json()["code"]) == (409, "locked"), answer.content
        assert acme.api().get(f"connections/{row.slug}/").json()["state"] == "locked"
        assert acme.api().patch(f"connections/{row.slug}/", {"secrets": {"password": CANARY}}).status_code == 200
        assert vault.unseal(Connection.objects.get(pk=row.pk)) == {"password": CANARY}
        assert liar.accepted == 0


@pytest.mark.parametrize("names", [{}, {"Password": "2026-01-01T00:00:00Z"}, []])
def test_names_that_were_edited_away_let_nothing_be_tried_or_changed_without_the_secret(
    acme: Tenant, names: Any
) -> None:
    with Liar(lambda wire: wire.silence()) as liar:
        row = make(acme, liar.port)
        current(row).update(names=names)
        before = bytes(current(row).get().blob)
        elsewhere = {"config": {"host": "localhost"}}
        for answer in (
            acme.api().post("connections/test/", {"connection": row.slug, "config": {"database": "e"}}),
            acme.api().post("connections/test/", {"connection": row.slug, **elsewhere}),
            acme.api().patch(f"connections/{row.slug}/", {"config": {"database": "e"}}),
            acme.api().patch(f"connections/{row.slug}/", elsewhere),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "locked"), answer.content
        assert (liar.accepted, bytes(current(row).get().blob)) == (0, before)
        assert acme.api().patch(f"connections/{row.slug}/", {"secrets": {"password": CANARY}}).status_code == 200
        assert vault.unseal(Connection.objects.get(pk=row.pk)) == {"password": CANARY}


def staged_again(api: Any) -> None:
    assert api.post(STAGE, {"secrets": {"password": "third"}}).status_code == 200


def dropped(api: Any) -> None:
    assert api.delete(STAGE).status_code == 204


def dropped_and_staged_again(api: Any) -> None:
    dropped(api)
    staged_again(api)


def saved(api: Any) -> None:
    assert api.patch("connections/warehouse/", {"secrets": {"password": "third"}}).status_code == 200


def promoted(api: Any) -> None:
    assert api.post("connections/warehouse/secrets/promote/").status_code == 200


@pytest.mark.parametrize("since", [staged_again, dropped, dropped_and_staged_again, saved, promoted])
def test_pending_secrets_of_before_that_are_put_back_are_locked_and_nobody_is_asked(acme: Tenant, since: Any) -> None:
    with Liar(lambda wire: None) as liar:
        row, api = make(acme, liar.port), acme.api()
        assert api.post(STAGE, {"secrets": {"password": "second"}}).status_code == 200
        Row.objects.filter(slot="pending").update(tested_ok=True)
        with database.cursor() as cursor:
            cursor.execute("create temporary table taken as select * from connections_connectionsecrets")
            since(api)
            asked = liar.accepted
            cursor.execute("delete from connections_connectionsecrets where slot = 'pending'")
            cursor.execute("insert into connections_connectionsecrets select * from taken where slot = 'pending'")
            assert cursor.rowcount == 1
            cursor.execute("drop table taken")
        fresh = connections.get(acme.actor(), row.slug)
        with pytest.raises(Locked):
            vault.unseal(fresh, Slot.PENDING)
        answer = api.post("connections/warehouse/secrets/promote/")
        assert (answer.status_code, answer.json()["code"]) == (409, "locked"), answer.content
        assert liar.accepted == asked
        assert "second" not in answer.content.decode()
        assert api.get("connections/warehouse/").json()["rotation"]["pending"]["code"] == "locked"
        staged_again(api)
        assert vault.unseal(connections.get(acme.actor(), row.slug), Slot.PENDING) == {"password": "third"}


def test_pending_secrets_from_before_there_was_a_counter_are_to_be_staged_again(acme: Tenant) -> None:
    with Liar(lambda wire: None) as liar:
        row, api = make(acme, liar.port), acme.api()
        api.post(STAGE, {"secrets": {"password": "second"}})
        Connection.objects.filter(pk=row.pk).update(staged_generation=0)
        answer = api.post("connections/warehouse/secrets/promote/")
        assert (answer.status_code, answer.json()["code"]) == (409, "locked")
        assert "Enter the secrets again" in answer.json()["hint"]
        staged_again(api)
        assert vault.unseal(connections.get(acme.actor(), row.slug), Slot.PENDING) == {"password": "third"}


def test_no_cell_of_the_database_holds_a_secret_or_a_key(acme: Tenant, globex: Tenant) -> None:
    make(acme, 5432)
    make(globex, 5432)
    ring = [entry.partition(":")[2] for entry in settings.CATALOG_KEYS.split(",")]
    raw = [base64.urlsafe_b64decode(entry + "=" * (-len(entry) % 4)) for entry in ring]
    wanted = [CANARY.encode(), json.dumps(CANARY)[1:-1].encode(), base64.b64encode(CANARY.encode()), *raw]
    wanted += [entry.encode() for entry in ring]
    with database.cursor() as cursor:
        cells = 0
        for table in database.introspection.table_names(cursor):
            cursor.execute(f"select * from {database.ops.quote_name(table)}")
            for cell in (cell for row in cursor.fetchall() for cell in row if cell is not None):
                content = bytes(cell) if isinstance(cell, bytes | memoryview) else str(cell).encode()
                cells += 1
                for secret in wanted:
                    assert secret not in content, table
    assert cells > 100


def test_a_dump_that_is_loaded_opens_under_its_own_ids_and_no_other(acme: Tenant) -> None:
    row = make(acme, 5432)
    dump = serializers.serialize("json", [row, *Row.objects.filter(connection=row)])
    assert CANARY not in dump
    own_id = row.pk
    row.delete()
    for loaded in serializers.deserialize("json", dump):
        loaded.save()
    again = Connection.objects.get(pk=own_id)
    assert vault.unseal(again) == {"password": CANARY}
    other = make(acme, 5432, "Other")
    own = current(other).get()
    for loaded in serializers.deserialize("json", dump):
        if isinstance(loaded.object, ConnectionSecrets):
            own.delete()
            loaded.object.pk, loaded.object.connection_id = own.pk, other.pk
            loaded.object.save(force_insert=True)
    with pytest.raises(Locked):
        vault.unseal(Connection.objects.get(pk=other.pk))


def test_ways_around_the_services_store_no_plain_secret_that_is_used(acme: Tenant) -> None:
    row = make(acme, 5432)
    for name in ("password", "secrets", "secret"):
        with pytest.raises(FieldDoesNotExist):
            Connection.objects.update(**{name: CANARY})
    Row.objects.all().delete()
    Row.objects.bulk_create(
        [
            Row(
                organisation=acme.organisation,
                connection=row,
                slot="current",
                generation=row.secrets_generation,
                blob=json.dumps({"password": CANARY}).encode(),
                names={"password": "2026-01-01T00:00:00Z"},
                fingerprint=vault.fingerprint(row),
            )
        ]
    )
    with pytest.raises(Locked):
        vault.unseal(Connection.objects.get(pk=row.pk))


def test_a_deleted_connection_leaves_nothing_sealed_and_nothing_in_the_record(acme: Tenant) -> None:
    row = make(acme, 5432)
    blob = bytes(current(row).get().blob)
    connections.update(acme.actor(), row, Change(secrets={"password": "newer"}))
    assert acme.api().delete(f"connections/{row.slug}/").status_code == 204
    assert not Row.objects.exists()
    events = json.dumps(acme.api("admin").get("events/").json())
    assert CANARY not in events
    assert base64.b64encode(blob).decode()[:40] not in events
