"""``manage.py schemas``: watches over sources' schemas, and upgrades settings that were stored under old ones."""

from __future__ import annotations

import importlib
from argparse import ArgumentParser
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connections.adapters import snapshots
from connections.adapters.registry import PACKAGE, BrokenSourceError, UnknownSourceError, registry
from connections.adapters.snapshots import Snapshot
from connections.management.compatibility import differences
from connections.models import Organisation
from connections.services import upgrade_rows
from connections.services.errors import KeyAway
from connections.services.sources import AdapterClass
from connections.services.upgrade_rows import Progress

OWN = Path(importlib.import_module(PACKAGE).__path__[0]) / "schemas"
"""Where the snapshots of the project's own sources are. Those of other packages are theirs to look after."""


class Command(BaseCommand):
    help = "The versions of sources' settings: their snapshots, and the rows that were stored under older ones."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        check = verbs.add_parser(
            "check", help="Fail when a schema changed and its version, upgrade or snapshot did not."
        )
        write = verbs.add_parser("write", help="Write the snapshots of the schemas as they are now.")
        for verb in (check, write):
            verb.add_argument("sources", nargs="*", metavar="SOURCE", help="Source ids; the project's own if none.")
        write.add_argument(
            "--replace",
            action="store_true",
            help="Also where stored settings no longer fit: nobody has this version yet.",
        )
        upgrade = verbs.add_parser("upgrade", help="Upgrade stored settings to the schemas of today.")
        upgrade.add_argument("--org", metavar="SLUG", help="One organisation only.")
        upgrade.add_argument("--batch", type=_batch, default=upgrade_rows.BATCH, help="Rows at once (%(default)s).")
        upgrade.add_argument("--dry-run", action="store_true", help="Upgrade and seal everything, and keep nothing.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"_{verb}")(**options)
        except KeyAway as exc:
            raise CommandError(f"{exc.reason} Run it again when the vault answers.") from None

    def _check(self, sources: list[str], **options: Any) -> None:
        wrong = [sentence for adapter in _named(sources) for sentence in faults(adapter)]
        wrong += [] if sources else stranded(OWN, registry)
        for sentence in wrong:
            self.stderr.write(sentence)
        if wrong:
            raise CommandError("Schemas and their snapshots do not agree.")
        self.stdout.write("The schemas are what their snapshots say.")

    def _write(self, sources: list[str], replace: bool, **options: Any) -> None:
        for adapter in _named(sources):
            kept = snapshots.kept(adapter)
            version = adapter.config_class.schema_version
            if version in kept and not replace and (found := differences(kept[version], snapshots.of(adapter))):
                raise CommandError("\n".join(_incompatible(adapter, found)))
            place = snapshots.file(adapter, version)
            place.parent.mkdir(exist_ok=True)
            place.write_text(snapshots.text(snapshots.of(adapter)))
            self.stdout.write(f"{adapter.id}: version {version} is in {place.name}.")

    def _upgrade(self, org: str | None, batch: int, dry_run: bool, **options: Any) -> None:
        organisation = _organisation(org)
        step = Progress()
        for step in upgrade_rows.upgrade_all(organisation, batch=batch, dry_run=dry_run):
            self.stdout.write(f"  {step.upgraded} connections {'would be upgraded' if dry_run else 'upgraded'}")
            self.stdout.flush()
        if not step.upgraded:
            self.stdout.write("No stored settings were upgraded.")
        for number, reason in (
            (step.changed, "were changed by somebody else meanwhile; run it again"),
            (step.locked, "have secrets that do not open, and stay as they are: enter those again"),
            (step.unfit, "do not fit the schema of today, upgraded or not: open and save them"),
        ):
            if number:
                self.stdout.write(f"  {number} {reason}.")


def faults(adapter: AdapterClass) -> Iterator[str]:
    """What is wrong with a source's snapshots and upgrades, and what to do about it."""
    version, kept, now = adapter.config_class.schema_version, snapshots.kept(adapter), snapshots.of(adapter)
    write = f"Run: manage.py schemas write {adapter.id}"
    if version in kept:
        found = differences(kept[version], now)
        if found:
            yield from _incompatible(adapter, found)
        elif kept[version] != now:
            yield f"{adapter.id}: the snapshot of version {version} is stale; the change fits stored settings. {write}"
    else:
        yield f"{adapter.id}: version {version} has no snapshot. {write}"
    yield from _history(adapter, kept)


def stranded(folder: Path, sources: Container[str]) -> Iterator[str]:
    """What is wrong where snapshots are in ``folder`` of sources that are not among ``sources`` any more."""
    for source, files in snapshots.strays(folder, sources).items():
        yield (
            f"{source}: there is no such source any more, and its snapshots are ({', '.join(files)}). Connections that "
            "people saved of it would have no source, and nobody could tell where their secrets go. Put it back under "
            "this id. To be rid of it, first delete its connections in every deployment, then these files."
        )


def _history(adapter: AdapterClass, kept: dict[int, Snapshot]) -> Iterator[str]:
    version = adapter.config_class.schema_version
    first = min([*kept, *adapter.upgrades, version])
    for number in range(first, version):
        if number not in adapter.upgrades:
            yield (
                f"{adapter.id}: schema_version is {version}, and there is no way from {number} to {number + 1}. "
                f"Add {number} to {adapter.__name__}.upgrades: upgrades = {{{number}: Upgrade(config=…, secrets=…)}}"
            )
        if number not in kept:
            yield (
                f"{adapter.id}: the snapshot of version {number} is not there, so nobody can tell where secrets that "
                f"were sealed under it go. Take {snapshots.file(adapter, number).name} from the release that had it."
            )
    for number in sorted(number for number in (*kept, *adapter.upgrades) if number > version):
        yield (
            f"{adapter.id}: there is a snapshot of version {number} or an upgrade from it, and schema_version is "
            f"{version}. Raise schema_version or remove them."
        )


def _incompatible(adapter: AdapterClass, found: Iterable[str]) -> Iterator[str]:
    version = adapter.config_class.schema_version
    yield f"{adapter.id}: the schema changed, and settings stored under version {version} may not fit or mean the same:"
    yield from (f"  {sentence}" for sentence in found)
    yield (
        f"  Set schema_version = {version + 1} in {adapter.config_class.__name__}, say in {adapter.__name__} how old "
        f"settings become new ones, upgrades = {{…, {version}: Upgrade(config=…, secrets=…)}}, and run "
        f"manage.py schemas write {adapter.id}. If no release has version {version} yet, write with --replace."
    )


def _named(sources: list[str]) -> list[AdapterClass]:
    """The sources by these ids; those of this project when there are none."""
    named = sources or [source for source in registry if registry.place(source).startswith(f"{PACKAGE}.")]
    try:
        return [registry[source] for source in named]
    except (UnknownSourceError, BrokenSourceError) as exc:
        raise CommandError(str(exc)) from None


def _organisation(slug: str | None) -> Organisation | None:
    if slug is None:
        return None
    found = Organisation.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"There is no organisation {slug}.")
    return found


def _batch(text: str) -> int:
    """A number of rows, for argparse. Raises ValueError."""
    if not 1 <= (number := int(text)) <= 10_000:
        raise ValueError
    return number
