"""``manage.py organisation create``: a new organisation with its first administrator."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from connections.services import tenancy
from connections.services.errors import CatalogueError, KeyAway, RingRefused


class Command(BaseCommand):
    help = "Makes an organisation, and a user its first administrator. The administrator adds the other members."

    def add_arguments(self, parser: ArgumentParser) -> None:
        create = parser.add_subparsers(dest="verb", required=True).add_parser("create", help="Make an organisation.")
        create.add_argument("slug", help="Its id in addresses: letters, digits, - and _. It never changes later.")
        create.add_argument("--name", required=True, help="What people call it.")
        create.add_argument("--admin", required=True, metavar="USERNAME", help="A user that there is already.")

    def handle(self, *args: Any, slug: str, name: str, admin: str, **options: Any) -> None:
        person = get_user_model()._default_manager.filter(username=admin, is_active=True).first()
        if person is None:
            raise CommandError(
                f"There is no active user {admin}. A superuser adds users in the admin; the first one comes from "
                "manage.py createsuperuser."
            )
        try:
            organisation = tenancy.establish(slug, name, person)
        except RingRefused as exc:
            raise CommandError(f"{exc.reason} Nothing was made.") from None
        except CatalogueError as exc:
            raise CommandError(" ".join([p.detail for p in exc.problems] or [exc.message])) from None
        except KeyAway as exc:
            raise CommandError(f"{exc.reason} Nothing was made. Run it again when the vault answers.") from None
        self.stdout.write(f"The organisation {organisation.slug} is made, and {admin} is its administrator.")
