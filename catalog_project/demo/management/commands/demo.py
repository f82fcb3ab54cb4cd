"""``manage.py demo``: two organisations, their people, keys and connections to the flights. Safe to repeat."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from catalog_project.demo.catalogue import load


class Command(BaseCommand):
    help = "Load the demo: organisations, users, keys and connections to real flights. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the catalogue is served")

    def handle(self, *args: Any, **options: Any) -> None:
        load(settings.BASE_DIR / "var", options["url"])
        self.stdout.write("The demo is loaded; its users and keys are in var/demo.json.")
