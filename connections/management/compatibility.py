"""What stands between two versions of a schema: why settings that were stored under one may not suit the other.

A schema is compatible with an earlier one when every stored config still validates and still means the same. What
cannot be judged counts as incompatible. Rules that are written in Python, in validators, are not in a schema and are
not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connections.adapters.snapshots import Snapshot

Schema = Mapping[str, Any]

LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
SAME = ("pattern", "format", "multipleOf", "uniqueItems", "propertyNames", "contentEncoding")
"""Words that must be gone or unchanged: of two patterns nobody can say which is the narrower."""
UNIONS = ("anyOf", "oneOf")
KNOWN = frozenset(
    {*LEAST, *MOST, *SAME, *UNIONS, "type", "enum", "const", "default", "properties", "required", "items"}
    | {"additionalProperties", "discriminator", "endpoint", "writeOnly", "$defs", "$ref"}
)
ANYTHING: Schema = {}


def differences(old: Snapshot, new: Snapshot) -> list[str]:
    """Why ``new`` may not suit what was stored under ``old``, each a sentence; empty when it does."""
    found = [
        sentence
        for part in ("config", "query")
        for sentence in _Comparison(old[part].get("$defs", {}), new[part].get("$defs", {})).of(
            part, old[part], new[part]
        )
    ]
    if not found and old["endpoint"] != new["endpoint"] and _narrower(old["endpoint"], new["endpoint"]):
        found.append("config: other settings than before decide where secrets go.")
    return found


def _narrower(old: Any, new: Any) -> bool:
    """Whether a part of the old endpoint is none any more, or otherwise than before."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return bool(old != new)
    return any(name not in new or _narrower(node, new[name]) for name, node in old.items())


class _Comparison:
    """Two schemas with their definitions. A pair of definitions is compared once, however often it is used."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self.old, self.new = old, new
        self.pairs: set[tuple[str, str]] = set()

    def of(self, place: str, old: Schema, new: Schema) -> Iterator[str]:
        pair = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old and "$ref" in new:
            if pair in self.pairs:
                yield from self._marks(place, old, new)
                return
            self.pairs.add(pair)
        old, new = _resolved(old, self.old), _resolved(new, self.new)
        yield from self._marks(place, old, new)
        if any(union in schema for schema in (old, new) for union in UNIONS):
            yield from self._alternatives(place, old, new)
            return
        yield from self._values(place, old, new)
        yield from self._members(place, old, new)
        if "items" in old and "items" in new:
            yield from self.of(f"{place}[]", old["items"], new["items"])
        elif "items" in new:
            yield f"{place}: what a list may hold was narrowed."
        odd = {word for word in (*old, *new) if word not in KNOWN and old.get(word) != new.get(word)}
        if odd:
            yield f"{place}: changed in a way that cannot be judged ({', '.join(sorted(odd))})."

    def _marks(self, place: str, old: Schema, new: Schema) -> Iterator[str]:
        if _secret(old) != _secret(new) and not (_is_null(old) or _is_null(new)):
            yield f"{place}: {'is a secret now' if _secret(new) else 'is no secret any more'}."
        elif old.get("endpoint") != new.get("endpoint") and not _secret(new):
            now = "does not decide" if new.get("endpoint") is False else "decides"
            yield f"{place}: {now} where secrets go, otherwise than before."
        if "default" in old and old["default"] != new.get("default", old["default"]):
            yield f"{place}: the default was {old['default']!r} and is {new['default']!r}."

    def _values(self, place: str, old: Schema, new: Schema) -> Iterator[str]:
        if not _types(old) <= _types(new):
            yield f"{place}: the type was {_words(old)} and is {_words(new)}."
            return
        if (allowed := _listed(new)) is not None and not (
            set(map(repr, _listed(old) or [_ALL])) <= set(map(repr, allowed))
        ):
            yield f"{place}: not all values of before are allowed."
        for word in (*LEAST, *MOST):
            if word in new and (word not in old or (new[word] > old[word] if word in LEAST else new[word] < old[word])):
                yield f"{place}: {word} was {old.get(word, 'not set')} and is {new[word]}."
        for word in SAME:
            if word in new and old.get(word) != new[word] and not _secret(new):
                yield f"{place}: {word} was {old.get(word, 'not set')} and is {new[word]}."

    def _members(self, place: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        others = new.get("additionalProperties", True)
        for name, schema in before.items():
            if name in after:
                yield from self.of(f"{place}.{name}", schema, after[name])
            elif others is False:
                yield f"{place}.{name}: is not there any more."
            else:
                yield f"{place}.{name}: is one of the other members now, which cannot be judged."
        required = [name for name in new.get("required", ()) if name not in old.get("required", ())]
        yield from (f"{place}.{name}: must be given now." for name in required)
        if "object" in _types(old) and others != old.get("additionalProperties", True):
            yield from self._others(place, old.get("additionalProperties", True), others)

    def _others(self, place: str, old: Any, new: Any) -> Iterator[str]:
        if old is False or new is True:
            return
        if new is False:
            yield f"{place}: members that are not named were allowed."
        else:
            yield from self.of(f"{place}.*", ANYTHING if old is True else old, new)

    def _alternatives(self, place: str, old: Schema, new: Schema) -> Iterator[str]:
        tagged, now = self._by_tag(old, self.old), self._by_tag(new, self.new)
        if tagged and now:
            for tag, schema in tagged.items():
                if tag in now:
                    yield from self.of(f"{place}[{tag}]", schema, now[tag])
                else:
                    yield f"{place}: there is no {tag} any more."
            return
        choices = _choices(new)
        for schema in _choices(old):
            reasons = [self._reasons(place, schema, choice) for choice in choices]
            if all(reasons):
                yield from min(reasons, key=len)

    def _reasons(self, place: str, old: Schema, new: Schema) -> list[str]:
        """As ``of``, where the pair is only tried."""
        return list(_Comparison(self.old, self.new).of(place, old, new))

    def _by_tag(self, schema: Schema, definitions: Schema) -> dict[str, Schema]:
        key = schema.get("discriminator", {}).get("propertyName")
        if key is None:
            return {}
        return {
            str(_resolved(choice, definitions)["properties"][key].get("const")): choice
            for union in UNIONS
            for choice in schema.get(union, ())
        }


_ALL = object()


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """The schema with what it refers to. What stands beside the reference is about this place, and goes before."""
    if "$ref" not in schema:
        return schema
    meant = definitions[str(schema["$ref"]).rpartition("/")[2]]
    return {**_resolved(meant, definitions), **{word: value for word, value in schema.items() if word != "$ref"}}


def _choices(schema: Schema) -> list[Schema]:
    return [choice for union in UNIONS for choice in schema.get(union, ())] or [schema]


def _secret(schema: Schema) -> bool:
    return any(choice.get("writeOnly") is True for choice in _choices(schema))


def _is_null(schema: Schema) -> bool:
    """Whether it is the alternative of no value, which is neither secret nor plain."""
    return _types(schema) == {"null"}


def _types(schema: Schema) -> set[str]:
    """The JSON types that a schema allows. Every whole number is a number."""
    named = schema.get("type")
    if named is None:
        listed = _listed(schema)
        if listed is None:
            return {"null", "boolean", "integer", "number", "string", "array", "object"}
        return {_WORDS[type(value)] for value in listed}
    types = {named} if isinstance(named, str) else set(named)
    return types | ({"integer"} if "number" in types else set())


_WORDS = {
    type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
}  # fmt: skip


def _words(schema: Schema) -> str:
    named = schema.get("type", "anything")
    return named if isinstance(named, str) else " or ".join(named)


def _listed(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")
