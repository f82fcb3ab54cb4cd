"""Keys of the ring that were used: how each is known again."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class RingKey(models.Model):
    """A key of CATALOG_KEYS that sealed something, by its id. ``proof`` is what no other bytes under that id give.

    Empty for one that a vault holds. A row stays when its key is ``retired_at`` some time: that id never seals again.
    """

    kid = models.CharField(max_length=32, primary_key=True)
    proof = models.CharField(max_length=64, blank=True)
    used_since = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.kid
