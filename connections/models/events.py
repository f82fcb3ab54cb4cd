"""The record: who did what, to which thing, with what result. Rows are added, never changed."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models.base import Identified, TenantQuerySet
from connections.models.tenancy import Organisation


class EventSeal(Identified):
    """A batch of committed events, chained: ``digest`` covers the batch and the digest before it.

    Like the events, it outlives its organisation. The database lets nobody change or delete one, nor make one that does
    not follow on the last of its chain, which alone takes events.
    """

    organisation = models.ForeignKey(Organisation, models.DO_NOTHING, null=True, related_name="+", db_constraint=False)
    number = models.PositiveBigIntegerField()
    previous = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64)
    events = models.PositiveIntegerField()
    sealed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["organisation", "number"], name="one_seal_per_number"),
            models.UniqueConstraint(
                fields=["number"], condition=models.Q(organisation=None), name="one_platform_seal_per_number"
            ),
        ]


class Event(Identified):
    """One action. ``actor_label`` and ``object_label`` outlive what they name; ``changes`` never holds a secret.

    ``result`` is ``ok``, ``denied``, ``failed`` or, for work in progress, ``started``. It arrives unsealed. The
    database lets nobody change it but to give it, once, its seal and a position in that, from 1, which no other has.
    """

    organisation = models.ForeignKey(
        Organisation, models.DO_NOTHING, null=True, related_name="+", db_constraint=False, db_index=False
    )
    at = models.DateTimeField(_("at"), default=timezone.now)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=36, blank=True)
    actor_label = models.CharField(_("actor"), max_length=200)
    action = models.CharField(_("action"), max_length=64)
    object_kind = models.CharField(max_length=32, blank=True)
    object_id = models.CharField(max_length=36, blank=True)
    object_label = models.CharField(_("object"), max_length=200, blank=True)
    object_version = models.PositiveIntegerField(null=True)
    result = models.CharField(_("result"), max_length=16)
    code = models.CharField(_("code"), max_length=64, blank=True)
    changes = models.JSONField(_("changes"), default=dict)
    detail = models.JSONField(_("detail"), default=dict)
    request_id = models.CharField(_("request id"), max_length=64, blank=True)
    ip = models.GenericIPAddressField(_("address"), null=True)
    seal = models.ForeignKey(EventSeal, models.PROTECT, null=True, related_name="+", db_index=False)
    position = models.PositiveIntegerField(null=True)

    objects = TenantQuerySet["Event"].as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        default_permissions = ("view",)
        ordering = ["-at", "-id"]
        indexes = [  # those of seal and organisation alone would be parts of these
            models.Index(fields=["organisation", "-at", "-id"], name="events_newest_first"),
            models.Index(fields=["organisation", "object_id", "-at"], name="events_of_an_object"),
            models.Index(fields=["organisation", "at", "id"], condition=models.Q(seal=None), name="events_unsealed"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["seal", "position"], condition=models.Q(seal__isnull=False), name="one_event_per_position"
            ),
        ]
