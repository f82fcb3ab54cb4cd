"""TLS as nobody should speak it any more: servers that offer nothing newer, and libraries that would take it.

The libraries as they are built here refuse it by themselves. In the field other builds' defaults, a system's OpenSSL
configuration and libpq's environment loosen them; then it is up to our own minimum.
"""

from __future__ import annotations

import ssl
import warnings
from types import SimpleNamespace
from typing import Any, Self

from tests.servers.authority import Certificate
from tests.servers.http import server_context

LOOSE_CONFIGURATION = """
openssl_conf = init
[init]
ssl_conf = modules
[modules]
system_default = loose
[loose]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
"""
"""OpenSSL's, for the variable OPENSSL_CONF of a process."""


def old_context(certificate: Certificate) -> ssl.SSLContext:
    """A server's context that speaks TLS 1.1 and nothing newer."""
    made = server_context(certificate)
    with warnings.catch_warnings(action="ignore"):
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_1
    made.set_ciphers("ALL:@SECLEVEL=0")
    return made


class LooseContext(ssl.SSLContext):
    """A context as a build makes it whose defaults are all that OpenSSL can."""

    def __new__(cls, *arguments: Any) -> Self:
        made = super().__new__(cls, *arguments)
        made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        made.set_ciphers("ALL:@SECLEVEL=0")
        return made


loose_ssl = SimpleNamespace(**(vars(ssl) | {"SSLContext": LooseContext}))
"""Python's module `ssl` as such a build has it."""
