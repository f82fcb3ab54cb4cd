"""What a reference is: the name of a place outside where a secret is kept.

    env:NAME          a variable of the catalogue's own process
    file:name         a file in the deployment's folder of references
    vault:path#key    one key of a secret in Vault or OpenBao; the path starts with the mount

A reference is no secret. A pattern allows one reference, or with a ``*`` at its end all that start alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

KINDS: Final = ("env", "file", "vault")
MAX_LENGTH: Final = 512
HOW: Final = "A reference is env:NAME, file:name or vault:path#key."

# No dot starts a part, so none is "." or ".."; no per cent sign, so nothing is decoded into one later.
_PART = r"[A-Za-z0-9_@=+][A-Za-z0-9_@=+.-]*"
_PATH = rf"{_PART}(?:/{_PART}){{0,15}}"
_FORMS: Final = {
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "file": re.compile(_PATH),
    "vault": re.compile(rf"{_PATH}/{_PART}#[A-Za-z0-9_@=+.-]+"),
}
_PATTERN: Final = re.compile(r"[A-Za-z0-9_@=+./#-]*\*?")


@dataclass(frozen=True, slots=True)
class Reference:
    """One place. ``str`` gives it as it was written."""

    kind: str
    name: str

    @classmethod
    def parse(cls, text: object) -> Reference:
        """Read ``env:NAME``, ``file:name`` or ``vault:path#key``. Raises ValueError, which does not repeat it."""
        kind, _, name = text.partition(":") if isinstance(text, str) else ("", "", "")
        form = _FORMS.get(kind)
        if form is None or len(name) > MAX_LENGTH or not form.fullmatch(name):
            raise ValueError(HOW)
        return cls(kind, name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """What may be referred to: one reference, or all that start with ``start``."""

    start: str
    open_ended: bool

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read ``env:ACME_*`` or ``vault:secret/acme/db#password``. Raises ValueError."""
        kind, colon, name = text.partition(":")
        if not colon or kind not in KINDS or not name or not _PATTERN.fullmatch(name) or ".." in name:
            raise ValueError(
                f"{text!r} is no pattern of references. Write env:ACME_*, file:acme/* or vault:secret/acme/*, "
                "with a * at the end only."
            )
        return cls(text.removesuffix("*"), text.endswith("*"))

    def allows(self, reference: Reference) -> bool:
        text = str(reference)
        return text.startswith(self.start) if self.open_ended else text == self.start
