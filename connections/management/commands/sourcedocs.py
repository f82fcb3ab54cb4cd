"""``manage.py sourcedocs``: the pages of the sources, and the table of sources in the README."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from connections.adapters.registry import PACKAGE, BrokenSourceError, registry
from connections.management import source_pages

FOLDER = Path("docs", "sources")
BEGIN, END = "<!-- sources: begin -->", "<!-- sources: end -->"


class Command(BaseCommand):
    help = "Writes one page for each source of this project under docs/sources, and the README's table of sources."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="Write nothing; fail when a page is stale.")
        parser.add_argument("--path", type=Path, default=settings.BASE_DIR, help="The checkout to write to.")

    def handle(self, *args: Any, check: bool, path: Path, **options: Any) -> None:
        pages = {FOLDER / name: text for name, text in rendered().items()}
        readme = path / "README.md"
        if readme.exists():
            pages[Path("README.md")] = with_table(readme.read_text())
        stale = sorted(place for place, text in pages.items() if not _says(path / place, text))
        gone = sorted(
            old.relative_to(path) for old in (path / FOLDER).glob("*.md") if old.relative_to(path) not in pages
        )
        if check and (stale or gone):
            names = ", ".join(map(str, [*stale, *gone]))
            raise CommandError(f"Stale: {names}. Run: manage.py sourcedocs")
        for place in stale:
            (path / place).parent.mkdir(parents=True, exist_ok=True)
            (path / place).write_text(pages[place])
        for place in gone:
            (path / place).unlink()
        self.stdout.write(f"{len(pages)} pages are up to date; {len(stale)} were written, {len(gone)} removed.")


def own() -> list[source_pages.AdapterClass]:
    """The sources that come with the project. Plug-ins have their documentation elsewhere."""
    try:
        return [registry[source] for source in registry if registry.place(source).startswith(f"{PACKAGE}.")]
    except BrokenSourceError as exc:
        raise CommandError(str(exc)) from exc


def rendered() -> dict[str, str]:
    """Every page by its file's name."""
    adapters = own()
    pages = {f"{adapter.id}.md": source_pages.page(adapter) for adapter in adapters}
    return {**pages, "README.md": source_pages.index(adapters)}


def with_table(text: str) -> str:
    """The README with its table of sources as it is now. Raises ``CommandError`` where it has no place for one."""
    found = re.search(rf"{BEGIN}.*{END}", text, re.DOTALL)
    if found is None:
        raise CommandError(f"README.md has no place for the table of sources: the lines {BEGIN} and {END}.")
    table = source_pages.source_table(own(), f"{FOLDER}/")
    return f"{text[: found.start()]}{BEGIN}\n{table}\n{END}{text[found.end() :]}"


def _says(place: Path, text: str) -> bool:
    return place.exists() and place.read_text() == text
