"""Who is calling: an API key, or a Django session with its CSRF token."""

from __future__ import annotations

import copy
from typing import Any

from django.http import QueryDict
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from connections.api.asking import asked, trail
from connections.models import APIKey
from connections.services import api_keys, ended_keys, walls


class APIKeyAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer ck_…``. A header that is there but not a live key is refused, not passed over.

    Where it is a key that has ended, that goes on record.
    """

    def authenticate(self, request: Request) -> tuple[Any, APIKey] | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, text = header.partition(" ")
        with walls.platform():  # a key is found before it is known whose it is
            key = api_keys.known(text.strip()) if scheme.lower() == "bearer" else None
            if key is None:
                raise exceptions.AuthenticationFailed
            if api_keys.ended(key) is not None:
                ended_keys.refused(key, asked(request), *trail(request))
                raise exceptions.AuthenticationFailed
            api_keys.used(key.pk, key.last_used_at, timezone.now())
            walls.enter(key.organisation_id)
        return key.membership.user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="catalogue"'


class SessionAuthentication(authentication.SessionAuthentication):
    """The admin site's session. Its token against forgery comes in a header: a body is not read before it is there."""

    def enforce_csrf(self, request: Request) -> None:
        unread = copy.copy(request._request)
        unread._post, unread._files = QueryDict(), MultiValueDict()  # type: ignore[attr-defined]
        super().enforce_csrf(unread)  # type: ignore[arg-type]
