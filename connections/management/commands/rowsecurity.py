"""``manage.py rowsecurity enable|disable|status``: the second wall between organisations, in PostgreSQL itself."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from connections.models import row_security
from connections.services import walls
from connections.services.keys.record import record


class Command(BaseCommand):
    help = (
        "Has PostgreSQL itself hold back every row that is not the organisation's for which a session works. "
        "Processes with CATALOG_ROW_SECURITY=on say for whom they work; the others find nothing while the wall stands."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("enable", help="Put the wall around every table of organisations' rows.")
        verbs.add_parser("disable", help="Take it away.")
        verbs.add_parser("status", help="Say what stands. Exits with 1 where that is not what the settings say.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("The catalogue is not in PostgreSQL. Only that has row security.")
        if verb != "status":
            self._change(verb)
        wall = row_security.look(connection, apps)
        self.stdout.write(f"{len(wall.walled)} tables are walled, {len(wall.open_tables)} are not.")
        for table in wall.open_tables if wall.walled else ():
            self.stdout.write(f"Not walled: {table}")
        doubts = walls.doubts()
        for text, hint in doubts:
            self.stderr.write(f"{text} {hint}")
        if doubts and verb == "status":
            raise SystemExit(1)

    def _change(self, verb: str) -> None:
        if verb == "enable" and not settings.CATALOG_ROW_SECURITY:
            raise CommandError(
                "CATALOG_ROW_SECURITY is off: this deployment's processes would find nothing. Set it to on for all of "
                "them, start them anew, then run this again."
            )
        with transaction.atomic():
            (row_security.build if verb == "enable" else row_security.take_down)(connection, apps)
            record(f"rowsecurity.{verb}", kind="database", thing="all")
