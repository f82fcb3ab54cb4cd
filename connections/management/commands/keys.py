"""``manage.py keys``: counts what each key seals, opens it to see, and moves, renews, retires and erases keys."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connections.models import Organisation
from connections.sealing.keyring import KeyRing
from connections.services.errors import Conflict, KeyAway, Locked, NotFound, RingRefused
from connections.services.keys import counting, damage, ending, renewing, rewrapping, verifying
from connections.services.keys.rewrapping import Progress

SHOWN = 20
"""Damaged keys that are named; they are counted all."""
_WITHOUT_SETTINGS = "To make a key: python -m connections.sealing.keyring ID. It needs no settings."


class Command(BaseCommand):
    help = f"The life of keys. {_WITHOUT_SETTINGS}"

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        status = verbs.add_parser("status", help="Count what each key seals, and say which may be retired.")
        verify = verbs.add_parser("verify", help="Open every sealed secret, and mark and list what does not open.")
        rotate = verbs.add_parser("rotate", help="Seal organisation keys under the ring's newest key.")
        rekey = verbs.add_parser("rekey", help="Give organisations a new data key and seal their secrets under it.")
        for verb in (status, verify, rotate):
            verb.add_argument("--org", metavar="SLUG", help="One organisation only.")
        which = rekey.add_mutually_exclusive_group(required=True)
        which.add_argument("--org", metavar="SLUG", help="One organisation.")
        which.add_argument("--all", action="store_true", help="Every organisation.")
        for verb, size in ((verify, verifying.BATCH), (rotate, rewrapping.BATCH), (rekey, renewing.BATCH)):
            verb.add_argument("--batch", type=_batch, default=size, help="Rows at a time (%(default)s).")
        for verb in (rotate, rekey):
            verb.add_argument("--dry-run", action="store_true", help="Open and seal everything, and write nothing.")
        retire = verbs.add_parser("retire", help="Say whether a key may be taken out of CATALOG_KEYS, on record.")
        retire.add_argument("kid", metavar="KEY", help="The key's id.")
        erase = verbs.add_parser("erase", help="Delete an organisation's keys: its secrets can never be opened again.")
        erase.add_argument("--org", metavar="SLUG", required=True)
        erase.add_argument("--yes", action="store_true", help="Needed: there is no way back but to enter secrets anew.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"_{verb}")(**options)
        except KeyAway as exc:
            raise CommandError(f"{exc.reason} Run it again when the vault answers.") from None
        except RingRefused as exc:
            raise CommandError(f"{exc.reason} Nothing was written.") from None

    def _status(self, org: str | None, **options: Any) -> None:
        found = counting.counts(_organisation(org))
        self.stdout.write(f"{'ring key':<34}{'state':<10}{'organisation keys':>18}{'secrets':>10}  may it be retired?")
        for key in found.ring:
            self.stdout.write(
                f"{key.kid:<34}{key.state:<10}{key.organisation_keys:>18}{key.secrets:>10}  {_retirable(key)}"
            )
        self.stdout.write(f"\n{'organisation key version':<44}{'organisation keys':>18}{'secrets':>10}")
        for version in found.versions:
            self.stdout.write(f"{version.version:<44}{version.organisation_keys:>18}{version.secrets:>10}")
        self.stdout.write(
            f"\nSecrets under an older version than their organisation's newest: {found.behind}"
            f"\nSecrets whose organisation key is erased: {found.keyless}"
        )
        self._tell_damaged(_organisation(org))

    def _tell_damaged(self, organisation: Organisation | None) -> None:
        """Name what does not open, where no vault must be asked; of a ring that fits nothing, only that."""
        doubted = damage.doubted(KeyRing.from_settings(), in_vault=False)
        found = [key for key in damage.damaged(organisation, in_vault=False) if key.kid not in doubted]
        self.stdout.write(f"Organisation keys that are damaged: {len(found)}")
        for key in found[:SHOWN]:
            self.stdout.write(f"  {key}")
        for sentence in doubted.values():
            self.stdout.write(sentence)

    def _verify(self, org: str | None, batch: int, **options: Any) -> None:
        """Exits with status 1 when something does not open, for whoever runs it at night."""
        total: Counter[str] = Counter()
        for counts, findings in verifying.verify(_organisation(org), batch=batch):
            total += counts
            for each in findings:
                self.stdout.write(f"  {each.organisation}/{each.connection} ({each.slot}): {each.problem}")
            self.stdout.flush()
        keys = list(damage.damaged(_organisation(org)))
        for key in keys[:SHOWN]:
            self.stdout.write(f"  organisation key of {key}: does not open")
        opens = total.pop(verifying.OPENS, 0)
        self.stdout.write(f"{opens} sealed secrets open.")
        if total:
            told = ", ".join(f"{count} {problem}" for problem, count in sorted(total.items()))
            raise CommandError(
                f"{total.total()} do not open where they stand: {told}. Put the key or the rows back from a backup, "
                "or enter the secrets again: either ends the locked state."
            )
        if keys:
            raise CommandError(
                f"Damaged organisation keys: {len(keys)}. They seal no secret. The next one saved there makes another."
            )

    def _rotate(self, org: str | None, batch: int, dry_run: bool, **options: Any) -> None:
        organisation = _organisation(org)
        self.stdout.write(f"Before: {_counted(organisation)}")
        self._follow("organisation keys", rewrapping.rotate(organisation, batch=batch, dry_run=dry_run), dry_run)
        self.stdout.write(f"After: {_counted(organisation)}")
        if doubted := damage.doubted(KeyRing.from_settings()):
            raise CommandError(" ".join(doubted.values()))

    def _rekey(self, org: str | None, batch: int, dry_run: bool, **options: Any) -> None:
        one, refused = _organisation(org), []
        for organisation in [one] if one else Organisation.objects.order_by("pk").iterator():
            self.stdout.write(f"{organisation.slug}:")
            try:
                self._follow("secrets", renewing.rekey(organisation, batch=batch, dry_run=dry_run), dry_run)
            except Locked as exc:
                refused.append(organisation.slug)
                told = exc.reason if isinstance(exc, RingRefused) else f"{exc.message} {exc.hint}"
                self.stderr.write(f"  {organisation.slug} was left as it is: {told}")
            else:
                refused += [organisation.slug] if renewing.keyless(organisation) else []
        if refused:
            raise CommandError(f"Left as they are, or in part: {', '.join(refused)}.")

    def _retire(self, kid: str, **options: Any) -> None:
        try:
            ending.retire(kid)
        except NotFound:
            raise CommandError(f"There is no key {kid}: CATALOG_KEYS does not hold it, and nothing needs it.") from None
        except Conflict as exc:
            raise CommandError(exc.message) from None
        self.stdout.write(f"Nothing needs the key {kid}. Take it out of CATALOG_KEYS and restart every process.")

    def _erase(self, org: str, yes: bool, **options: Any) -> None:
        organisation = _organisation(org)
        if organisation is None or not yes:
            raise CommandError(f"This ends every stored secret of {org}. Say --yes if that is meant.")
        ended = ending.erase(organisation)
        self.stdout.write(
            f"The keys of {org} are deleted, and {ended} sealed secrets cannot be opened again. "
            "Backups of the database still hold those keys, sealed under CATALOG_KEYS."
        )

    def _follow(self, things: str, steps: Iterator[Progress], dry_run: bool) -> None:
        """Tell each step as it is done, so that whoever kills the run knows how far it came."""
        step = Progress()
        for step in steps:
            self.stdout.write(f"  {step.moved} {things} {'would move' if dry_run else 'moved'}")
            self.stdout.flush()
        if step.changed:
            self.stdout.write(f"  {step.changed} were changed by somebody else meanwhile and left to them.")
        if step.locked:
            self.stdout.write(f"  {step.locked} do not open and were left as they are; see: manage.py keys status")


def _organisation(slug: str | None) -> Organisation | None:
    if slug is None:
        return None
    found = Organisation.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"There is no organisation {slug}.")
    return found


def _counted(organisation: Organisation | None) -> str:
    found = counting.by_ring_key(organisation)
    return ", ".join(f"{count} under {kid}" for kid, count in found.items()) or "no organisation keys"


def _retirable(key: counting.RingKey) -> str:
    if key.organisation_keys:
        one = key.organisation_keys == 1
        locked = (" and is locked" if one else " and are locked") if key.state == "missing" else ""
        return f"no: {key.organisation_keys} organisation {'key needs' if one else 'keys need'} it{locked}"
    return "no: it is the newest" if key.state == "newest" else "yes: 0 need it"


def _batch(text: str) -> int:
    """A number of rows, for argparse. Raises ValueError. SQLite takes no more than 32 766 values in a statement."""
    if not 1 <= (number := int(text)) <= 4000:
        raise ValueError
    return number
