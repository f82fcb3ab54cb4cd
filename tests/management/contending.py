"""Two at one connection's secrets, of whom the second comes when the first is in the middle.

``python -m tests.management.contending FIRST SECOND`` prints ``ok`` when both come to their end; ``fill`` makes the
tables and two connections, each with secrets in every slot. On PostgreSQL alone: SQLite has one writer at a time.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import django

ORG = "acme"
SETTINGS = {"host": "h.example.com", "port": 443, "user": ""}
SET_AT = "2026-01-01T00:00:00Z"
PATIENCE = 20.0
"""Seconds. PostgreSQL looks for a deadlock after one."""


def main(first: str, *second: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "catalog_project.settings")
    django.setup()
    if first == "fill":
        fill()
        return
    sys.stdout.write(contend(FIRST[first], SECOND[second[0]]) + "\n")


def fill() -> None:
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.utils import timezone

    from connections.models import Connection, Membership, Role, Slot
    from connections.services import drafts, slots, sources, tenancy, vault

    call_command("migrate", verbosity=0)
    organisation = tenancy.create_organisation(ORG, "Acme Air")
    person = get_user_model()._default_manager.create_user("editor", password="x", is_staff=True)
    Membership.objects.create(organisation=organisation, user=person, role=Role.EDITOR)
    adapter = sources.chosen("evolving", organisation)
    for slug in ("a", "b"):
        row = Connection.objects.create(
            organisation=organisation, slug=slug, name=slug, source="evolving", config=SETTINGS
        )
        vault.seal(row, {"token": "first"}, {"token": SET_AT}, changed=True)
        for token in ("second", "third"):
            slots.stage(row, drafts.changed(adapter, row, {}, {"token": token}))
            if token == "second":
                slots.make_current(row, Slot.PENDING, kept_until=timezone.now() - timedelta(seconds=1))


def contend(first: Callable[[], Generator[None]], second: Callable[[], Any]) -> str:
    """Let ``second`` begin while ``first`` is in the middle; tell what either failed by."""
    from django.db import OperationalError, connections

    failures: list[str] = []

    def run() -> None:
        try:
            second()
        except OperationalError as exc:
            failures.append(f"second: {exc}")
        finally:
            connections.close_all()

    other = threading.Thread(target=run)
    try:
        for _ in first():
            other.start()
            wait_until_it_waits(other)
    except OperationalError as exc:
        failures.append(f"first: {exc}")
    other.join(PATIENCE)
    return "; ".join(failures) or ("hangs" if other.is_alive() else "ok")


def wait_until_it_waits(other: threading.Thread) -> None:
    """Until it waits for a lock, or has come to its end."""
    import psycopg

    until = time.monotonic() + PATIENCE
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as watcher:
        waits = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        while other.is_alive() and watcher.execute(waits).fetchone() is None:
            assert time.monotonic() < until, "the second neither waits nor ends"
            time.sleep(0.02)


def locked(slug: str = "a") -> Any:
    from connections.models import Connection

    return Connection.objects.select_for_update().get(slug=slug)


def save() -> Generator[None]:
    """As a save of other secrets does: the connection, its current secrets, those beside them."""
    from django.db import transaction

    from connections.services import slots, vault

    with transaction.atomic():
        row = locked()
        vault.seal(row, {"token": "other"}, {"token": SET_AT}, changed=True)
        yield
        slots.settle(row, secrets_changed=True)


def promote() -> Generator[None]:
    """As a promotion does: the connection, the key, every slot anew."""
    from django.db import transaction
    from django.utils import timezone

    from connections.models import Slot
    from connections.services import slots, vault

    with transaction.atomic():
        row = locked()
        vault.sealing_key(row.organisation)
        yield
        slots.make_current(row, Slot.PENDING, kept_until=timezone.now() + timedelta(hours=1))


def drop() -> Generator[None]:
    """As another setting does that leaves the secrets: no key, one slot after the other."""
    from django.db import transaction

    from connections.models import Slot
    from connections.services import slots

    with transaction.atomic():
        row = locked()
        slots.drop(row, Slot.PREVIOUS)
        yield
        slots.drop(row, Slot.PENDING)


def lose_key() -> Generator[None]:
    """As a save does whose organisation's key is lost: the connection, the lost key, a new one."""
    from django.db import transaction

    from connections.models import OrganisationKey
    from connections.services import vault

    OrganisationKey.objects.update(ring_key="lost")
    with transaction.atomic():
        row = locked()
        row.organisation.keys.select_for_update(no_key=True).order_by("-version").first()
        yield
        vault.seal(row, {"token": "other"}, {"token": SET_AT}, changed=True)


def reseal() -> Generator[None]:
    """As re-keying does: all connections, then their secrets, in whatever order the database takes."""
    from django.db import transaction

    from connections.models import ConnectionSecrets, Slot

    with transaction.atomic():
        for slug in ("a", "b"):
            locked(slug)
        rows = ConnectionSecrets.objects.filter(slot=Slot.PREVIOUS)
        later, earlier = rows.order_by("-pk")
        rows.filter(pk=later.pk).update(problem="")
        yield
        rows.filter(pk=earlier.pk).update(problem="")


def upgrade() -> None:
    from connections.services import upgrade_rows

    list(upgrade_rows.upgrade_all(None))


def rekey() -> None:
    from connections.services.keys import renewing

    list(renewing.rekey(organisation()))


def rotate() -> None:
    from connections.services.keys import rewrapping

    list(rewrapping.rotate())


def erase() -> None:
    from connections.services.keys import ending

    ending.erase(organisation())


def expire() -> None:
    from connections.services import sweeping

    sweeping.expire_previous()


def delete() -> None:
    from django.contrib.auth import get_user_model

    from connections.services import connections, tenancy

    actor = tenancy.actor_of(get_user_model()._default_manager.get(), ORG)
    connections.delete(actor, connections.get(actor, "a"))


def organisation() -> Any:
    from connections.models import Organisation

    return Organisation.objects.get(slug=ORG)


FIRST = {"save": save, "promote": promote, "drop": drop, "lose-key": lose_key, "reseal": reseal}
SECOND = {"upgrade": upgrade, "rekey": rekey, "rotate": rotate, "erase": erase, "expire": expire, "delete": delete}

if __name__ == "__main__":
    main(*sys.argv[1:])
