"""Who may do what in the admin: users log in here; their rights come from their membership."""

from __future__ import annotations

from django.contrib.auth.backends import ModelBackend


class MembershipBackend(ModelBackend):
    """Logs users in. Permissions are those of the membership, so Django's own permission rows grant nothing."""
