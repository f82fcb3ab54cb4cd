"""Status checks: what each diagnosis found."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models.base import Identified, ObjectField, TenantQuerySet
from connections.models.connections import Connection
from connections.models.tenancy import Organisation


class StatusCheck(Identified):
    """One diagnosis. ``report`` is the REST answer without what this row has as columns."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="checks")
    access_version = models.PositiveIntegerField()
    ok = models.BooleanField(_("ok"), null=True)
    code = models.CharField(_("code"), max_length=64, blank=True)
    report = ObjectField(default=dict)
    duration_ms = models.FloatField(_("duration"))
    site = models.CharField(_("site"), max_length=64)
    checked_at = models.DateTimeField(_("checked at"), default=timezone.now)

    objects = TenantQuerySet["StatusCheck"].as_manager()

    class Meta:
        verbose_name = _("status check")
        verbose_name_plural = _("status checks")
        default_permissions = ("view",)
        ordering = ["-checked_at", "-id"]
        indexes = [models.Index(fields=["connection", "-checked_at", "-id"], name="checks_newest_first")]
