"""TLS as a source's settings ask for it: the context to connect with, and what a refused handshake means."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connections.adapters.errors import InvalidError, TLSError
from connections.adapters.network import TLS, TLSMode

# What OpenSSL calls a server's wish for a client certificate that it did not get, or did not accept.
_CLIENT_CERTIFICATE_ALERTS = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN"
    r"|CERTIFICATE_REVOKED|UNSUPPORTED_CERTIFICATE)"
)


def ssl_context(tls: TLS, scratch: Path | None) -> ssl.SSLContext:
    """A client's context for ``tls``, TLS 1.2 at the least.

    The environment is not asked (``SSL_CERT_FILE`` changes nothing). A client key is written for the moment of
    loading, to memory or, where the system has no such file, to ``scratch``. Raises ``InvalidError`` for a
    certificate or key that cannot be used, and for mode ``disable``, which has no context.
    """
    if tls.mode is TLSMode.DISABLE:
        raise InvalidError("TLS is turned off for this connection.", field="/config/tls/mode")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = tls.mode is TLSMode.VERIFY_FULL
    context.verify_mode = ssl.CERT_NONE if tls.mode is TLSMode.REQUIRE else ssl.CERT_REQUIRED
    _trust(context, tls.ca)
    if tls.certificate is not None or tls.key is not None:
        _identify(context, tls, scratch)
    return context


def tls_error(
    exc: ssl.SSLError,
    host: str,
    *,
    host_field: str = "/config/host",
    ca_field: str = "/config/tls/ca",
    certificate_field: str = "/secrets/tls/certificate",
) -> TLSError:
    """A failed handshake with ``host`` as an error that says which side is at fault, and at which setting."""
    reason = exc.reason or ""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _not_trusted(exc, host, host_field, ca_field)
    if _CLIENT_CERTIFICATE_ALERTS.search(reason):
        return TLSError(
            f"{host} asks for a client certificate, or does not accept the one it got.",
            field=certificate_field,
            step="tls",
            hint="Enter a client certificate and its key that the server accepts.",
        )
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return TLSError(
            f"{host} does not speak TLS on this port.",
            field=host_field,
            step="tls",
            hint="Check the port, and that the server offers TLS.",
        )
    words = reason.replace("_", " ").lower() or "the handshake failed"
    return TLSError(f"No secure connection to {host}: {words}.", field=host_field, step="tls")


def session_detail(connection: ssl.SSLSocket | ssl.SSLObject) -> str:
    """What a status check shows of a session: ``TLSv1.3, expires 2027-01-02``."""
    version = connection.version() or "TLS"
    certificate: dict[str, Any] = dict(connection.getpeercert() or {})  # empty when it was not verified
    expires = certificate.get("notAfter")
    if not expires:
        return f"{version}, certificate not verified"
    seconds = ssl.cert_time_to_seconds(expires)
    return f"{version}, expires {_day(seconds)}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _not_trusted(exc: ssl.SSLCertVerificationError, host: str, host_field: str, ca_field: str) -> TLSError:
    about_name = "mismatch" in exc.verify_message
    return TLSError(
        f"The certificate of {host} is not accepted: {exc.verify_message.rstrip('.')}.",
        field=host_field if about_name or "expired" in exc.verify_message else ca_field,
        step="tls",
        hint="Use the name that is in the certificate."
        if about_name
        else "Enter the certificate of the authority that signed it, or have the server's certificate renewed.",
    )


def _trust(context: ssl.SSLContext, ca: str | None) -> None:
    if ca is None:
        # The compiled-in places; load_default_certs() would let the environment choose others.
        places = ssl.get_default_verify_paths()
        context.load_verify_locations(
            cafile=places.openssl_cafile if os.path.isfile(places.openssl_cafile) else None,
            capath=places.openssl_capath,
        )
        return
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError):
        raise InvalidError("The CA certificate is not PEM text of a certificate.", field="/config/tls/ca") from None


def _identify(context: ssl.SSLContext, tls: TLS, scratch: Path | None) -> None:
    if tls.certificate is None or tls.key is None:
        lacking = "certificate" if tls.certificate is None else "key"
        raise InvalidError("A client certificate and its key are needed together.", field=f"/secrets/tls/{lacking}")
    pem = f"{tls.certificate.get_secret_value().strip()}\n{tls.key.get_secret_value().strip()}\n"
    try:
        with _for_a_moment(pem, scratch) as path:
            context.load_cert_chain(path, password=b"")  # b"": an encrypted key fails, it does not ask a terminal
    except (ssl.SSLError, ValueError):
        raise InvalidError(
            "The client certificate and key cannot be used together.",
            field="/secrets/tls/key",
            hint="Enter both as PEM, the key without a passphrase.",
        ) from None


@contextlib.contextmanager
def _for_a_moment(text: str, scratch: Path | None) -> Iterator[str]:
    """A path whose file holds ``text`` until the block ends: OpenSSL loads a key from files only."""
    if hasattr(os, "memfd_create"):
        fd, path = os.memfd_create("key", os.MFD_CLOEXEC), None
    else:
        fd, path = tempfile.mkstemp(dir=scratch)  # mode 0600
    try:
        os.write(fd, text.encode())
        yield path or f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
        if path is not None:
            os.unlink(path)
