"""A process of the catalogue for tests of what goes on beside it: ``python -m tests.management.at_work VERB``.

``fill N`` makes the tables and N organisations with two connections each. ``read`` opens every secret over and over,
and ``write`` enters new ones, until SIGTERM; each then prints what it did.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from typing import Any

import django

STEADY, CHANGING = "steady", "changing"


def main(verb: str, *arguments: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "catalog_project.settings")
    django.setup()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    if verb == "fill":
        fill(int(arguments[0]))
        return
    rounds, wrong = 0, []
    while not stopped.is_set():
        wrong += read() if verb == "read" else write(rounds)
        rounds += 1
        stopped.wait(0.05)
    sys.stdout.write(f"{rounds} rounds, wrong: {wrong[:3]}\n")


def fill(count: int) -> None:
    from django.core.management import call_command

    from connections.models import Connection
    from connections.services import tenancy

    call_command("migrate", verbosity=0)
    for number in range(count):
        organisation = tenancy.create_organisation(f"org-{number}", f"Organisation {number}")
        for slug in (STEADY, CHANGING):
            config = {"host": "db.example.com", "database": "sales", "user": "reader"}
            row = Connection.objects.create(
                organisation=organisation, slug=slug, name=slug, source="postgresql", config=config
            )
            enter(row, 0)


def enter(row: Any, number: int) -> None:
    from connections.services import vault

    vault.seal(row, {"password": f"{row.pk} {number}"}, {"password": "2026-01-01T00:00:00Z"}, changed=True)


def read(*slugs: str) -> list[str]:
    """Open the secrets of every connection that nobody changes, or of those named; return what went wrong."""
    from connections.models import Connection
    from connections.services import vault
    from connections.services.errors import Locked

    wrong = []
    rows = Connection.objects.filter(slug__in=slugs or [STEADY]).select_related("organisation")
    for row in rows.prefetch_related("secrets_rows", "organisation__keys"):
        try:
            opened = vault.unseal(row)
        except Locked as exc:
            wrong.append(f"{row.organisation.slug}: {exc.message}")
            continue
        if not opened["password"].startswith(str(row.pk)):
            wrong.append(f"{row.organisation.slug}: another's secret")
    return wrong


_numbers = itertools.count(1)


def write(turn: int) -> list[str]:
    """Enter the secret of one changing connection anew, each in its turn."""
    from connections.models import Connection

    rows = Connection.objects.filter(slug=CHANGING).order_by("pk")
    enter(rows.select_related("organisation")[turn % rows.count()], next(_numbers))
    return []


if __name__ == "__main__":
    main(*sys.argv[1:])
