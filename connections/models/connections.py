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
    ``staged_generation`` is that of the secrets that are pending; it only grows, and moves on when they are dropped, so
    that no row of before can be put back.
    ``probe`` is a query that new secrets must be able to run; empty when a status check is proof enough.
    ``secrets_expire_at`` is the earliest known end of one of the current secrets.
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
    staged_generation = models.PositiveIntegerField(default=0)
    paused_at = models.DateTimeField(_("paused at"), null=True, blank=True)
    paused_reason = models.CharField(_("reason"), max_length=500, blank=True)
    managed_by = models.CharField(_("managed by"), max_length=200, null=True, blank=True)
    status_ok = models.BooleanField(_("status"), null=True)
    status_code = models.CharField(max_length=64, blank=True)
    status_at = models.DateTimeField(_("last check"), null=True, blank=True)
    probe = ObjectField(_("probe query"), default=dict, blank=True)
    secrets_expire_at = models.DateTimeField(_("secrets expire at"), null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects = TenantQuerySet["Connection"].as_manager()
    reach_column = "pk"

    if TYPE_CHECKING:
        secrets_rows: RelatedManager[ConnectionSecrets]

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        ordering = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["organisation", "slug"], name="one_slug_per_organisation")]
        indexes = [
            models.Index(fields=["organisation", "-created_at", "-id"], name="connections_newest_first"),
            models.Index(fields=["organisation", "secrets_expire_at"], name="connections_by_expiry"),
        ]

    def __str__(self) -> str:
        return self.name


class ConnectionUse(models.Model):
    """How often a connection was used, when last and by whom. Counts are written at most once a minute."""

    connection = models.OneToOneField(Connection, models.CASCADE, primary_key=True, related_name="use")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    uses = models.PositiveBigIntegerField(_("uses"), default=0)
    last_used_at = models.DateTimeField(_("last used at"))
    last_used_by = models.CharField(_("last used by"), max_length=200)

    objects = TenantQuerySet["ConnectionUse"].as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.uses} ({self.last_used_at:%Y-%m-%d %H:%M})"


class ConnectionRevision(Identified):
    """What a connection's settings were at one of its versions, so that they can be looked at and restored."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="revisions")
    version = models.PositiveIntegerField()
    config = ObjectField(default=dict)
    schema_version = models.PositiveIntegerField(default=1)
    made_by = models.CharField(_("made by"), max_length=200)
    made_at = models.DateTimeField(_("made at"), default=timezone.now)

    objects = TenantQuerySet["ConnectionRevision"].as_manager()

    class Meta:
        default_permissions = ()
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["connection", "version"], name="one_revision_per_version")]
