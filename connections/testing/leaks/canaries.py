"""Canaries: secrets that are recognised wherever they come out, in any usual spelling."""

from __future__ import annotations

import base64
import json
import pickle
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from secrets import token_hex
from typing import Any

ODD = "-%40'\"\\{}&<+"
"""After each canary: what URLs, JSON, HTML and shells spell otherwise."""


@dataclass
class Canaries:
    """Makes secrets, and looks for them. No other process has the same.

    ``seen`` tells which places were looked at, ``jobs`` how many jobs on their way to workers, by their operation.
    """

    made: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    jobs: Counter[str] = field(default_factory=Counter)
    word: str = field(default_factory=lambda: f"C4n4ry{token_hex(4)}")

    def make(self) -> str:
        """A new secret."""
        self.made.append(f"{self.word}{len(self.made):04d}{ODD}")
        return self.made[-1]

    def look(self, place: str, content: Any) -> None:
        """Raise ``AssertionError``, which names the place, when a secret is in ``content``: bytes, or anything else."""
        data = content if isinstance(content, bytes | bytearray) else str(content).encode(errors="surrogatepass")
        self.seen.add(place)
        for secret in self.made:
            for spelling, words in spellings(secret).items():
                assert spelling not in data, f"A secret is in {place}, {words}."

    def look_at(self, place: str, thing: Any) -> None:
        """Look at an object: its repr, its str, and its pickle where it has one."""
        self.look(f"the repr of {place}", repr(thing))
        self.look(f"the str of {place}", str(thing))
        try:
            pickled = pickle.dumps(thing)
        except (TypeError, AttributeError, pickle.PicklingError):
            return
        self.look(f"the pickle of {place}", pickled)


@cache
def spellings(secret: str) -> dict[bytes, str]:
    """How ``secret`` looks as it is, and as URLs, base64, JSON, hex and Python spell it; each with the words for that.

    Where only its odd end is spelled otherwise, its beginning tells it.
    """
    raw = secret.encode()
    start = raw.removesuffix(ODD.encode())
    found = {
        start: "as it is",
        raw.hex().encode(): "as hex",
        raw.hex().upper().encode(): "as hex",
        start.decode().encode("utf-16-le"): "as UTF-16",
        urllib.parse.quote(secret, safe="").encode(): "URL-quoted",
        urllib.parse.quote_plus(secret).encode(): "URL-quoted",
        json.dumps(secret)[1:-1].encode(): "JSON-escaped",
        repr(secret)[1:-1].encode(): "as Python writes it",
    }
    return {**dict.fromkeys(_base64(start), "in base64"), **found}


def _base64(text: bytes) -> Iterator[bytes]:
    """What base64 makes of ``text`` wherever it stands in a longer one: behind 0, 1 or 2 bytes of a group of three."""
    for before, spoilt in ((0, 0), (1, 2), (2, 3)):
        whole = (before + len(text)) * 8 // 6  # characters that nothing after the text has a part in
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + text)[spoilt:whole]
