"""The record is final, sealed in a chain, checked, and closed where its writer died."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db import DatabaseError, transaction
from django.db import connection as database
from django.utils import timezone

from connections.models import Connection, Event, EventSeal, ties
from connections.models.base import uuid7
from connections.services import events, seals, sweeping, verification
from connections.services.verification import Anchor
from connections.testing.emptying import guard_the_record
from tests.catalogue import Tenant

OTHER_VALUES = {"object_version": 99, "changes": {"x": 1}, "detail": {"x": 1}, "ip": "192.0.2.9"}


def happen(tenant: Tenant, count: int = 3, **fields: Any) -> list[Event]:
    before = set(Event.objects.values_list("pk", flat=True))
    for number in range(count):
        events.record(tenant.actor("admin"), "thing.happen", detail={"number": number}, **fields)
    return list(Event.objects.exclude(pk__in=before).order_by("at", "id"))


def verdict(tenant: Tenant, *anchors: Anchor) -> verification.Verdict:
    return verification.verify(tenant.slug, tenant.organisation.pk, anchors)


def head(tenant: Tenant) -> Anchor:
    found = verdict(tenant).head
    assert found is not None
    return found


@pytest.fixture
def chain(acme: Tenant) -> list[Event]:
    """Three seals; the middle one has three events of ours."""
    seals.seal()
    made = happen(acme)
    seals.seal()
    happen(acme, 1)
    seals.seal()
    return [Event.objects.get(pk=event.pk) for event in made]


@pytest.fixture
def owner_of_the_tables(chain: list[Event]) -> None:
    """Without the guards, as for whoever owns the tables. The test's end brings them back, as it does all else."""
    guard_the_record(False)
    ties.drop(apps, database)


def test_batches_are_chained_and_their_events_numbered(acme: Tenant, chain: list[Event]):
    first, second, third = seals.of_chain(acme.organisation.pk)
    assert [s.number for s in (first, second, third)] == [1, 2, 3]
    assert (first.previous, second.previous, third.previous) == ("", first.digest, second.digest)
    assert [(event.seal_id, event.position) for event in chain] == [(second.pk, n) for n in (1, 2, 3)]
    assert (verdict(acme).findings, verdict(acme).unsealed) == ([], 0)


def test_each_organisation_and_the_platform_has_a_chain_of_its_own(acme: Tenant, globex: Tenant):
    events.not_theirs([acme.actor("admin")], "connection.get", {"connection": "x"})
    seals.seal()
    assert {seal.organisation_id for seal in EventSeal.objects.all()} == {
        acme.organisation.pk,
        globex.organisation.pk,
        None,
    }
    assert list(verification.chains()) == [verification.PLATFORM, "acme", "globex"]
    for name, pk in verification.chains().items():
        found = verification.verify(name, pk)
        assert (found.findings, found.head is not None) == ([], True)


def test_sealing_again_seals_nothing(acme: Tenant, chain: list[Event]):
    assert seals.seal() == 0
    assert seals.of_chain(acme.organisation.pk).count() == 3


def test_more_events_than_a_batch_holds_make_several_seals(acme: Tenant):
    seals.seal()
    happen(acme, 7)
    assert seals.seal(batch=3) == 7
    assert [seal.events for seal in seals.of_chain(acme.organisation.pk)][1:] == [3, 3, 1]
    assert verdict(acme).findings == []


def test_an_event_that_is_committed_late_is_sealed_in_a_later_batch(acme: Tenant, chain: list[Event]):
    late = Event.objects.create(
        organisation=acme.organisation, at=timezone.now() - timedelta(hours=1), action="late", actor_kind="user"
    )
    assert (verdict(acme).unsealed, verdict(acme).unsealed_since) == (1, late.at)
    seals.seal()
    late.refresh_from_db()
    assert late.seal is not None
    assert late.seal.number == 4
    assert verdict(acme).findings == []


@pytest.mark.parametrize("column", [name for name in seals.CONTENT if name not in ("id", "organisation_id")])
@pytest.mark.usefixtures("owner_of_the_tables")
def test_an_edited_event_is_found(acme: Tenant, chain: list[Event], column: str):
    Event.objects.filter(pk=chain[1].pk).update(**{column: other_value(column)})
    assert verdict(acme).findings == ["Seal 2 or one of its events was changed, or their order was."]


def other_value(column: str) -> Any:
    return timezone.now() if column == "at" else OTHER_VALUES.get(column, "other")


@pytest.mark.usefixtures("owner_of_the_tables")
def test_a_deleted_event_is_found(acme: Tenant, chain: list[Event]):
    Event.objects.filter(pk=chain[1].pk).delete()
    assert verdict(acme).findings == ["Seal 2 has 2 events; 3 were sealed."]


@pytest.mark.usefixtures("owner_of_the_tables")
def test_another_order_is_found(acme: Tenant, chain: list[Event]):
    for event, position in ((chain[0], 9), (chain[2], 1), (chain[0], 3)):
        Event.objects.filter(pk=event.pk).update(position=position)
    assert verdict(acme).findings == ["Seal 2 or one of its events was changed, or their order was."]


@pytest.mark.usefixtures("owner_of_the_tables")
def test_an_event_that_was_slipped_in_is_found(acme: Tenant, chain: list[Event]):
    Event.objects.create(organisation=acme.organisation, action="forged", seal=chain[0].seal, position=4)
    assert verdict(acme).findings == ["Seal 2 has 4 events; 3 were sealed."]


@pytest.mark.usefixtures("owner_of_the_tables")
def test_an_event_that_was_moved_to_another_organisation_is_found_in_both(
    acme: Tenant, globex: Tenant, chain: list[Event]
):
    Event.objects.filter(pk=chain[0].pk).update(organisation=globex.organisation)
    assert verdict(acme).findings == ["Seal 2 or one of its events was changed, or their order was."]
    assert verdict(globex).findings == ["1 events name a seal of another chain."]


@pytest.mark.usefixtures("owner_of_the_tables")
def test_a_missing_batch_and_a_seal_made_anew_are_found(acme: Tenant, chain: list[Event]):
    second = EventSeal.objects.get(organisation=acme.organisation, number=2)
    Event.objects.filter(seal=second).update(detail={})
    EventSeal.objects.filter(pk=second.pk).update(
        digest=seals.digest(second, Event.objects.filter(seal=second).order_by("position"))
    )
    assert verdict(acme).findings == ["Seal 3 does not follow on seal 2."]
    Event.objects.filter(seal=second).delete()
    EventSeal.objects.filter(pk=second.pk).delete()
    assert verdict(acme).findings == ["Seals 2 to 2 are missing."]


@pytest.mark.usefixtures("owner_of_the_tables")
def test_an_end_that_was_cut_off_is_found_by_an_anchor(acme: Tenant, chain: list[Event]):
    anchor = head(acme)
    third = EventSeal.objects.get(organisation=acme.organisation, number=3)
    Event.objects.filter(seal=third).delete()
    third.delete()
    assert verdict(acme).findings == []
    assert verdict(acme, anchor).findings == ["The chain ends at seal 2; it once reached seal 3."]
    happen(acme, 1)
    seals.seal()
    assert verdict(acme, anchor).findings == ["Seal 3 is not the one that it once was."]


def test_an_anchor_holds_while_the_chain_grows(acme: Tenant, chain: list[Event]):
    anchor = head(acme)
    happen(acme)
    seals.seal()
    assert verdict(acme, anchor).findings == []


@pytest.mark.parametrize("field", [field.attname for field in Event._meta.concrete_fields])
def test_the_database_refuses_to_change_a_sealed_event(acme: Tenant, chain: list[Event], field: str):
    values = {"id": uuid7(), "seal_id": None, "organisation_id": None, "position": 9}
    value = values.get(field, other_value(field))
    with pytest.raises(DatabaseError, match=r"never changed|another organisation"), transaction.atomic():
        Event.objects.filter(pk=chain[0].pk).update(**{field: value})


@pytest.mark.parametrize("column", [name for name in seals.CONTENT if name not in ("id", "organisation_id")])
def test_the_database_refuses_to_change_an_event_before_it_is_sealed_too(acme: Tenant, column: str):
    (event,) = happen(acme, 1)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Event.objects.filter(pk=event.pk).update(**{column: other_value(column)})


def test_the_database_refuses_to_delete_events_and_to_touch_seals(acme: Tenant, chain: list[Event]):
    for rows in (Event.objects.filter(pk=chain[0].pk), EventSeal.objects.all()):
        with pytest.raises(DatabaseError, match=r"never (changed or )?deleted"), transaction.atomic():
            rows._raw_delete(rows.db)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        EventSeal.objects.update(digest="0" * 64)


def test_the_database_refuses_to_delete_an_event_before_it_is_sealed_too(acme: Tenant):
    (event,) = happen(acme, 1)
    with pytest.raises(DatabaseError, match="never deleted"), transaction.atomic():
        Event.objects.filter(pk=event.pk).delete()


@pytest.mark.parametrize("position", [None, 1, 4])
def test_no_event_is_inserted_sealed(acme: Tenant, chain: list[Event], position: int | None):
    with pytest.raises(DatabaseError, match="arrive unsealed"), transaction.atomic():
        Event.objects.create(organisation=acme.organisation, action="forged", seal=chain[0].seal, position=position)
    with pytest.raises(DatabaseError, match="arrive unsealed"), transaction.atomic():
        Event.objects.create(organisation=acme.organisation, action="forged", position=1)
    assert verdict(acme).findings == []


@pytest.mark.parametrize("position", [0, 1, 3, 4, 1_000_000])
def test_no_event_comes_to_a_seal_that_has_its_events(acme: Tenant, chain: list[Event], position: int):
    (event,) = happen(acme, 1)
    with pytest.raises(DatabaseError, match=r"no more events|never replaced|one_event_per"), transaction.atomic():
        Event.objects.filter(pk=event.pk).update(seal=chain[0].seal, position=position)
    seals.seal()
    assert verdict(acme).findings == []


def following(tenant: Tenant, **other: Any) -> dict[str, Any]:
    """What a seal of one event has that is the next of its chain."""
    last = head(tenant)
    own = {"organisation": tenant.organisation, "number": last.number + 1, "previous": last.digest}
    return {**own, "digest": "d" * 64, "events": 1, **other}


@pytest.mark.parametrize(
    "other", [{"number": 3}, {"number": 5}, {"number": 0}, {"previous": ""}, {"previous": "0" * 64}, {"events": 0}]
)
def test_no_seal_is_made_that_does_not_follow_on_the_last_one(
    acme: Tenant, globex: Tenant, chain: list[Event], other: dict[str, Any]
):
    with pytest.raises(DatabaseError, match=r"follows the last|UNIQUE"), transaction.atomic():
        EventSeal.objects.create(**following(acme, **other))
    for organisation in (globex.organisation, None):  # whose chains begin, or have gone on by themselves
        with pytest.raises(DatabaseError, match="follows the last"), transaction.atomic():
            EventSeal.objects.create(**following(acme, number=9, organisation=organisation))
    happen(acme, 1)
    seals.seal()
    assert verdict(acme).findings == []


@pytest.mark.parametrize("platforms", [False, True])
def test_no_event_comes_to_an_earlier_batch_though_its_events_are_gone(
    acme: Tenant, chain: list[Event], platforms: bool
):
    organisation = None if platforms else acme.organisation
    for number in range(2):
        Event.objects.create(organisation=organisation, action=f"first.{number}", result="ok")
        seals.seal()
    earlier = seals.of_chain(organisation.pk if organisation else None).reverse()[1]
    guard_the_record(False)
    Event.objects.filter(seal=earlier).delete()
    guard_the_record(True)
    event = Event.objects.create(organisation=organisation, action="late", result="ok")
    with pytest.raises(DatabaseError, match="no more events"), transaction.atomic():
        Event.objects.filter(pk=event.pk).update(seal=earlier, position=1)


def test_an_event_that_is_not_sealed_yet_takes_its_seal_and_nothing_else(acme: Tenant, chain: list[Event]):
    (event,) = happen(acme, 1)
    made = EventSeal.objects.create(**following(acme))
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Event.objects.filter(pk=event.pk).update(seal=made, position=1, actor_label="somebody else")
    Event.objects.filter(pk=event.pk).update(seal=made, position=1)


def test_the_record_of_an_organisation_outlives_it(acme: Tenant, chain: list[Event]):
    pk = acme.organisation.pk
    acme.organisation.delete()
    assert verification.chains()[str(pk)] == pk
    assert verification.verify(str(pk), pk).findings == []


def old(tenant: Tenant, result: str = "started", request: str = "r1", minutes: float = 60, **fields: Any) -> Event:
    """An event as it was inserted so many minutes ago."""
    at = timezone.now() - timedelta(minutes=minutes)
    return Event.objects.create(
        **{
            "pk": sweeping._first_id(at),
            "organisation": tenant.organisation,
            "at": at,
            "actor_kind": "user",
            "actor_label": "ann",
            "action": "connection.preview",
            "object_id": "c1",
            "result": result,
            "request_id": request,
            **fields,
        }
    )


def test_work_that_was_never_finished_is_recorded_as_failed_once(acme: Tenant):
    started = old(acme, detail={"format": "json"}, ip="192.0.2.1")
    assert [sweeping.sweep().closed, sweeping.sweep().closed] == [1, 0]
    ended = Event.objects.get(result="failed")
    assert (ended.code, ended.request_id, ended.actor_label, ended.ip) == ("worker_crashed", "r1", "ann", "192.0.2.1")
    assert (ended.organisation_id, ended.object_id, ended.action) == (acme.organisation.pk, "c1", started.action)
    assert ended.detail == {"format": "json", "swept": str(started.pk)}


def test_what_was_finished_or_may_still_run_is_left(acme: Tenant):
    old(acme, minutes=61)
    old(acme, "ok", minutes=60)
    old(acme, request="r2", minutes=1)
    assert sweeping.sweep().closed == 0


def test_a_request_id_that_is_used_again_hides_nothing(acme: Tenant):
    old(acme, minutes=90)
    old(acme, "ok", minutes=89)
    old(acme, minutes=60)
    old(acme, minutes=0.5)
    assert sweeping.sweep().closed == 1
    assert sweeping.sweep().closed == 0


def test_a_read_that_was_refused_before_it_began_hides_no_later_crash_of_its_request_id(acme: Tenant):
    old(acme, "failed", minutes=61, code="busy")
    crashed = old(acme, minutes=60)
    assert sweeping.sweep().closed == 1
    assert Event.objects.get(code="worker_crashed").detail == {"swept": str(crashed.pk)}
    assert sweeping.sweep().closed == 0


def test_a_read_that_was_refused_before_it_began_hides_no_earlier_crash_of_its_request_id(
    acme: Tenant, settings: Any
) -> None:
    settings.CATALOG_ENDS_INTERVAL = 0.0
    thing = Connection.objects.create(organisation=acme.organisation, slug="s", name="S", source="sqlite")
    entry = events.Entry(acme.actor("viewer"), "connection.preview", thing, {"limit": 5})
    entry.end("failed", "busy")
    refusal = Event.objects.get(code="busy")
    assert refusal.detail == {"limit": 5, "begun": False}
    crashed = old(acme, request=refusal.request_id, object_id=refusal.object_id)
    assert sweeping.sweep().closed == 1
    assert Event.objects.get(code="worker_crashed").detail == {"swept": str(crashed.pk)}


def test_an_end_in_the_millisecond_of_its_start_is_its_end(acme: Tenant):
    at = (timezone.now() - timedelta(hours=1)).replace(microsecond=500)
    first = sweeping._first_id(at).int
    old(acme, pk=UUID(int=first + 2), at=at)
    old(acme, "ok", pk=UUID(int=first + 1), at=at + timedelta(microseconds=300))
    assert sweeping.sweep().closed == 0


def test_an_end_that_comes_after_the_sweeper_is_told_and_ends_nothing_else(acme: Tenant):
    crashed, slow = old(acme, minutes=90), old(acme, minutes=60)
    assert sweeping.sweep() == (2, 0)
    old(acme, "ok", minutes=59)  # kept by a process while the database was away from it
    assert sweeping.sweep() == (0, 1)
    swept = Event.objects.filter(code="worker_crashed").values_list("detail", flat=True)
    assert sorted(detail["swept"] for detail in swept) == sorted([str(crashed.pk), str(slow.pk)])


def test_a_swept_end_is_not_the_end_of_what_was_started_since(acme: Tenant):
    old(acme, minutes=60)
    old(acme, minutes=0.5)
    assert sweeping.sweep().closed == 1
    old(acme, minutes=50)
    assert sweeping.sweep().closed == 1
    assert sweeping.sweep() == (0, 0)


def test_another_object_or_organisation_does_not_finish_it(acme: Tenant, globex: Tenant):
    old(acme, minutes=61)
    old(acme, "ok", minutes=60, object_id="c2")
    old(globex, "ok", minutes=59)
    assert sweeping.sweep().closed == 1


def test_an_organisation_that_may_take_longer_is_waited_for(acme: Tenant):
    acme.organisation.budgets = {"preview_timeout_max": 7200}
    acme.organisation.save()
    old(acme)
    assert sweeping.sweep().closed == 0
