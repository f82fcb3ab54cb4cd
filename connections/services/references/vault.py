"""Secrets in Vault or OpenBao: one key of a secret in a KV engine, version 1 or 2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from django.conf import settings

from connections.sealing.openbao import Answer, OpenBao, OpenBaoError
from connections.services.references.missing import Missing

MOUNT: Final = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)(?::([12]))?")
"""A member of CATALOG_VAULT_MOUNTS: where a key-value engine is mounted, and its version, 2 if that is left out."""


def look_up(name: str, until: float) -> str:
    """The text of the key in ``mount/path#key``. ``until`` is in monotonic seconds. Raises ``Missing``."""
    whole, _, key = name.partition("#")
    server = OpenBao.from_settings()
    if server is None:
        raise Missing("Vault: CATALOG_VAULT_URL is not set")
    mount, version = _mount(whole)
    path = whole.removeprefix(f"{mount}/")
    place = f"vault {server.url} mount {mount} path {path}"
    address = f"{mount}/data/{path}" if version == 2 else f"{mount}/{path}"
    try:
        answer = server.ask("GET", quote(address), until=until)
    except OpenBaoError as error:
        raise Missing(f"{place}: {error.message}", transient=error.transient) from None
    return _text(answer, version, key, place)


def _mount(whole: str) -> tuple[str, int]:
    """The longest of the deployment's mounts that ``whole`` lies in, and its engine's version."""
    known = [MOUNT.fullmatch(entry) for entry in settings.CATALOG_VAULT_MOUNTS]
    found = [(match[1], int(match[2] or 2)) for match in known if match and whole.startswith(f"{match[1]}/")]
    if not found:
        raise Missing(f"Vault: no mount of CATALOG_VAULT_MOUNTS holds {whole}")
    return max(found, key=lambda entry: len(entry[0]))


def _text(answer: Answer, version: int, key: str, place: str) -> str:
    if answer.status == 404:
        raise Missing(f"{place}: no such path, or its newest version is deleted", fixable_by="you")
    if answer.status == 403:
        raise Missing(f"{place}: the catalogue's token may not read it")
    if answer.status != 200:
        raise Missing(f"{place}: the answer was {answer.status}")
    found: Any = answer.content.get("data")
    if version == 2:
        found = found.get("data") if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise Missing(f"{place}: the mount is no KV engine of version {version}")
    if key not in found:
        raise Missing(f"{place} key {key}: no such key", fixable_by="you")
    if not isinstance(found[key], str):
        raise Missing(f"{place} key {key}: its value is no text", fixable_by="you")
    return str(found[key])
