"""Organisations, who belongs to them, and their data keys."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models.base import Identified, ListField, ObjectField, TenantQuerySet


class Role(models.TextChoices):
    """What a member may do; each role may also do all that the one before it may."""

    VIEWER = "viewer", _("Viewer")
    ANALYST = "analyst", _("Analyst")
    EDITOR = "editor", _("Editor")
    ADMIN = "admin", _("Administrator")

    @property
    def rank(self) -> int:
        return _RANKS[self]

    def covers(self, other: str) -> bool:
        """Whether this role may do all that ``other`` may."""
        return _RANKS[self] >= _RANKS[other]


_RANKS: dict[str, int] = {role: rank for rank, role in enumerate(Role)}


class Organisation(Identified):
    """A tenant. ``egress``, ``references`` and ``allow_unsafe_roles`` are the platform's to set, never its own."""

    slug = models.SlugField(_("slug"), max_length=63, unique=True)
    name = models.CharField(_("name"), max_length=200)
    sources = ListField(
        _("allowed sources"), default=list, blank=True, help_text=_("Source ids; empty allows all that are installed.")
    )
    egress = ListField(
        _("opened networks"),
        default=list,
        blank=True,
        help_text=_("Private networks that this organisation may reach, such as 10.1.0.0/16 or 10.1.2.3/32:5432."),
    )
    budgets = ObjectField(
        _("budgets"),
        default=dict,
        blank=True,
        help_text=_('Limits other than the deployment\'s, such as {"preview_rows": 1000, "preview_timeout": 10}.'),
    )
    allow_unsafe_roles = models.BooleanField(
        _("allow privileged logins"),
        default=False,
        help_text=_("Preview with database roles that cannot be contained. The platform must allow it too."),
    )
    accepts_unsafe_roles = models.BooleanField(
        _("accept privileged logins"),
        default=False,
        help_text=_("The organisation's own consent to previews with database roles that cannot be contained."),
    )
    references = ListField(
        _("allowed references"),
        default=list,
        blank=True,
        help_text=_("Where secrets may be kept outside, such as env:ACME_* or vault:secret/acme/*."),
    )
    suspended_at = models.DateTimeField(_("suspended at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("organisation")
        verbose_name_plural = _("organisations")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class OrganisationKey(Identified):
    """An organisation's data key, wrapped under a key of the ring. The newest version seals."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="keys")
    version = models.PositiveIntegerField(default=1)
    ring_key = models.CharField(max_length=32)
    blob = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["organisation", "version"], name="one_key_per_version")]


class Membership(Identified):
    """A user's place in an organisation."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["Membership"].as_manager()

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        default_permissions = ("view", "add", "change", "delete")
        constraints = [models.UniqueConstraint(fields=["organisation", "user"], name="one_membership_per_user")]

    def __str__(self) -> str:
        return f"{self.user.get_username()} ({self.get_role_display()})"
