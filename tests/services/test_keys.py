"""The life of keys: what is counted, moved, renewed, retired and erased, and what stays as it was."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError

from connections.models import Connection, ConnectionSecrets, Event, OrganisationKey
from connections.sealing.keyring import make_entry
from connections.services import connections, state, tenancy, vault
from connections.services.connections import Change
from connections.services.errors import Conflict, Locked, NotFound
from connections.services.keys import counting, ending, renewing, rewrapping, verifying
from connections.services.keys.batches import batches
from connections.services.keys.swapping import Swap, swap
from tests.api.test_no_record_no_action import no_event_is_taken
from tests.catalogue import CANARY, Tenant

CONFIG = {"host": "db.example.com", "port": 5432, "database": "sales", "user": "reader"}


def make(tenant: Tenant, name: str = "Warehouse") -> Connection:
    return connections.create(
        tenant.actor(), "postgresql", Change(name=name, config=CONFIG, secrets={"password": CANARY})
    )


def stored(row: Connection) -> dict[str, Any]:
    return vault.unseal(Connection.objects.get(pk=row.pk))


@pytest.fixture
def second_key(settings: Any) -> str:
    """The ring has ``k2`` as its newest key from now on."""
    added = make_entry("k2")
    settings.CATALOG_KEYS = f"{settings.CATALOG_KEYS},{added}"
    return added


def ring_keys() -> list[str]:
    return list(OrganisationKey.objects.order_by("organisation", "version").values_list("ring_key", flat=True))


def run(steps: Any) -> rewrapping.Progress:
    return [rewrapping.Progress(), *steps][-1]


def test_rotation_moves_every_organisation_key_and_leaves_secrets_alone(acme: Tenant, globex: Tenant, second_key: str):
    rows = [make(acme), make(globex)]
    before = list(ConnectionSecrets.objects.order_by("pk").values_list("blob", flat=True))
    assert run(rewrapping.rotate(batch=1)) == rewrapping.Progress(moved=2)
    assert ring_keys() == ["k2", "k2"]
    assert [bytes(b) for b in ConnectionSecrets.objects.order_by("pk").values_list("blob", flat=True)] == [
        bytes(b) for b in before
    ]
    assert [stored(row) for row in rows] == [{"password": CANARY}] * 2


def test_rotation_is_on_the_platforms_record_with_its_counts(acme: Tenant, globex: Tenant, second_key: str):
    run(rewrapping.rotate())
    event = Event.objects.get(action="key.rewrap")
    assert (event.organisation, event.actor_kind, event.object_id) == (None, "system", "k2")
    assert event.detail == {"organisation_keys": 2}


def test_a_rotation_that_cannot_be_recorded_moves_nothing(
    acme: Tenant, second_key: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(**fields: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Event.objects, "create", fail)
    with pytest.raises(OSError, match="no space"):
        run(rewrapping.rotate())
    assert ring_keys() == ["k1"]


def test_a_dry_run_counts_and_writes_nothing(acme: Tenant, second_key: str):
    make(acme)
    assert run(rewrapping.rotate(dry_run=True)).moved == 1
    assert run(renewing.rekey(acme.organisation, dry_run=True)).moved == 1
    assert ring_keys() == ["k1"]
    assert not Event.objects.filter(action__startswith="key.").exists()


def test_one_organisation_is_rotated_alone(acme: Tenant, globex: Tenant, second_key: str):
    run(rewrapping.rotate(globex.organisation))
    assert dict(OrganisationKey.objects.values_list("organisation__slug", "ring_key")) == {"acme": "k1", "globex": "k2"}


def test_a_key_that_was_changed_meanwhile_is_not_overwritten(acme: Tenant):
    row = OrganisationKey.objects.get()
    old, new = {"ring_key": "k1", "blob": b"what was read before"}, {"ring_key": "k2", "blob": b"new"}
    assert swap(OrganisationKey, [Swap(row.pk, old, new)]) == 0
    assert bytes(OrganisationKey.objects.get().blob) == bytes(row.blob)


def test_a_swap_stores_any_text_and_bytes_and_leaves_the_rows_that_it_does_not_name(acme: Tenant, globex: Tenant):
    tenancy.create_organisation("initech", "Initech")
    rows = list(OrganisationKey.objects.order_by("pk"))
    due = [("a,{b}\\'\"", bytes(range(256))), ("", b"")]
    swaps = [
        Swap(row.pk, {"ring_key": "k1", "blob": bytes(row.blob)}, {"ring_key": kid, "blob": blob})
        for row, (kid, blob) in zip(rows[:2], due, strict=True)
    ]
    back = [Swap(each.pk, each.new, each.old) for each in swaps]
    assert swap(OrganisationKey, swaps) == 2
    assert held() == [*due, ("k1", bytes(rows[2].blob))]
    assert swap(OrganisationKey, back) == 2
    assert held() == [("k1", bytes(row.blob)) for row in rows]


def held() -> list[tuple[str, bytes]]:
    return [(row.ring_key, bytes(row.blob)) for row in OrganisationKey.objects.order_by("pk")]


def test_a_key_may_be_retired_only_when_nothing_needs_it(acme: Tenant, globex: Tenant, second_key: str):
    with pytest.raises(Conflict, match="2 organisation keys need the key k1"):
        ending.retire("k1")
    run(rewrapping.rotate(acme.organisation))
    with pytest.raises(Conflict, match="1 organisation key need"):
        ending.retire("k1")
    run(rewrapping.rotate())
    ending.retire("k1")
    found = Event.objects.filter(action="key.retire").order_by("at", "id").values_list("result", "detail")
    assert list(found) == [("denied", {"needed_by": 2}), ("denied", {"needed_by": 1}), ("ok", {})]


def test_the_newest_key_and_an_unknown_one_are_not_retired(acme: Tenant, second_key: str):
    with pytest.raises(Conflict, match="newest"):
        ending.retire("k2")
    with pytest.raises(NotFound):
        ending.retire("k9")


def test_a_key_named_by_a_blob_alone_is_still_needed(acme: Tenant, second_key: str):
    OrganisationKey.objects.update(ring_key="k2")
    assert counting.needs() == {"k1": 1, "k2": 1}
    with pytest.raises(Conflict):
        ending.retire("k1")


def test_everything_opens_after_the_retired_key_is_taken_away(acme: Tenant, second_key: str, settings: Any):
    row = make(acme)
    run(rewrapping.rotate())
    ending.retire("k1")
    settings.CATALOG_KEYS = second_key
    assert stored(row) == {"password": CANARY}


def test_a_lost_key_locks_what_needs_it_and_is_never_retired(acme: Tenant, globex: Tenant, settings: Any):
    row, held = make(acme), settings.CATALOG_KEYS
    blob = bytes(OrganisationKey.objects.get(organisation=acme.organisation).blob)
    settings.CATALOG_KEYS = make_entry("k2")
    assert state.state(connections.get(acme.actor(), row.slug)) == "locked"
    assert run(rewrapping.rotate()) == rewrapping.Progress(locked=2)
    assert bytes(OrganisationKey.objects.get(organisation=acme.organisation).blob) == blob
    with pytest.raises(Conflict, match="missing from CATALOG_KEYS and 2 organisation keys need it"):
        ending.retire("k1")
    settings.CATALOG_KEYS = held
    assert stored(row) == {"password": CANARY}


def test_status_counts_by_ring_key_and_by_version(acme: Tenant, globex: Tenant, second_key: str):
    make(acme)
    make(globex)
    make(globex, "Second")
    run(renewing.rekey(globex.organisation))
    found = counting.counts()
    assert [(k.kid, k.state, k.organisation_keys, k.secrets) for k in found.ring] == [
        ("k1", "in ring", 1, 1),
        ("k2", "newest", 1, 2),
    ]
    assert [(v.version, v.organisation_keys, v.secrets) for v in found.versions] == [(1, 1, 1), (2, 1, 2)]
    assert (found.behind, found.keyless) == (0, 0)


def test_rekeying_seals_anew_and_removes_the_old_key(acme: Tenant):
    row = make(acme)
    before = ConnectionSecrets.objects.get()
    assert run(renewing.rekey(acme.organisation)) == rewrapping.Progress(moved=1)
    after = ConnectionSecrets.objects.get()
    assert (after.slot, after.generation, after.fingerprint) == (before.slot, before.generation, before.fingerprint)
    assert (after.key_version, bytes(after.blob) != bytes(before.blob)) == (2, True)
    assert list(acme.organisation.keys.values_list("version", flat=True)) == [2]
    assert stored(row) == {"password": CANARY}
    assert Connection.objects.get().access_version == row.access_version


def test_rekeying_is_on_the_organisations_record(acme: Tenant):
    make(acme)
    run(renewing.rekey(acme.organisation))
    found = Event.objects.filter(action__startswith="key.").order_by("at", "id")
    assert [(e.action, e.organisation_id == acme.organisation.pk) for e in found] == [
        ("key.renew", True),
        ("key.reseal", True),
        ("key.remove", True),
    ]
    assert CANARY not in repr([vars(event) for event in found])


def test_a_rekeying_that_was_interrupted_is_finished_without_another_key(acme: Tenant):
    rows = [make(acme, f"Warehouse {number}") for number in range(3)]
    steps = renewing.rekey(acme.organisation, batch=1)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert sorted(ConnectionSecrets.objects.values_list("key_version", flat=True)) == [1, 1, 2]
    assert [stored(row) for row in rows] == [{"password": CANARY}] * 3
    assert run(renewing.rekey(acme.organisation)).moved == 2
    assert list(acme.organisation.keys.values_list("version", flat=True)) == [2]


def test_spoilt_secrets_are_counted_left_and_keep_their_key(acme: Tenant):
    good, spoilt = make(acme, "Good"), make(acme, "Spoilt")
    ConnectionSecrets.objects.filter(connection=spoilt).update(generation=7)
    before = bytes(ConnectionSecrets.objects.get(connection=spoilt).blob)
    assert run(renewing.rekey(acme.organisation)) == rewrapping.Progress(moved=1, locked=1)
    left = ConnectionSecrets.objects.get(connection=spoilt)
    assert (bytes(left.blob), left.key_version, left.problem) == (before, 1, "Tampered")
    assert sorted(acme.organisation.keys.values_list("version", flat=True)) == [1, 2]
    assert stored(good) == {"password": CANARY}
    run(renewing.rekey(acme.organisation))
    assert sorted(acme.organisation.keys.values_list("version", flat=True)) == [1, 3]


def test_secrets_put_back_from_a_backup_are_not_made_good_by_rekeying(acme: Tenant):
    row = make(acme)
    old = ConnectionSecrets.objects.get()
    connections.update(acme.actor(), row, Change(secrets={"password": "newer"}))
    ConnectionSecrets.objects.update(blob=old.blob, generation=old.generation, names=old.names)
    run(renewing.rekey(acme.organisation))
    with pytest.raises(Locked):
        vault.unseal(connections.get(acme.actor(), row.slug))


def test_a_connection_that_was_read_before_its_organisation_was_rekeyed_still_opens(acme: Tenant):
    slug = make(acme).slug
    rows_first, keys_first = connections.get(acme.actor(), slug), connections.get(acme.actor(), slug)
    list(rows_first.secrets_rows.all())
    keys_first.organisation = type(acme.organisation).objects.prefetch_related("keys").get(pk=acme.organisation.pk)
    run(renewing.rekey(acme.organisation))
    for row in (rows_first, keys_first):
        assert vault.problem(row) is None
        assert vault.unseal(row) == {"password": CANARY}


def test_erasing_the_keys_ends_every_secret_for_good(acme: Tenant, globex: Tenant):
    row, other = make(acme), make(globex)
    assert ending.erase(acme.organisation) == 1
    assert state.state(connections.get(acme.actor(), row.slug)) == "locked"
    with pytest.raises(Locked):
        stored(row)
    assert stored(other) == {"password": CANARY}
    assert counting.counts().keyless == 1
    assert Event.objects.filter(action="key.erase").count() == 2


def test_after_an_erasure_secrets_are_entered_anew_under_a_version_never_used(acme: Tenant):
    row, other = make(acme, "One"), make(acme, "Two")
    ending.erase(acme.organisation)
    row = connections.update(
        acme.actor(), connections.get(acme.actor(), row.slug), Change(secrets={"password": "again"})
    )
    assert stored(row) == {"password": "again"}
    assert list(acme.organisation.keys.values_list("version", flat=True)) == [2]
    assert "not available" in (vault.problem(connections.get(acme.actor(), other.slug)) or "")


SPOILT: dict[str, dict[str, Any]] = {
    "opens": {},
    "Tampered": {"names": {"password": "2026-01-01T00:00:00Z", "other": "2026-01-01T00:00:00Z"}},
    "UnknownFormat": {"blob": b"hunter2"},
    "KeyUnavailable": {"key_version": 9},
}


def test_verifying_opens_everything_and_marks_what_does_not_open(acme: Tenant, globex: Tenant):
    rows = {problem: make(acme, problem) for problem in SPOILT}
    make(globex)
    for problem, change in SPOILT.items():
        if change:
            ConnectionSecrets.objects.filter(connection=rows[problem]).update(**change)
    assert counted(acme) == dict.fromkeys(SPOILT, 1)
    found = {row.connection.slug: row.problem for row in ConnectionSecrets.objects.all()}
    assert found == {"opens": "", "tampered": "Tampered", "unknownformat": "UnknownFormat", "keyunavailable": ""} | {
        "warehouse": ""
    }
    shown = [state.state(connections.get(acme.actor(), rows[problem].slug)) for problem in SPOILT]
    assert shown == ["unchecked", "locked", "locked", "locked"]
    event = Event.objects.get(action="key.verify")
    assert (event.organisation, event.result, event.detail) == (acme.organisation, "failed", dict.fromkeys(SPOILT, 1))
    assert CANARY not in str(event.detail)
    marked = Event.objects.filter(action="key.mark", organisation=acme.organisation)
    assert sum((Counter(event.detail) for event in marked), Counter()) == {"Tampered": 1, "UnknownFormat": 1}
    before = marked.count()
    assert counted(acme)
    assert marked.count() == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cleared", [False, True])
def test_verifying_marks_nothing_where_no_event_is_taken(acme: Tenant, cleared: bool):
    row = make(acme)
    if cleared:
        ConnectionSecrets.objects.filter(connection=row).update(problem="Tampered")
    else:
        ConnectionSecrets.objects.filter(connection=row).update(**SPOILT["Tampered"])
    before = ConnectionSecrets.objects.get(connection=row).problem
    with no_event_is_taken(), pytest.raises(DatabaseError):
        counted(acme)
    assert ConnectionSecrets.objects.get(connection=row).problem == before
    counted(acme)
    assert ConnectionSecrets.objects.get(connection=row).problem != before


def counted(tenant: Tenant | None = None) -> dict[str, int]:
    steps = list(verifying.verify(tenant.organisation if tenant else None, batch=2))
    return dict(sum((counts for counts, _ in steps), Counter()))


def test_verifying_takes_a_mark_off_what_opens_again(acme: Tenant):
    row = make(acme)
    whole = ConnectionSecrets.objects.get()
    ConnectionSecrets.objects.update(blob=whole.blob[:-1])
    assert counted() == {"Tampered": 1}
    ConnectionSecrets.objects.update(blob=whole.blob)
    assert counted() == {"opens": 1}
    assert stored(row) == {"password": CANARY}


def test_verifying_tells_an_older_row_and_another_endpoint_apart(acme: Tenant):
    older, moved = make(acme, "Older"), make(acme, "Moved")
    before = ConnectionSecrets.objects.get(connection=older)
    connections.update(acme.actor(), older, Change(secrets={"password": "newer"}))
    ConnectionSecrets.objects.filter(connection=older, slot="current").update(
        blob=before.blob, generation=before.generation, names=before.names
    )
    Connection.objects.filter(pk=moved.pk).update(config=CONFIG | {"host": "elsewhere.example.com"})
    findings = [each for _, some in verifying.verify() for each in some]
    assert sorted((each.connection, each.problem) for each in findings) == [
        ("moved", "another endpoint"),
        ("older", "not the last saved"),
    ]


def test_the_command_that_verifies_fails_when_something_does_not_open(acme: Tenant, capsys: Any):
    make(acme)
    call_command("keys", "verify")
    assert "1 sealed secrets open." in capsys.readouterr().out
    ConnectionSecrets.objects.update(blob=b"")
    with pytest.raises(CommandError, match="1 do not open where they stand: 1 UnknownFormat"):
        call_command("keys", "verify", "--org", acme.organisation.slug, "--batch", "1")
    assert "acme/warehouse (current): UnknownFormat" in capsys.readouterr().out


def test_a_batch_holds_a_bounded_number_of_rows_and_of_bytes(acme: Tenant):
    for number in range(6):
        make(acme, f"Warehouse {number}")
    for size, row in zip((100, 200, 900, 300, 300, 300), ConnectionSecrets.objects.order_by("pk"), strict=True):
        ConnectionSecrets.objects.filter(pk=row.pk).update(blob=bytes(size))
    rows = ConnectionSecrets.objects.all()
    sizes = [[len(row.blob) for row in some] for some in batches(rows, 2, most=600)]
    assert sizes == [[100, 200], [900], [300, 300], [300]]
    assert [len(some) for some in batches(rows, 4)] == [4, 2]
