"""The deployment's own keys, read from the setting CATALOG_KEYS.

The setting is ``<id>:<key>,<id>:<key>,…``: each key is base64url of at least 32 random bytes, and the last
entry is the newest. Everything is sealed under the newest; the others only open what they sealed. A key may also be
``transit:<name>``: it then never leaves the transit engine of the deployment's vault (see ``transit``).
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NoReturn

from django.conf import settings

from connections.sealing.errors import KeyRingError, KeyRingProblem, KeyUnavailable

KEY_BYTES: Final = 32
KEY_ID: Final = re.compile(r"[a-z0-9_-]{1,32}\Z")

# What the documentation prints. It has the right shape, so it must be refused by value.
SAMPLE_KEYS: Final = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

_MAKE_ONE: Final = "Make one with: python -c \"import secrets; print('k1:' + secrets.token_urlsafe(32))\""
# 32 random bytes hold about 30 distinct values; fewer than 16 happens once in about 10**17 draws.
_DISTINCT_BYTES: Final = 16
_TRANSIT: Final = re.compile(r"transit:([A-Za-z0-9_-]{1,64})\Z")
_PROOF: Final = b"catalog-ring-1 proof"
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+={0,2}\Z")


class InMemoryOnly:
    """An object that holds key bytes: it can be neither pickled nor copied, so it reaches no queue or cache."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds key bytes: it cannot be pickled or copied.")


class KeyText(str):
    """The text of CATALOG_KEYS, whose ``repr`` shows key ids only. Keeps keys out of ``manage.py diffsettings``."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = []
        for entry in self.split(","):
            kid, colon, _ = entry.strip().partition(":")
            # An id as long as a short key may be a key in the wrong place.
            shown.append(kid if colon and KEY_ID.match(kid) and len(kid) < 16 else "?")
        return f"<KeyText {', '.join(shown)}>"


class KeyRing(InMemoryOnly):
    """The keys by id, oldest first. ``repr`` shows ids only."""

    __slots__ = ("_ids", "_keys", "_transit", "newest")

    newest: str

    def __init__(self, text: str, *, secret_keys: Iterable[str | bytes] = ()) -> None:
        """Read ``text``, the value of CATALOG_KEYS. Raises KeyRingError.

        ``secret_keys`` are Django's SECRET_KEY and its fallbacks: a key that equals one of them, or is a
        plain encoding or digest of one, is refused.
        """
        if not text or not text.strip():
            raise KeyRingError(KeyRingProblem.MISSING, f"CATALOG_KEYS is not set. {_MAKE_ONE}")
        self._keys: dict[str, bytes] = {}
        self._transit: dict[str, str] = {}
        self._ids: list[str] = []
        forbidden = [_as_bytes(secret) for secret in secret_keys if secret]
        for position, entry in enumerate(text.split(","), start=1):
            where = f"Entry {position} of CATALOG_KEYS"
            kid, key = _parse_entry(entry.strip(), where)
            if isinstance(key, bytes):
                _refuse_derived(key, entry.strip().partition(":")[2], forbidden, where)
                _refuse_weak(key, where)
            if kid in self._ids or key in (*self._keys.values(), *self._transit.values()):
                raise KeyRingError(KeyRingProblem.DUPLICATE, f"{where} repeats an id or a key. Each must be new.")
            self._ids.append(kid)
            if isinstance(key, bytes):
                self._keys[kid] = key
            else:
                self._transit[kid] = key
            self.newest = kid

    @classmethod
    def from_settings(cls) -> "KeyRing":
        """Return the ring of the current settings; parsed anew only when they change. Raises KeyRingError."""
        ring = _ring(*_settings_values())
        if ring._transit and not settings.CATALOG_VAULT_URL:
            raise KeyRingError(
                KeyRingProblem.NO_VAULT, "CATALOG_KEYS names a key of a vault, and CATALOG_VAULT_URL is not set."
            )
        return ring

    @property
    def ids(self) -> tuple[str, ...]:
        """The key ids, oldest first."""
        return tuple(self._ids)

    def transit(self, kid: str) -> str | None:
        """Return the name that the key ``kid`` has in the vault's transit engine; None for a key that is held here."""
        return self._transit.get(kid)

    def get(self, kid: str) -> bytes:
        """Return the key named ``kid``, which is held here. Raises KeyUnavailable."""
        try:
            return self._keys[kid]
        except KeyError:
            pass
        raise KeyUnavailable(kid)

    def proof(self, kid: str) -> str:
        """Return what only this key's bytes give, 64 characters that tell nothing of them. Raises KeyUnavailable."""
        return hmac.digest(self.get(kid), _PROOF, "sha256").hex()

    def __repr__(self) -> str:
        return f"<KeyRing {', '.join(self._ids)}>"


def make_entry(kid: str) -> str:
    """Return a fresh entry for CATALOG_KEYS, ``<kid>:<base64url of 32 random bytes>``."""
    if not KEY_ID.match(kid):
        raise ValueError("A key id is 1 to 32 of a-z, 0-9, _ and -.")
    return f"{kid}:{base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode().rstrip('=')}"


@lru_cache(maxsize=2)
def _ring(text: str, secret_keys: tuple[str | bytes, ...]) -> KeyRing:
    return KeyRing(text, secret_keys=secret_keys)


def _settings_values() -> tuple[str, tuple[str | bytes, ...]]:
    """Read CATALOG_KEYS, and the keys it must differ from."""
    text = getattr(settings, "CATALOG_KEYS", None) or ""
    return text, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


def _parse_entry(entry: str, where: str) -> tuple[str, bytes | str]:
    """The id, and the key or the name that it has in the transit engine."""
    kid, colon, text = entry.partition(":")
    if not colon or not KEY_ID.match(kid):
        raise KeyRingError(
            KeyRingProblem.MALFORMED, f"{where} is not <id>:<key> with an id of 1 to 32 of a-z, 0-9, _ and -."
        )
    if (named := _TRANSIT.match(text)) is not None:
        return kid, named[1]
    key = _decode_key(text)
    if key is None:
        raise KeyRingError(KeyRingProblem.MALFORMED, f"{where} is not base64url. {_MAKE_ONE}")
    if len(key) < KEY_BYTES:
        raise KeyRingError(
            KeyRingProblem.SHORT, f"{where} has {len(key)} bytes; it needs {KEY_BYTES} or more. {_MAKE_ONE}"
        )
    return kid, key


def _decode_key(text: str) -> bytes | None:
    if not text:
        return b""
    if not _BASE64URL.match(text):
        return None
    bare = text.rstrip("=")
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return None


def _refuse_weak(key: bytes, where: str) -> None:
    sample = _decode_key(SAMPLE_KEYS.partition(":")[2])
    if key == sample or len(set(key)) < _DISTINCT_BYTES:
        raise KeyRingError(KeyRingProblem.NOT_RANDOM, f"{where} is the documented sample or is not random. {_MAKE_ONE}")


def _refuse_derived(key: bytes, text: str, forbidden: Iterable[bytes], where: str) -> None:
    for secret in forbidden:
        if text.encode() == secret or any(_overlap(key, form) for form in _plain_forms(secret)):
            raise KeyRingError(
                KeyRingProblem.NOT_INDEPENDENT,
                f"{where} is SECRET_KEY or made from it. The two must be independent. {_MAKE_ONE}",
            )


def _plain_forms(secret: bytes) -> Iterator[bytes]:
    """Yield what someone gets who turns SECRET_KEY into a key by hand."""
    yield secret
    for name in ("md5", "sha1", "sha256", "sha512", "blake2b"):
        digest = hashlib.new(name, secret, usedforsecurity=False)
        yield digest.digest()
        yield digest.hexdigest().encode()
    text = secret.decode(errors="replace")
    for decode in (_decode_key, _from_hex):
        decoded = decode(text)
        if decoded:
            yield decoded


def _from_hex(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _overlap(key: bytes, form: bytes) -> bool:
    """Say whether one holds the other. Forms under 16 bytes would be found in a random key's text by chance."""
    return key in form or (len(form) >= 16 and form in key)


def _as_bytes(secret: str | bytes) -> bytes:
    return secret if isinstance(secret, bytes) else secret.encode()


if __name__ == "__main__":  # prints a fresh entry: CATALOG_KEYS is needed before any manage.py command can start
    if len(sys.argv) != 2 or not KEY_ID.match(sys.argv[1]):
        sys.exit("Say the new key's id: python -m connections.sealing.keyring k2")
    sys.stdout.write(make_entry(sys.argv[1]) + "\n")
