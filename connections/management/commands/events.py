"""``manage.py events``: seals the record, checks it, writes it out, purges it, and closes what was never finished."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from connections.services import exporting, purging, seals, sweeping, verification
from connections.services.purging import Part
from connections.services.verification import Anchor, Verdict


class Command(BaseCommand):
    help = "The record of events. Run `seal` every minute and `sweep` every ten; keep what `verify` prints elsewhere."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("seal", help="Chain the events that were committed since the last time.")
        verify = verbs.add_parser("verify", help="Check every chain, or one; print the head of each.")
        verify.add_argument("--chain", help=f"An organisation's slug, or {verification.PLATFORM}.")
        verify.add_argument(
            "--anchor",
            action="append",
            default=[],
            metavar="[CHAIN=]NUMBER:DIGEST",
            help="A head that was printed earlier. CHAIN may be left out with --chain. Repeatable.",
        )
        verify.add_argument(
            "--anchors", type=Path, metavar="FILE", help="Earlier output of verify, with all its heads."
        )
        sweep = verbs.add_parser("sweep", help="Close what was started and runs no more; forget old secrets.")
        usual = sweeping.LOOKBACK.total_seconds() / 3600
        sweep.add_argument("--hours", type=float, default=usual, help="How far to look back (%(default)g).")
        export = verbs.add_parser("export", help="Write a chain's events to standard output, newest first.")
        export.add_argument("--chain", required=True, help=f"An organisation's slug, or {verification.PLATFORM}.")
        export.add_argument("--format", choices=sorted(exporting.FORMATS), default="ndjson", help="(%(default)s)")
        purge = verbs.add_parser(
            "purge",
            help="Delete what is older than CATALOG_EVENTS_KEEP_DAYS, in whole sealed batches. PostgreSQL only.",
        )
        purge.add_argument("--older-than", type=int, metavar="DAYS", help="More days than the policy keeps.")
        purge.add_argument("--dry-run", action="store_true", help="Say what would go, by any number of days.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        getattr(self, f"_{verb}")(**options)

    def _seal(self, **options: Any) -> None:
        self.stdout.write(f"{seals.seal()} events sealed.")

    def _sweep(self, hours: float, **options: Any) -> None:
        swept = sweeping.sweep(timedelta(hours=hours))
        self.stdout.write(f"{swept.closed} interrupted jobs closed.")
        if swept.late:
            self.stdout.write(
                f"{swept.late} closed earlier have an end of their own after all, which is what happened."
            )
        self.stdout.write(f"{sweeping.expire_previous()} replaced secrets forgotten.")

    def _export(self, chain: str, format: str, **options: Any) -> None:
        organisation_id = _found(chain)[chain]
        for part in exporting.at_terminal(chain, organisation_id, format):
            self.stdout.write(part.decode(), ending="")

    def _purge(self, older_than: int | None, dry_run: bool, **options: Any) -> None:
        try:
            before = purging.cutoff(older_than, dry_run=dry_run)
            if before is None:
                self.stdout.write("Nothing is purged: without CATALOG_EVENTS_KEEP_DAYS events are kept for ever.")
                return
            parts = list(map(self._told, purging.purge(before, dry_run=dry_run)))
        except purging.NotPurged as exc:
            raise CommandError(exc.message) from None
        count, done = sum(part.events for part in parts), "would be purged" if dry_run else "purged"
        self.stdout.write(f"{count} events older than {before:%Y-%m-%d %H:%M:%SZ} {done}.")
        if broken := [part.chain for part in parts if part.findings]:
            raise CommandError(f"Not as they were sealed, and left: {', '.join(broken)}.", returncode=2)

    def _told(self, part: Part) -> Part:
        """Print what went; return what counts."""
        if part.findings:
            self.stdout.write(f"{part.chain} BROKEN, nothing from seal {part.first} on goes")
            for text in part.findings:
                self.stdout.write(f"  {text}")
            return replace(part, events=0)
        self.stdout.write(f"{part.chain} seals {part.first} to {part.through.number}, {part.events} events")
        return part

    def _verify(self, chain: str | None, anchor: list[str], anchors: Path | None, **options: Any) -> None:
        found = _found(chain)
        known = _anchors(anchor, chain, anchors)
        wanted = [chain] if chain is not None else [*found, *sorted({*known} - {*found})]
        broken = 0
        for name in wanted:
            if name in found:
                verdict = verification.verify(name, found[name], known[name])
            else:
                verdict = Verdict(name, findings=["The whole chain is missing."])
            broken += bool(verdict.findings)
            self._tell(verdict)
        if broken:
            raise CommandError(f"{broken} of {len(wanted)} chains are not as they were sealed.", returncode=2)

    def _tell(self, verdict: Verdict) -> None:
        head = f"{verdict.head.number}:{verdict.head.digest}" if verdict.head else "0:"
        state = "BROKEN" if verdict.findings else "ok"
        tail = (
            f", {verdict.unsealed} unsealed since {verdict.unsealed_since:%Y-%m-%d %H:%M:%SZ}"
            if verdict.unsealed
            else ""
        )
        since = (
            f", complete from seal {verdict.purged_to + 1} on: {verdict.purged} events before it were purged"
            if verdict.purged_to
            else ""
        )
        self.stdout.write(f"{verdict.chain}={head} {state}, {verdict.events} events{since}{tail}")
        for text in verdict.findings:
            self.stdout.write(f"  {text}")


def _found(chain: str | None) -> dict[str, UUID | None]:
    """Every chain. Raises ``CommandError`` where ``chain`` is given and is none."""
    found = verification.chains()
    if chain is not None and chain not in found:
        raise CommandError(f"There is no chain {chain}. A chain is an organisation's slug or {verification.PLATFORM}.")
    return found


def _anchors(texts: list[str], chain: str | None, file: Path | None) -> defaultdict[str, list[Anchor]]:
    """Anchors by chain, from the command line and from the lines of ``file`` that have one."""
    found: defaultdict[str, list[Anchor]] = defaultdict(list)
    lines = [line.split()[0] for line in file.read_text().splitlines() if "=" in line[:80]] if file else []
    for text in [*texts, *lines]:
        name, _, value = text.rpartition("=")
        number, _, digest = value.partition(":")
        if not number.isdigit() or not (name or chain):
            raise CommandError(f"{text} is not an anchor such as acme=12:3f…, as verify prints it.")
        if int(number):
            found[name or str(chain)].append(Anchor(int(number), digest))
    return found
