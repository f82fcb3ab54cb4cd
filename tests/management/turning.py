"""A process that rotates one connection's secrets: ``python -m tests.management.turning VERB``.

``fill`` makes the tables and a connection whose pending secrets are as if they had passed their test. ``promote``
promotes them once a line comes in, and prints what came of it. ``turn`` takes the previous secrets back over and over.
``tell`` prints what there is.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

ORG, SLUG = "acme", "warehouse"
CONFIG = {"host": "db.example.com", "database": "sales", "user": "reader"}


def main(verb: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "catalog_project.settings")
    django.setup()
    if verb == "fill":
        fill()
    elif verb == "promote":
        say("READY")
        sys.stdin.readline()
        say(promote())
    elif verb == "turn":
        while True:
            turn()
            say("turned")
    else:
        say(json.dumps(tell()))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def actor() -> Any:
    from django.contrib.auth import get_user_model

    from connections.services import tenancy

    return tenancy.actor_of(get_user_model()._default_manager.get(), ORG)


def fill() -> None:
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from connections.models import Membership, Role, Slot
    from connections.services import connections, drafts, slots, sources, tenancy
    from connections.services.connections import Change

    call_command("migrate", verbosity=0)
    organisation = tenancy.create_organisation(ORG, "Acme Air")
    person = get_user_model()._default_manager.create_user("editor", password="x", is_staff=True)
    Membership.objects.create(organisation=organisation, user=person, role=Role.EDITOR)
    change = Change(name="Warehouse", config=CONFIG, secrets={"password": "first"})
    row = connections.create(actor(), "postgresql", change)
    draft = drafts.changed(sources.chosen("postgresql", organisation), row, {}, {"password": "second"})
    slots.stage(row, draft)
    row.secrets_rows.filter(slot=Slot.PENDING).update(tested_ok=True)


def promote() -> str:
    from connections.services import connections, rotation
    from connections.services.errors import CatalogueError

    loaded = connections.get(actor(), SLUG)
    try:
        rotation.promote(actor(), loaded)
    except CatalogueError as exc:
        return exc.code
    return "ok"


def turn() -> None:
    from connections.services import connections, rotation

    rotation.rollback(actor(), connections.get(actor(), SLUG))


def tell() -> dict[str, Any]:
    from connections.models import Event, Slot
    from connections.services import connections, vault

    row = connections.get(actor(), SLUG)
    held = sorted(row.secrets_rows.values_list("slot", flat=True))
    return {
        "version": row.version,
        "access_version": row.access_version,
        "secrets": {slot: vault.unseal(row, Slot(slot))["password"] for slot in held},
        "steps": Event.objects.filter(action__in=["connection.promote", "connection.rollback"]).count(),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
