"""The blob format written a second time, from its description, without the code under test or its libraries.

HKDF is RFC 5869 by hand; only the AES block cipher comes from ``cryptography``.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def seal(payload: bytes, key: bytes, kid: str, associated: bytes, *, time: int, iv: bytes) -> bytes:
    header = b"\x01" + bytes([len(kid)]) + kid.encode()
    padding = 16 - len(payload) % 16
    encryptor = Cipher(algorithms.AES(hkdf(key, b"catalog-seal-1 cipher")), modes.CBC(iv)).encryptor()
    token = b"\x80" + time.to_bytes(8, "big") + iv + encryptor.update(payload + bytes([padding]) * padding)
    covered = sized(header) + sized(associated) + token
    return header + token + hmac.digest(hkdf(key, b"catalog-seal-1 mac"), covered, hashlib.sha256)


def hkdf(key: bytes, info: bytes) -> bytes:
    extracted = hmac.digest(b"\x00" * 32, key, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def sized(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part
