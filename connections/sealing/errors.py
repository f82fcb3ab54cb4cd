"""What sealing can raise.

SealError
├── KeyUnavailable   the key that sealed the blob is not in the ring: the row is locked, not broken
│   └── KeyUnreachable  it is kept in a vault that does not answer now, or not to us
├── Tampered         the blob was edited, truncated, or sealed for another place
└── UnknownFormat    the bytes are no sealed blob: empty, plain text, or of a later version

KeyRingError         CATALOG_KEYS cannot be used: the process must not start

No message, argument or cause of these ever holds key bytes, plaintext or ciphertext.
"""

from enum import StrEnum

from django.core.exceptions import ImproperlyConfigured


class SealError(Exception):
    """A sealed value could not be opened. ``code`` is stable and safe to show."""

    code = "secret_integrity"


class KeyUnavailable(SealError):
    """The key named ``kid`` is not at hand, so the blob stays closed until it is."""

    code = "key_unavailable"

    def __init__(self, kid: str) -> None:
        super().__init__(kid)
        self.kid = kid

    def __str__(self) -> str:
        return f"Key {self.kid!r} is not available. Put it back into CATALOG_KEYS, or enter the secrets again."


class KeyUnreachable(KeyUnavailable):
    """The key named ``kid`` is kept in a vault, which did not do what it was asked. ``reason`` says why."""

    code = "key_unreachable"

    def __init__(self, kid: str, reason: str) -> None:
        super().__init__(kid)
        self.reason = reason

    def __str__(self) -> str:
        return f"Key {self.kid!r} of CATALOG_KEYS is kept in a vault, and could not be used: {self.reason}."

    def __reduce__(self) -> tuple[type["KeyUnreachable"], tuple[str, str]]:
        return type(self), (self.kid, self.reason)


class Tampered(SealError):
    """The blob does not belong where it was found, or is not what was sealed."""

    def __init__(self) -> None:
        super().__init__("The sealed value was changed or moved since it was sealed. Enter the secrets again.")

    def __reduce__(self) -> tuple[type["Tampered"], tuple[()]]:
        return type(self), ()


class UnknownFormat(SealError):
    """The bytes are not a sealed blob of a version this release knows. They are never read as plain text."""

    def __init__(self) -> None:
        super().__init__("The stored value is not a sealed value this release can read. Enter the secrets again.")

    def __reduce__(self) -> tuple[type["UnknownFormat"], tuple[()]]:
        return type(self), ()


class KeyRingProblem(StrEnum):
    """Why a key ring is refused."""

    MISSING = "missing"
    MALFORMED = "malformed"
    SHORT = "short"
    DUPLICATE = "duplicate"
    NOT_INDEPENDENT = "not_independent"
    NOT_RANDOM = "not_random"
    NO_VAULT = "no_vault"


class KeyRingError(ImproperlyConfigured):
    """CATALOG_KEYS is refused. The message names the entry by its position, never by its text."""

    def __init__(self, problem: KeyRingProblem, message: str) -> None:
        super().__init__(problem, message)
        self.problem = problem
        self.message = message

    def __str__(self) -> str:
        return self.message
