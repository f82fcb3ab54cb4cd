"""TLS settings as Python's and as C libraries' drivers take them, and what a server's certificate says."""

from __future__ import annotations

import os
import re
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from connections.adapters.contract import Notice
from connections.adapters.errors import TLSError
from connections.adapters.network import TLS, TLSMode

FIELD = "/config/tls"
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class PEMFiles:
    """Paths of what a driver wants as files; None for what is not set."""

    ca: Path | None
    certificate: Path | None
    key: Path | None


def write_pem_files(tls: TLS, folder: Path | None) -> PEMFiles:
    """Write the settings' PEM texts into ``folder`` (None: the system's), each readable by its owner alone."""
    certificate = tls.certificate.get_secret_value() if tls.certificate else None
    key = tls.key.get_secret_value() if tls.key else None
    return PEMFiles(_write(folder, tls.ca), _write(folder, certificate), _write(folder, key))


def _write(folder: Path | None, text: str | None) -> Path | None:
    if text is None:
        return None
    descriptor, name = tempfile.mkstemp(suffix=".pem", dir=folder)  # 0600 from its first byte on
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return Path(name)


def remove_pem_files(files: PEMFiles) -> None:
    for path in (files.ca, files.certificate, files.key):
        if path is not None:
            path.unlink(missing_ok=True)


def proves_itself(tls: TLS) -> bool:
    """Whether the handshake shows that the other end is the server that was meant: only such a one may read a password.

    That takes the host's name, or an authority of the connection's own: the system's sign for everybody's names.
    """
    return tls.mode is TLSMode.VERIFY_FULL or (tls.mode is TLSMode.VERIFY_CA and tls.ca is not None)


def system_authorities() -> str | None:
    """The file of the system's certificate authorities, for libraries whose own default is elsewhere."""
    compiled_in = ssl.get_default_verify_paths().openssl_cafile
    return next((path for path in (compiled_in, *_BUNDLES) if path and os.path.exists(path)), None)


def context(tls: TLS, folder: Path | None) -> ssl.SSLContext:
    """A client's context for ``tls``, at least TLS 1.2. ``folder`` is where a client certificate passes through.

    Raises ``TLSError`` for PEM texts that cannot be read.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = tls.mode is TLSMode.VERIFY_FULL
    made.verify_mode = ssl.CERT_REQUIRED if tls.mode in (TLSMode.VERIFY_CA, TLSMode.VERIFY_FULL) else ssl.CERT_NONE
    _load_authorities(made, tls)
    _load_client_certificate(made, tls, folder)
    return made


def _load_authorities(made: ssl.SSLContext, tls: TLS) -> None:
    if made.verify_mode is ssl.CERT_NONE:
        return
    if tls.ca is None:
        # The compiled-in places: load_default_certs() would let SSL_CERT_FILE of the environment choose others.
        places = ssl.get_default_verify_paths()
        made.load_verify_locations(cafile=system_authorities(), capath=places.openssl_capath)
        return
    try:
        made.load_verify_locations(cadata=tls.ca)
    except (ssl.SSLError, ValueError):
        raise TLSError("The CA certificate is not PEM.", field=f"{FIELD}/ca", step="tls") from None


def _load_client_certificate(made: ssl.SSLContext, tls: TLS, folder: Path | None) -> None:
    if tls.certificate is None:
        return
    files = write_pem_files(tls, folder)
    try:
        made.load_cert_chain(str(files.certificate), str(files.key) if files.key else None, password=_no_password)
    except (ssl.SSLError, ValueError):
        raise TLSError(
            "The client certificate and its key cannot be read, or do not belong together.",
            field="/secrets/tls/certificate",
            step="tls",
        ) from None
    finally:
        remove_pem_files(files)


def _no_password() -> str:
    """Instead of OpenSSL's prompt on the terminal."""
    raise ValueError("The key is encrypted.")


def notices(tls: TLS) -> list[Notice]:
    """What a check warns of: less than full verification."""
    if tls.mode is TLSMode.VERIFY_FULL:
        return []
    if tls.mode is TLSMode.DISABLE:
        return [Notice("tls_off", "The connection is not encrypted.")]
    unverified = "name" if tls.mode is TLSMode.VERIFY_CA else "certificate"
    return [Notice("tls_unverified", f"The server's {unverified} is not verified.")]


def described(secured: ssl.SSLSocket) -> str:
    """What to show of a finished handshake: ``TLSv1.3, CN=db.example.com, expires 2027-01-02``."""
    parts = [secured.version() or "TLS"]
    der = secured.getpeercert(binary_form=True)
    if der:
        from cryptography import x509  # loaded for a status check only

        certificate = x509.load_der_x509_certificate(der)
        parts.append(certificate.subject.rfc4514_string() or "no subject")
        parts.append(f"expires {certificate.not_valid_after_utc.date().isoformat()}")
    return ", ".join(parts)


def refused(exc: ssl.SSLError) -> TLSError:
    """A failed handshake in words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return TLSError(
            f"The server's certificate was refused: {exc.verify_message.rstrip('.')}.",
            field=FIELD,
            step="tls",
            hint=_HINTS.get(exc.verify_code, "Give the CA certificate that signed the server's."),
        )
    if _WANTS_CERTIFICATE.search(exc.reason or ""):
        return TLSError(
            "The server asks for a client certificate, or does not accept the one it got.",
            field="/secrets/tls/certificate",
            step="tls",
            hint="Give a client certificate and its key that the server accepts.",
        )
    reason = (exc.reason or "the server ended it").replace("_", " ").lower()
    return TLSError(f"The TLS handshake failed: {reason}.", field=FIELD, step="tls")


_WANTS_CERTIFICATE = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN"
    r"|CERTIFICATE_REVOKED|UNSUPPORTED_CERTIFICATE)"
)
_HINTS = {  # OpenSSL's X509_V_ERR codes, from x509_vfy.h
    10: "The certificate has expired: its owner must renew it.",
    62: "The certificate is for another host name. Check the host, or verify the authority only (verify-ca).",
    64: "The certificate is for another address. Use the host's name, or verify the authority only (verify-ca).",
}
