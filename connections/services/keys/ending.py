"""The end of a key: of the ring's, when nothing needs it, and of an organisation's, which ends its secrets."""

from __future__ import annotations

from django.db import transaction

from connections.models import Connection, ConnectionSecrets, Organisation, Slot
from connections.sealing.keyring import KeyRing
from connections.services import ring as ring_keys
from connections.services.errors import Conflict, NotFound
from connections.services.keys import counting
from connections.services.keys.record import record
from connections.services.locks import hold
from connections.services.ring import RETIRE


def retire(kid: str) -> None:
    """Say on record that ``kid`` may be taken out of CATALOG_KEYS. Raises ``Conflict`` while anything needs it.

    Raises ``NotFound`` for a key that is neither in the ring nor needed.
    """
    ring = KeyRing.from_settings()
    needed = counting.needs()[kid]
    if kid not in ring.ids and not needed:
        raise NotFound(ring_key=kid)
    if needed or kid == ring.newest:
        record(RETIRE, kind="ringkey", thing=kid, result="denied", code="conflict", detail={"needed_by": needed})
        raise Conflict(_refusal(kid, needed, ring))
    with transaction.atomic():
        ring_keys.retire(kid)
        record(RETIRE, kind="ringkey", thing=kid)


def _refusal(kid: str, needed: int, ring: KeyRing) -> str:
    keys = "organisation key" if needed == 1 else "organisation keys"
    if kid not in ring.ids:
        return (
            f"The key {kid} is missing from CATALOG_KEYS and {needed} {keys} {'needs' if needed == 1 else 'need'} it. "
            "Put it back, or have the secrets of those organisations entered again and run: manage.py keys rekey"
        )
    if kid == ring.newest:
        return (
            f"The key {kid} is the newest of CATALOG_KEYS, so new keys are sealed under it "
            f"({needed} {keys} {'is' if needed == 1 else 'are'}). Append another key first."
        )
    return f"{needed} {keys} {'needs' if needed == 1 else 'need'} the key {kid}. Run: manage.py keys rotate"


def erase(organisation: Organisation) -> int:
    """Delete all of an organisation's keys: nothing opens its secrets again. Return how many secrets that ends.

    The sealed rows in use stay, and their connections are ``locked``; those that are pending or previous go. Secrets
    that are entered later get a new key. Backups of the database still hold the keys, sealed under the ring.
    """
    with transaction.atomic():
        hold(Connection.objects.filter(organisation=organisation))
        hold(organisation.keys.all())
        hold(Organisation.objects.filter(pk=organisation.pk))  # from here on, nobody makes another key
        keys = list(organisation.keys.select_for_update().order_by("pk"))
        ended = ConnectionSecrets.objects.filter(
            organisation=organisation, key_version__in=[key.version for key in keys]
        ).count()
        detail = {"versions": [key.version for key in keys], "secrets": ended}
        for of in (organisation, None):  # the organisation's own record and the platform's
            record(
                "key.erase",
                of,
                kind="organisation",
                thing=organisation.pk,
                object_label=organisation.slug,
                detail=detail,
            )
        ConnectionSecrets.objects.filter(organisation=organisation).exclude(slot=Slot.CURRENT).delete()
        organisation.keys.all().delete()
    return ended
