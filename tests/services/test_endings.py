"""What secrets tell of their own end, by formats that are made here with the tools that make them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connections.services.endings import Ending, certificate_end, ending

END = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
EPOCH = int(END.timestamp())


def pem(end: datetime, *, authority: bool | None = False) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "reader")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(end - timedelta(days=365))
        .not_valid_after(end)
    )
    if authority is not None:
        made = made.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def token(claims: Any, header: Any = None, signature: bytes = b"signed") -> str:
    parts = [json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def private_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


LATER = END + timedelta(days=900)
TELLING = {
    "a certificate": (pem(END), "certificate"),
    "a certificate with its key": (private_key() + pem(END), "certificate"),
    "a chain, by its first member to end": (pem(LATER) + pem(END, authority=True), "certificate"),
    "a certificate of version 1, without extensions": (pem(END, authority=None), "certificate"),
    "a token": (token({"sub": "x", "exp": EPOCH}), "jwt"),
    "a token with its scheme": ("Bearer " + token({"exp": EPOCH}), "jwt"),
    "a token with parts of a second": (token({"exp": EPOCH + 0.0}), "jwt"),
    "a token that is not signed": (token({"exp": EPOCH}, {"alg": "none"}, b""), "jwt"),
    "a signature of Azure storage": (f"?sv=2024-11-04&sp=r&se={END:%Y-%m-%dT%H:%M:%SZ}&sig=a%2Bb%3D", "sas"),
    "a URL with one": (f"https://a.blob.core.windows.net/c?sp=r&se={END:%Y-%m-%dT%H%%3A%M%%3A%SZ}&sig=ab", "sas"),
    "a connection string with one": (
        f"BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=sp=r&se={END:%Y-%m-%dT%H:%M:%SZ}&sig=ab",
        "sas",
    ),
    "a signature of Azure's buses": (f"SharedAccessSignature sr=x&sig=ab%3D&se={EPOCH}&skn=reader", "sas"),
    "a URL that Amazon signed": (
        f"https://b.s3.amazonaws.com/k?X-Amz-Date={END - timedelta(hours=1):%Y%m%dT%H%M%SZ}&X-Amz-Expires=3600"
        "&X-Amz-Signature=ab",
        "signed_url",
    ),
    "a URL that Google signed": (
        f"https://storage.googleapis.com/b/k?X-Goog-Date={END - timedelta(hours=1):%Y%m%dT%H%M%SZ}"
        "&X-Goog-Expires=3600&X-Goog-Signature=ab",
        "signed_url",
    ),
    "an older signed URL": (f"https://b.example.com/k?Expires={EPOCH}&Signature=ab&Key-Pair-Id=K", "signed_url"),
    "temporary keys of AWS": (
        json.dumps({"Version": 1, "AccessKeyId": "ASIA", "SecretAccessKey": "s", "Expiration": END.isoformat()}),
        "temporary_key",
    ),
    "what assume-role prints": (
        json.dumps({"Credentials": {"AccessKeyId": "ASIA", "Expiration": "2031-05-06T09:08:09+02:00"}}),
        "temporary_key",
    ),
}
SILENT = {
    "a password": "hunter2",
    "an empty text": "",
    "a token without an end": token({"sub": "x"}),
    "a token whose end is no number": token({"exp": "soon"}),
    "a token whose end is true": token({"exp": True}),
    "a token that ends beyond all years": token({"exp": 1e300}),
    "a token that is not a number": token({"exp": float("nan")}),
    "three words with dots": "one.two.three",
    "an encrypted token": "eyJhbGciOiJSU0EifQ.a.b.c.d",
    "a token that nests without end": token({"exp": EPOCH}).split(".")[0]
    + "."
    + base64.urlsafe_b64encode(b"[" * 40_000).decode()
    + ".x",
    "a service account's key": json.dumps({"type": "service_account", "private_key": private_key()}),
    "a key": private_key(),
    "half a certificate": pem(END)[:200],
    "a certificate of noise": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    "a signature without an end": "sp=r&sig=ab&sv=2024",
    "a signature whose end is no date": "sp=r&se=tomorrow&sig=ab",
    "a signed URL without a date": "https://b/k?X-Amz-Expires=3600&X-Amz-Signature=ab",
    "a signed URL for ever": f"https://b/k?X-Amz-Date=20300101T000000Z&X-Amz-Expires={'9' * 30}&X-Amz-Signature=ab",
    "more fields than any URL has": "se=2030-01-01&sig=a&" + "a=b&" * 5000,
    "keys without an end": json.dumps({"AccessKeyId": "AKIA", "SecretAccessKey": "s"}),
    "a JSON list": "[1]",
    "broken JSON": "{",
}


@pytest.mark.parametrize(("text", "kind"), TELLING.values(), ids=TELLING)
def test_what_tells_its_end_is_believed(text: str, kind: str) -> None:
    assert ending(text) == Ending(END, kind)


@pytest.mark.parametrize("text", SILENT.values(), ids=SILENT)
def test_what_does_not_tell_has_no_end_and_breaks_nothing(text: str) -> None:
    assert ending(text) is None


def test_a_bundle_of_authorities_serves_until_the_last_has_ended() -> None:
    assert certificate_end(pem(END, authority=True) + pem(LATER, authority=True)) == LATER
