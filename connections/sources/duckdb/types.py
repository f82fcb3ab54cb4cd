"""DuckDB's types: what each column is, how its values leave DuckDB, and what makes wire values of them.

The driver makes Python objects, which hold less than DuckDB does: no nanoseconds, no infinity, no months in an
interval. Columns of such types are cast to text inside DuckDB, which is exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from duckdb.sqltypes import DuckDBPyType

from connections.adapters.contract import Column, ColumnType, Row
from connections.adapters.sql.exact import document, single
from connections.adapters.values import integer, real

Convert = Callable[[Any], Any]
LONGEST_WORD = 200


@dataclass(frozen=True, slots=True)
class Form:
    """One type: what to cast to inside DuckDB, if anything, and what then makes a wire value of the driver's."""

    type: ColumnType
    convert: Convert | None = None
    cast: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of one statement, and what makes wire values of its rows."""

    columns: tuple[Column, ...]
    forms: tuple[Form, ...]

    @classmethod
    def of(cls, names: Sequence[str], types: Sequence[DuckDBPyType]) -> Shape:
        forms = tuple(form_of(kind) for kind in types)
        columns = tuple(_column(name, kind, form) for name, kind, form in zip(names, types, forms, strict=True))
        return cls(columns, forms)

    def exact(self, text: str) -> str:
        """``text``, around it a select that casts what would be lost on the way; rows and their order stay."""
        if not any(form.cast for form in self.forms):
            return text
        items = [f"cast(#{at} as {form.cast})" if form.cast else f"#{at}" for at, form in enumerate(self.forms, 1)]
        return f"select {', '.join(items)} from (\n{text}\n)"  # noqa: S608  a statement of its own, already parsed

    def rows(self, batch: Sequence[Row]) -> list[Row]:
        """A batch as the driver gives it, as wire values."""
        changes = [(at, form.convert) for at, form in enumerate(self.forms) if form.convert]
        made = [list(row) for row in batch]
        for at, convert in changes:
            for row in made:
                if row[at] is not None:
                    row[at] = convert(row[at])
        return list(made)


def _column(name: str, kind: DuckDBPyType, form: Form) -> Column:
    word = str(kind)
    if kind.id == "enum" or len(word) > LONGEST_WORD:
        word = kind.id.upper()
    if form.type is ColumnType.DECIMAL and kind.id == "decimal":
        children = _children(kind)
        return Column(name, form.type, word, precision=children["precision"], scale=children["scale"])
    return Column(name, form.type, word)


def form_of(kind: DuckDBPyType) -> Form:
    word: str = kind.id
    if str(kind) == "JSON":
        return Form(ColumnType.JSON, document)
    if word in ("list", "array", "tuple"):
        return _sequence(kind)
    if word == "struct":
        return _struct(kind)
    if word == "map":
        return _map(kind)
    return _SCALARS.get(word) or _as_text(str)


# Scalars -------------------------------------------------------------------------------------------------------


def _as_text(convert: Convert | None, kind: ColumnType = ColumnType.STRING) -> Form:
    return Form(kind, convert, "VARCHAR")


def _day(text: str) -> str:
    return _era(text)


def _moment(text: str) -> str:
    return _era(text.replace(" ", "T", 1)) if text[-1] != "y" else text  # infinity


def _instant(text: str) -> str:
    return _moment(text.removesuffix("+00") + "Z") if text[-1] != "y" else text


def _era(text: str) -> str:
    """``0044-03-15 (BC)T01:02:03`` with PostgreSQL's era, at the end."""
    for mark in (" (BC)", "T(BC)"):
        if mark in text:
            return text.replace(mark, "", 1).replace(" ", "T", 1) + " BC"
    return text


def _zoned(text: str) -> str:
    return text if ":" in text[-3:] else f"{text}:00"


_INTERVAL = re.compile(
    r"(?:(-?\d+) years? ?)?(?:(-?\d+) months? ?)?(?:(-?\d+) days? ?)?(?:(-)?(\d+):(\d\d):(\d\d)(\.\d+)?)?"
)


def interval(text: str) -> str:
    """DuckDB's ``1 year -2 months 04:05:06.5`` as ISO 8601."""
    found = _INTERVAL.fullmatch(text)
    if found is None:
        return text
    years, months, days, sign, hours, minutes, seconds, fraction = (part or "" for part in found.groups())
    date = "".join(f"{number}{unit}" for number, unit in ((years, "Y"), (months, "M"), (days, "D")) if number)
    whole = (int(hours or 0), int(minutes or 0), int(seconds or 0))
    fraction = fraction.rstrip("0").rstrip(".")
    parts = ((str(whole[0]), "H"), (str(whole[1]), "M"), (f"{whole[2]}{fraction}", "S"))
    time = "".join(f"{sign}{number}{unit}" for number, unit in parts if number != "0")
    return f"P{date}T{time}" if time else f"P{date}" if date else "PT0S"


def _bits(text: str) -> bytes:
    """Bits as bytes, filled up on the right."""
    size = -(-len(text) // 8)
    return int(text.ljust(size * 8, "0"), 2).to_bytes(size, "big")


def _digits(text: str) -> int | str:
    return integer(int(text)) if len(text) < 4000 else text  # Python reads no longer numbers


_INTEGER = Form(ColumnType.INTEGER, integer)
_TIMESTAMP = _as_text(_moment, ColumnType.TIMESTAMP)
_TIMESTAMPTZ = _as_text(_instant, ColumnType.TIMESTAMPTZ)
_SCALARS: dict[str, Form] = {
    "boolean": Form(ColumnType.BOOLEAN),
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), Form(ColumnType.INTEGER)),
    **dict.fromkeys(("utinyint", "usmallint", "uinteger"), Form(ColumnType.INTEGER)),
    **dict.fromkeys(("ubigint", "hugeint", "uhugeint"), _INTEGER),
    "bignum": Form(ColumnType.INTEGER, _digits, "VARCHAR"),
    "float": Form(ColumnType.FLOAT, single),
    "double": Form(ColumnType.FLOAT, real),
    "decimal": Form(ColumnType.DECIMAL, lambda value: format(value, "f")),
    "varchar": Form(ColumnType.STRING),
    "enum": Form(ColumnType.STRING, None, "VARCHAR"),
    "blob": Form(ColumnType.BINARY),
    "bit": _as_text(_bits, ColumnType.BINARY),
    "date": _as_text(_day, ColumnType.DATE),
    **dict.fromkeys(("time", "time_ns"), _as_text(None, ColumnType.TIME)),
    "time with time zone": _as_text(_zoned, ColumnType.TIMETZ),
    **dict.fromkeys(("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"), _TIMESTAMP),
    **dict.fromkeys(("timestamp with time zone", "timestamptz_ns"), _TIMESTAMPTZ),
    "interval": _as_text(interval, ColumnType.INTERVAL),
    "uuid": Form(ColumnType.UUID, str),
    **dict.fromkeys(("union", "variant"), Form(ColumnType.JSON, document, "JSON")),
    '"null"': Form(ColumnType.STRING),
    "null": Form(ColumnType.STRING),
}  # fmt: skip


# Nested --------------------------------------------------------------------------------------------------------


def _sequence(kind: DuckDBPyType) -> Form:
    if kind.id == "tuple":
        return _tuple([child for _, child in kind.children])
    known = _children(kind)
    child, size = known["child"], known.get("size", "")
    form = form_of(child)
    cast = f"{form.cast}[{size}]" if form.cast else None
    return Form(ColumnType.ARRAY, lambda items: [_made(form, item) for item in items], cast)


def _tuple(children: list[Any]) -> Form:
    forms = [form_of(child) for child in children]
    cast = f"TUPLE({', '.join(map(_target, children, forms))})" if any(form.cast for form in forms) else None
    return Form(ColumnType.ARRAY, lambda row: list(map(_made, forms, row)), cast)


def _struct(kind: DuckDBPyType) -> Form:
    children = _children(kind)
    forms = {name: form_of(child) for name, child in children.items()}
    cast = None
    if any(form.cast for form in forms.values()):
        members = (f"{_quoted(name)} {_target(child, forms[name])}" for name, child in children.items())
        cast = f"STRUCT({', '.join(members)})"
    return Form(ColumnType.STRUCT, lambda row: {name: _made(forms[name], item) for name, item in row.items()}, cast)


def _map(kind: DuckDBPyType) -> Form:
    """A struct whose members are the keys' texts."""
    children = _children(kind)
    form = form_of(children["value"])
    lossy = form.cast or children["key"].id != "varchar"
    cast = f"MAP(VARCHAR, {_target(children['value'], form)})" if lossy else None
    return Form(ColumnType.STRUCT, lambda row: {name: _made(form, item) for name, item in row.items()}, cast)


def _children(kind: DuckDBPyType) -> dict[str, Any]:
    """What a type is made of, by name: types, and an array's size or a decimal's digits."""
    return dict(kind.children)


def _target(kind: DuckDBPyType, form: Form) -> str:
    return form.cast or str(kind)


def _made(form: Form, value: Any) -> Any:
    return value if value is None or form.convert is None else form.convert(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
