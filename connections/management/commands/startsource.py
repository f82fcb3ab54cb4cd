"""``manage.py startsource``: the two files of a new source. Its failing tests say what is left to write."""

from __future__ import annotations

import keyword
import re
from argparse import ArgumentParser
from pathlib import Path
from string import Template
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from connections.adapters.registry import registry

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
STEPS = {
    "sql": ("resolve", "policy", "connect", "authenticate", "database", "privileges", "sample"),
    "http": ("resolve", "policy", "connect", "authenticate", "sample"),
    "files": ("connect",),
}


class Command(BaseCommand):
    help = "Writes the module and the conformance tests of a new source. The tests say what is left."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="The source's id: lower-case letters, digits and _. It never changes later.")
        parser.add_argument("--label", required=True, help="The vendor's own spelling.")
        parser.add_argument("--family", required=True, choices=sorted(STEPS), help="What the source is asked through.")
        parser.add_argument("--path", type=Path, default=settings.BASE_DIR, help="The checkout to write to.")

    def handle(self, *args: Any, name: str, label: str, family: str, path: Path, **options: Any) -> None:
        _require_new(name)
        _require_label(label)
        words = {"name": name, "label": label, "camel": camel(label), "steps": _listed(STEPS[family])}
        files = {
            path / "connections" / "sources" / f"{name}.py": f"{family}.py.txt",
            path / "tests" / "conformance" / f"test_{name}.py": "test.py.txt",
        }
        for place in files:
            if place.exists():
                raise CommandError(f"{place} is there already.")
            if not place.parent.is_dir():
                raise CommandError(f"{place.parent} is not there: --path is to be a checkout of this project.")
        for place, template in files.items():
            place.write_text(Template((TEMPLATES / template).read_text()).substitute(words))
            self.stdout.write(f"Wrote {place.relative_to(path)}")
        self.stdout.write(f"pytest -m {name} says what is left; docs/adding-a-source.md says how.")


def camel(label: str) -> str:
    """``Acme DB 2`` as ``AcmeDB2``: the start of its classes' names."""
    joined = "".join(part[0].upper() + part[1:] for part in re.findall(r"[A-Za-z0-9]+", label))
    return joined if joined[:1].isalpha() else f"Source{joined}"


def _require_new(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name) or keyword.iskeyword(name):
        raise CommandError(f"{name!r} is no id for a source: use lower-case letters, digits and _, a letter first.")
    if name in registry:
        raise CommandError(f"There is a source {name!r} already: {registry.place(name)}.")


def _require_label(label: str) -> None:
    """The label stands in string literals and docstrings of the files."""
    if not label.strip() or not label.isprintable() or set(label) & set('"\\') or len(label) > 60:
        raise CommandError("The label is to be a name of at most 60 characters, without quotes and backslashes.")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names) + ("," if len(names) == 1 else "")
