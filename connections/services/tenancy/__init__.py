"""Organisations and their members."""

from connections.services.tenancy.belonging import actor_of, actors_of, organisations, stranger
from connections.services.tenancy.membership import add_member, change_member, member, members, remove_member
from connections.services.tenancy.organisation import (
    Planned,
    configure,
    create_organisation,
    decide,
    establish,
    found,
    plan,
)

__all__ = [
    "Planned",
    "actor_of",
    "actors_of",
    "add_member",
    "change_member",
    "configure",
    "create_organisation",
    "decide",
    "establish",
    "found",
    "member",
    "members",
    "organisations",
    "plan",
    "remove_member",
    "stranger",
]
