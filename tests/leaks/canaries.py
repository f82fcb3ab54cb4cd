"""Canaries: secrets that can be told in whatever they leak into, and settings of any source that are full of them."""

from __future__ import annotations

import base64
import json
import pickle
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from connections.adapters import schema
from connections.adapters.describe import describe_model
from connections.adapters.schema import Nested, Path

ODD = "-%40'\"\\{}&<+"
"""After each canary: what is quoted in URLs, JSON, HTML and shells."""
NOWHERE = {"host": "127.0.0.1", "port": 1, "base_url": "http://127.0.0.1:1/", "account": "127.0.0.1"}
"""Where nobody answers, by the names that settings have."""


@dataclass
class Canaries:
    """Makes secrets, and looks for them. ``seen`` counts what was looked through."""

    made: list[str] = field(default_factory=list)
    seen: int = 0

    def make(self) -> str:
        self.made.append(f"C4n4ry{len(self.made):04d}{ODD}")
        return self.made[-1]

    def look(self, place: str, content: Any) -> None:
        """Raise ``AssertionError`` when a canary is in ``content``, in any usual spelling."""
        data = content if isinstance(content, bytes) else str(content).encode(errors="surrogatepass")
        self.seen += 1
        for secret in self.made:
            for spelling in spellings(secret):
                assert spelling not in data, f"A secret is in {place}."

    def look_at(self, place: str, thing: Any) -> None:
        """Look at an object: its repr, its str, and its pickle if it has one."""
        self.look(f"repr of {place}", repr(thing))
        self.look(f"str of {place}", str(thing))
        try:
            pickled = pickle.dumps(thing)
        except (TypeError, AttributeError, pickle.PicklingError):
            return
        self.look(f"pickle of {place}", pickled)


def spellings(secret: str) -> set[bytes]:
    """A secret as it is, and as URLs, base64, JSON and Python spell it; without the odd end it tells too."""
    raw = secret.encode()
    bare = secret.removesuffix(ODD)
    texts = {
        bare,
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        raw.hex(),
    }
    # Behind one or two other bytes base64 spells the same text otherwise; the middle is what does not change.
    texts |= {base64.b64encode(before + bare.encode()).decode()[4:-4] for before in (b".", b"..")}
    return {text.encode() for text in texts}


def secret_paths(model: type[BaseModel]) -> set[Path]:
    """Every secret of a source, those of all branches included."""
    return {row.path for row in describe_model(model) if row.secret}


def variants(model: type[BaseModel], canaries: Canaries) -> Iterator[tuple[Nested, Nested]]:
    """Configs with the secrets that go with them: one for each alternative of the choices, optional parts included."""
    for choice in range(_most_branches(model)):
        whole = _sample(model, choice, canaries)
        secrets: Nested = {}
        config: Nested = {}
        active = set(schema.secret_paths(model, whole))
        for path in schema.paths(whole):
            schema.put(secrets if path in active else config, path, schema.get(whole, path))
        yield config, secrets


def _most_branches(model: type[BaseModel]) -> int:
    found = [1]
    for each in model.model_fields.values():
        nested = schema.models(each)
        found += [len(nested), *(_most_branches(branch) for branch in nested)]
    return max(found)


def _sample(model: type[BaseModel], choice: int, canaries: Canaries) -> Nested:
    found: Nested = {}
    for name, each in model.model_fields.items():
        nested = schema.models(each)
        if schema.is_secret(each):
            found[name] = canaries.make()
        elif nested:
            branch = nested[choice % len(nested)]
            key = schema.discriminator(each)
            found[name] = _sample(branch, choice, canaries) | ({key: schema.tag(branch, key)} if key else {})
        elif name in NOWHERE:
            found[name] = NOWHERE[name]
        elif each.is_required():
            found[name] = _value(each)
    return found


def _value(each: FieldInfo) -> Any:
    return each.examples[0] if each.examples else "x"
