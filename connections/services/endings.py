"""When a text ends, where it says so itself: certificates, JSON Web Tokens, signed URLs, temporary cloud keys.

Nothing here trusts what it reads, and no signature is checked: a date is read, to warn by, and nothing else is.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

PEM = "-----BEGIN CERTIFICATE-----"
_TOKEN = re.compile(r"(?:Bearer\s+)?([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*", re.IGNORECASE)
_PARTS = re.compile(r"[?;\s]+")
_STAMP = "%Y%m%dT%H%M%SZ"
_MOST_FIELDS = 100
_NOT_READ = (ValueError, OverflowError, OSError, RecursionError)
_NOT_A_CERTIFICATE = (ValueError, x509.InvalidVersion, x509.DuplicateExtension, UnsupportedAlgorithm)


@dataclass(frozen=True, slots=True)
class Ending:
    """``kind`` is ``certificate``, ``jwt``, ``sas``, ``signed_url`` or ``temporary_key``; ``at`` is in UTC."""

    at: datetime
    kind: str


def ending(text: str) -> Ending | None:
    """When ``text`` ends by its own account, or None when it does not say."""
    text = text.strip()
    for read, kind in _READERS:
        try:
            at = read(text)
        except _NOT_READ:
            continue
        if at is not None:
            return Ending(at, kind)
    return None


def certificate_end(text: str) -> datetime | None:
    """The end of the PEM certificates in ``text``, whatever else it holds.

    A chain ends with its first member to end. A bundle of authorities alone serves until its last one has ended.
    """
    if PEM not in text:
        return None
    try:
        found = x509.load_pem_x509_certificates(text.encode())
        ends = [certificate.not_valid_after_utc for certificate in found]
        return max(ends) if all(map(_is_authority, found)) else min(ends)
    except _NOT_A_CERTIFICATE:
        return None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _token(text: str) -> datetime | None:
    """The ``exp`` of a signed JSON Web Token (RFC 7519). An encrypted one, of five parts, does not tell."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        return None
    header, claims = (_decoded(part) for part in found.groups())
    if not isinstance(header, Mapping) or "alg" not in header or not isinstance(claims, Mapping):
        return None
    return _epoch(claims.get("exp"))


def _decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def _shared_access(text: str) -> datetime | None:
    """The ``se`` of an Azure shared access signature, alone, in a URL or in a connection string."""
    for fields in _fields(text):
        if "sig" in fields and "se" in fields:
            end = fields["se"]
            return _epoch(int(end)) if end.isascii() and end.isdecimal() else _moment(end)
    return None


def _signed_url(text: str) -> datetime | None:
    """The end of a URL that Amazon, Google or a compatible service signed."""
    for fields in _fields(text):
        for vendor in ("X-Amz", "X-Goog"):
            if f"{vendor}-Signature" in fields:
                made = datetime.strptime(fields.get(f"{vendor}-Date", ""), _STAMP).replace(tzinfo=UTC)
                return made + timedelta(seconds=int(fields.get(f"{vendor}-Expires", "")))
        if "Signature" in fields and "Expires" in fields:
            return _epoch(int(fields["Expires"]))
    return None


def _temporary_key(text: str) -> datetime | None:
    """The ``Expiration`` of AWS credentials in JSON, as its command line and ``credential_process`` print them.

    A Google service account's key has no end of its own.
    """
    if not text.startswith("{"):
        return None
    found = json.loads(text)
    found = found.get("Credentials", found) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or "AccessKeyId" not in found or not isinstance(found.get("Expiration"), str):
        return None
    return _moment(found["Expiration"])


def _fields(text: str) -> list[dict[str, str]]:
    """The query strings in ``text``: after a question mark, between semicolons, or all of it."""
    found = []
    for part in _PARTS.split(text):
        part = part.removeprefix("SharedAccessSignature=")
        if "=" in part and "&" in part:
            found.append(dict(parse_qsl(part.partition("#")[0], max_num_fields=_MOST_FIELDS)))
    return found


def _epoch(seconds: Any) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _moment(text: str) -> datetime:
    """ISO 8601; a date alone is the start of that day, and what names no offset is UTC."""
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)


_READERS: tuple[tuple[Callable[[str], datetime | None], str], ...] = (
    (certificate_end, "certificate"),
    (_token, "jwt"),
    (_shared_access, "sas"),
    (_signed_url, "signed_url"),
    (_temporary_key, "temporary_key"),
)
