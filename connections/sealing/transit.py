"""Organisation keys that are wrapped by a vault's transit engine: the root key never leaves the vault.

    0x03 | length of key id | key id | the engine's own text, "vault:v1:…"

The engine authenticates header and associated data, each after its length in 8 bytes; its key must be of a kind that
takes associated data (``aes256-gcm96``, ``chacha20-poly1305``). What was unwrapped is kept in memory, for at most
``CATALOG_TRANSIT_FRESH`` seconds: each opening of secrets would otherwise ask the vault.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
import time
from typing import Any, Final

from django.conf import settings

from connections.sealing import blobs
from connections.sealing.errors import KeyUnavailable, KeyUnreachable, Tampered
from connections.sealing.keyring import InMemoryOnly
from connections.sealing.openbao import Answer, OpenBao, OpenBaoError

KEPT: Final = 1024
# The engine answers 400 for whatever it does not decrypt. These say that it is the key that is amiss, not the text.
_KEY_MISSING: Final = ("encryption key not found", "disallowed by policy")


class _Unwrapped(InMemoryOnly):
    """Organisation keys in memory, each until its time is over, read or not."""

    __slots__ = ("_keys", "_lock", "_timer")

    def __init__(self) -> None:
        self._keys: dict[bytes, tuple[float, bytes]] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, place: bytes) -> bytes | None:
        until, key = self._keys.get(place, (0.0, b""))
        return key if time.monotonic() < until else None

    def put(self, place: bytes, key: bytes, seconds: float) -> None:
        if seconds <= 0:
            return
        with self._lock:
            if len(self._keys) >= KEPT:
                del self._keys[next(iter(self._keys))]
            self._keys[place] = (time.monotonic() + seconds, key)
            self._look_again()

    def forget(self) -> None:
        """Let go of those whose time is over, and of what was derived from them."""
        with self._lock:
            now = time.monotonic()
            over = [place for place, (until, _) in self._keys.items() if until <= now]
            for place in over:
                del self._keys[place]
            self._timer = None
            self._look_again()
        if over:
            blobs.forget_keys()

    def clear(self) -> None:
        with self._lock:
            self._keys.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        blobs.forget_keys()

    def _look_again(self) -> None:
        if not self._keys or (self._timer is not None and self._timer.is_alive()):
            return
        first = min(until for until, _ in self._keys.values())
        self._timer = threading.Timer(max(first - time.monotonic(), 0.05), self.forget)
        self._timer.daemon = True
        self._timer.start()


unwrapped: Final = _Unwrapped()


def wrap(payload: bytes, name: str, kid: str, associated: bytes) -> bytes:
    """Return ``payload`` sealed by the engine's key ``name``. Raises KeyUnreachable."""
    header = blobs.header_of(kid, blobs.TRANSIT_BYTE)
    answer = _ask("encrypt", name, kid, {"plaintext": _text(payload), **_bound(header, associated)})
    sealed = _member(answer, "ciphertext")
    if sealed is None:
        raise KeyUnreachable(kid, _refusal(answer))
    return header + sealed.encode("ascii")


def unwrap(blob: blobs.Stored, name: str, associated: bytes) -> bytes:
    """Return what ``wrap`` was given. Raises UnknownFormat, KeyUnreachable, KeyUnavailable or Tampered."""
    parts = blobs.split(blob, blobs.TRANSIT_BYTE)
    place = hashlib.sha256(b"".join(_lengthened(name.encode(), parts.header + parts.token, associated))).digest()
    key = unwrapped.get(place)
    if key is None:
        key = _unwrap(parts, name, associated)
        unwrapped.put(place, key, settings.CATALOG_TRANSIT_FRESH)
    return key


def _unwrap(parts: blobs.Parts, name: str, associated: bytes) -> bytes:
    if not parts.token.isascii():
        raise Tampered
    body = {"ciphertext": parts.token.decode("ascii"), **_bound(parts.header, associated)}
    answer = _ask("decrypt", name, parts.kid, body)
    text = _member(answer, "plaintext")
    if text is None and answer.status == 400:
        told = str(answer.content.get("errors", "")).lower()
        raise KeyUnavailable(parts.kid) if any(words in told for words in _KEY_MISSING) else Tampered()
    if text is None:
        raise KeyUnreachable(parts.kid, _refusal(answer))
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise KeyUnreachable(parts.kid, "its answer is no base64") from None


def _ask(verb: str, name: str, kid: str, body: dict[str, Any]) -> Answer:
    server = OpenBao.from_settings()
    if server is None:
        raise KeyUnreachable(kid, "CATALOG_VAULT_URL is not set")
    try:
        return server.ask("POST", f"{settings.CATALOG_TRANSIT_MOUNT}/{verb}/{name}", body)
    except OpenBaoError as error:
        reason = error.message
    raise KeyUnreachable(kid, reason)


def _member(answer: Answer, name: str) -> str | None:
    found = answer.content.get("data") if answer.status == 200 else None
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, str) and value.isascii() else None


def _refusal(answer: Answer) -> str:
    if answer.status == 403:
        return "the catalogue's token may not use it"
    return f"the vault answered {answer.status}"


def _bound(header: bytes, associated: bytes) -> dict[str, str]:
    return {"associated_data": _text(b"".join(_lengthened(header, associated)))}


def _lengthened(*parts: bytes) -> list[bytes]:
    return [len(part).to_bytes(8, "big") + part for part in parts]


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
