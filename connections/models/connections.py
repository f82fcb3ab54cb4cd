"""Connections: one organisation's configured access to one system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models.base import Identified, ListField, ObjectField, TenantQuerySet
from connections.models.tenancy import Organisation

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from connections.models.secrets import ConnectionSecrets


class Connection(Identified):
    """A connection without its secrets, which are sealed in rows of their own.

    ``version`` counts every change; ``access_version`` only those of config or secrets, and keys warm adapters.
    ``secrets_generation`` is the generation of the secrets that are current, 0 when there never were any.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="connections")
    slug = models.SlugField(_("slug"), max_length=80)
    name = models.CharField(_("name"), max_length=200)
    source = models.CharField(_("source"), max_length=64)
    description = models.TextField(_("description"), blank=True, max_length=10_000)
    tags = ListField(_("tags"), default=list, blank=True)
    environment = models.CharField(_("environment"), max_length=64, blank=True)
    config = ObjectField(default=dict)
    schema_version = models.PositiveIntegerField(default=1)
    version = models.PositiveIntegerField(default=1)
    access_version = models.PositiveIntegerField(default=1)
    secrets_generation = models.PositiveIntegerField(default=0)
    paused_at = models.DateTimeField(_("paused at"), null=True, blank=True)
    paused_reason = models.CharField(_("reason"), max_length=500, blank=True)
    managed_by = models.CharField(_("managed by"), max_length=200, null=True, blank=True)
    status_ok = models.BooleanField(_("status"), null=True)
    status_code = models.CharField(max_length=64, blank=True)
    status_at = models.DateTimeField(_("last check"), null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects = TenantQuerySet["Connection"].as_manager()

    if TYPE_CHECKING:
        secrets_rows: RelatedManager[ConnectionSecrets]

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        ordering = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["organisation", "slug"], name="one_slug_per_organisation")]
        indexes = [models.Index(fields=["organisation", "-created_at", "-id"], name="connections_newest_first")]

    def __str__(self) -> str:
        return self.name
