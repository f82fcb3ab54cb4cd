"""API keys. The key itself is shown once and never stored."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models.base import Identified, TenantQuerySet
from connections.models.connections import Connection
from connections.models.tenancy import Membership, Organisation, Role


class APIKey(Identified):
    """A program's key to one organisation. It dies with its maker's membership, whose role it never exceeds.

    A restricted key reaches only the connections it lists, and none once they are gone.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="api_keys")
    membership = models.ForeignKey(Membership, models.CASCADE, related_name="api_keys")
    name = models.CharField(_("name"), max_length=200)
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.VIEWER)
    prefix = models.CharField(_("prefix"), max_length=16, unique=True)
    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    restricted = models.BooleanField(_("only some connections"), default=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    objects = TenantQuerySet["APIKey"].as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} (ck_{self.prefix}_…)"


class APIKeyConnection(Identified):
    """One connection that a restricted key may reach."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    api_key = models.ForeignKey(APIKey, models.CASCADE, related_name="reach")
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="+")

    objects = TenantQuerySet["APIKeyConnection"].as_manager()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["api_key", "connection"], name="one_row_per_reach")]
