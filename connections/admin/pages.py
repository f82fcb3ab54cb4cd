"""What the admin has pages for."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from connections.admin.connections import ConnectionAdmin
from connections.admin.people import APIKeyAdmin, MembershipAdmin
from connections.admin.platform import OrganisationAdmin, PersonAdmin
from connections.admin.record import EventAdmin
from connections.models import APIKey, Connection, Event, Membership, Organisation


def register(site: AdminSite) -> None:
    """Put our pages on the site, in place of the stock ones of users and groups."""
    people = get_user_model()
    for model in (Group, people):
        if site.is_registered(model):
            site.unregister(model)
    site.register(Connection, ConnectionAdmin)
    site.register(APIKey, APIKeyAdmin)
    site.register(Membership, MembershipAdmin)
    site.register(Event, EventAdmin)
    site.register(Organisation, OrganisationAdmin)
    site.register(people, PersonAdmin)
