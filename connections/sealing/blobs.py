"""Authenticated encryption with associated data: the bytes of a sealed blob.

    0x01 | length of key id | key id | 0x80 | time (8) | IV (16) | AES-256-CBC ciphertext | HMAC-SHA256 (32)

From 0x80 on it is a Fernet token, made by django-cryptography's ``FernetBytes``. Cipher and MAC have
independent keys, HKDF-SHA256 of the given key under two info strings. The MAC covers, each after its length
in 8 bytes, the header and the associated data, then the token: nothing can be moved, and no key id swapped.
The time is informative; blobs do not expire. Another first byte is the room for another cipher: 0x03 is what a vault's
transit engine sealed (``transit``), with the same header before its own text.
"""

import datetime
import hmac
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.core.signing import BadSignature
from django_cryptography.utils.crypto import FernetBytes, InvalidToken

from connections.sealing.errors import SealError, Tampered, UnknownFormat
from connections.sealing.keyring import KEY_BYTES, KEY_ID

FORMAT_BYTE: Final = 1
TRANSIT_BYTE: Final = 3

_MAC_BYTES: Final = 32
_TOKEN_HEAD: Final = struct.Struct(">cQ")
_TOKEN_VERSION: Final = b"\x80"
_LEAST_TOKEN: Final = _TOKEN_HEAD.size + 16 + 16 + _MAC_BYTES  # an IV and one block of ciphertext

Stored = bytes | bytearray | memoryview | None
"""What a database driver hands back for a binary column."""


def seal(payload: bytes, key: bytes, kid: str, associated: bytes) -> bytes:
    """Return ``payload`` sealed under ``key``; it opens only with the same ``associated``.

    ``kid`` is written into the blob in clear. Raises ValueError for a key under 32 bytes or a bad id.
    """
    header = header_of(kid)
    return header + _cipher(key, header, associated).encrypt(payload)


def open_(blob: Stored, key_for: Callable[[str], bytes], associated: bytes) -> bytes:
    """Return the payload of ``blob``.

    ``key_for`` gives the key of the id in the blob and raises KeyUnavailable when there is none; no other
    key is tried. Raises UnknownFormat, KeyUnavailable or Tampered.
    """
    parts = split(blob)
    failure: SealError
    try:
        return _cipher(key_for(parts.kid), parts.header, associated).decrypt(parts.token)
    except (BadSignature, InvalidToken):
        failure = Tampered()
    raise failure  # outside the handler, so that no cause from the library travels along


def key_id_of(blob: Stored) -> str:
    """Return the id of the key that sealed ``blob``, read from its header and not verified. Raises UnknownFormat."""
    return split(blob, FORMAT_BYTE, TRANSIT_BYTE).kid


def sealed_at(blob: Stored) -> datetime.datetime:
    """Return when ``blob`` was sealed, to the second, which is verified where it opens. Raises UnknownFormat."""
    token = split(blob).token
    if len(token) < _TOKEN_HEAD.size:
        raise UnknownFormat
    return datetime.datetime.fromtimestamp(_TOKEN_HEAD.unpack_from(token)[1], datetime.UTC)


class Parts(NamedTuple):
    """A blob: its header, the key id in that, and what follows."""

    header: bytes
    kid: str
    token: bytes


def header_of(kid: str, first: int = FORMAT_BYTE) -> bytes:
    """Return the header of a blob of the format ``first``. Raises ValueError for a bad id."""
    if not KEY_ID.match(kid):
        raise ValueError("A key id is 1 to 32 of a-z, 0-9, _ and -.")
    return bytes([first, len(kid)]) + kid.encode("ascii")


def split(blob: Stored, *formats: int) -> Parts:
    """Return the parts of a blob that is of one of ``formats``, by default this module's. Raises UnknownFormat."""
    if not isinstance(blob, bytes | bytearray | memoryview):
        raise UnknownFormat
    raw = bytes(blob)
    if len(raw) < 2 or raw[0] not in (formats or (FORMAT_BYTE,)):
        raise UnknownFormat
    end = 2 + raw[1]
    kid = raw[2:end].decode("ascii", errors="replace")
    if len(raw) < end or not KEY_ID.match(kid):
        raise UnknownFormat
    return Parts(raw[:end], kid, raw[end:])


def forget_keys() -> None:
    """Let go of the keys that were derived from those that blobs were sealed or opened with."""
    _subkeys.cache_clear()


class _BoundSigner:
    """The signer of one blob: its MAC covers the header and the associated data before the token."""

    __slots__ = ("_mac_key", "_prefix")

    def __init__(self, mac_key: bytes, header: bytes, associated: bytes) -> None:
        self._mac_key = mac_key
        self._prefix = len(header).to_bytes(8, "big") + header + len(associated).to_bytes(8, "big") + associated

    def signature(self, value: bytes | str) -> bytes:
        token = value.encode() if isinstance(value, str) else value
        return hmac.digest(self._mac_key, self._prefix + token, "sha256")

    def sign(self, value: bytes | str, current_time: int) -> bytes:
        body = value.encode() if isinstance(value, str) else value
        token = _TOKEN_HEAD.pack(_TOKEN_VERSION, current_time) + body
        return token + self.signature(token)

    def unsign(self, signed_value: bytes, max_age: float | datetime.timedelta | None = None) -> bytes:
        """Return IV and ciphertext. ``max_age`` is part of the library's protocol and must be None: no blob expires."""
        if max_age is not None:
            raise ValueError("Sealed blobs do not expire.")
        token, mac = signed_value[:-_MAC_BYTES], signed_value[-_MAC_BYTES:]
        if len(signed_value) < _LEAST_TOKEN or not hmac.compare_digest(mac, self.signature(token)):
            raise BadSignature("The MAC does not match.")
        return token[_TOKEN_HEAD.size :]


def _cipher(key: bytes, header: bytes, associated: bytes) -> FernetBytes:
    # FernetBytes falls back to a key made from SECRET_KEY when it is given none: a short key must not get there.
    if len(key) < KEY_BYTES:
        raise ValueError(f"A sealing key has {KEY_BYTES} bytes or more.")
    cipher_key, mac_key = _subkeys(key)
    return FernetBytes(cipher_key, _BoundSigner(mac_key, header, associated))


@lru_cache(maxsize=1024)  # one entry for each organisation at work; two derivations cost more than the rest of opening
def _subkeys(key: bytes) -> tuple[bytes, bytes]:
    return _derive(key, b"catalog-seal-1 cipher"), _derive(key, b"catalog-seal-1 mac")


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key)
