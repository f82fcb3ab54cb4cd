"""A new connection's slug: the one that is wanted, or one of its name that is free."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from connections.models import Connection
from connections.services.errors import Conflict, Invalid


def insert_with_slug(connection: Connection, wanted: Any) -> None:
    """Insert the row under ``wanted``, or under a slug of its name, with ``-2`` and so on until one is free."""
    if wanted is not None:
        if not isinstance(wanted, str) or wanted != slugify(wanted) or not 0 < len(wanted) <= 80 or wanted == "test":
            raise Invalid.at("/slug", "A slug has 1 to 80 lower-case letters, digits, hyphens and underscores.")
        if not _insert(connection, wanted):
            raise Conflict(f"The slug {wanted} is taken.")
        return
    base = slugify(connection.name)[:70] or "connection"
    taken = set(
        Connection.objects.filter(organisation=connection.organisation, slug__startswith=base).values_list(
            "slug", flat=True
        )
    ) | {"test"}  # the path of the check of unsaved settings
    number = 1
    while (candidate := base if number == 1 else f"{base}-{number}") in taken or not _insert(connection, candidate):
        number += 1


def _insert(connection: Connection, slug: str) -> bool:
    connection.slug = slug
    try:
        with transaction.atomic():
            connection.save(force_insert=True)
    except IntegrityError:
        if Connection.objects.filter(organisation=connection.organisation, slug=slug).exists():
            return False
        raise
    return True
