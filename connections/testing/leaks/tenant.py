"""An organisation to hunt in, with an administrator, the administrator's key, and a browser."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from secrets import token_hex
from typing import Any

from django.contrib.auth import get_user_model
from django.test import Client

from connections.models import Membership, Organisation, Role
from connections.services import api_keys, tenancy
from connections.services.actor import Actor


@dataclass
class Tenant:
    organisation: Organisation
    person: Any
    key: str = field(repr=False)

    @property
    def actor(self) -> Actor:
        return tenancy.actor_of(self.person, self.organisation.slug, request_id="leak-hunt")

    @cached_property
    def browser(self) -> Client:
        """A browser that is logged in. What goes wrong is an answer, as it is for a real one."""
        return _browser(self.person)

    @cached_property
    def platform(self) -> Client:
        """A superuser's browser, who has not come into the organisation yet."""
        name = f"platform-{token_hex(4)}"
        return _browser(get_user_model()._default_manager.create_superuser(name, password=token_hex(16)))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the REST API. ``path`` is under the organisation's own, unless it starts with a slash."""
        url = f"/api/v1{path}" if path.startswith("/") else f"/api/v1/orgs/{self.organisation.slug}/{path}"
        sent: dict[str, Any] = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return self._program.generic(method, url, **sent, headers={"Authorization": f"Bearer {self.key}"})

    @cached_property
    def _program(self) -> Client:
        return Client(raise_request_exception=False)


def _browser(person: Any) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(person, backend="connections.admin.backend.MembershipBackend")
    return client


def make() -> Tenant:
    """A new organisation. Its name is like no other's."""
    slug = f"hunt-{token_hex(4)}"
    organisation = tenancy.create_organisation(slug, "Hunt")
    person = get_user_model()._default_manager.create_user(slug, password=token_hex(16), is_staff=True)
    Membership.objects.create(organisation=organisation, user=person, role=Role.ADMIN)
    actor = tenancy.actor_of(person, slug, request_id="leak-hunt")
    return Tenant(organisation, person, api_keys.create(actor, "hunt", Role.ADMIN)[1])
