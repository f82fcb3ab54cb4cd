"""The types of one database: the built-in ones, and those that were looked up in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from psycopg.postgres import types as builtin
from psycopg.pq.abc import PGresult

from connections.adapters.contract import Column, ColumnType
from connections.sources.postgresql import texts
from connections.sources.postgresql.types import FORMS, Convert, Form, InRows, each

_NUMERIC = builtin["numeric"].oid
_NOT_ARRAYS = ("int2vector", "oidvector")  # their own text is plain words

CATALOGUE_QUERY = """
select t.oid::int8, t.typname::text, t.typtype::text, t.typelem::int8, t.typbasetype::int8, t.typdelim::text,
       (t.typlen = -1 and t.typelem <> 0 and t.typsubscript::text = 'array_subscript_handler') as is_array,
       (select array_agg(a.attname::text order by a.attnum) from pg_catalog.pg_attribute a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped and t.typtype = 'c') as names,
       (select array_agg(a.atttypid::int8 order by a.attnum) from pg_catalog.pg_attribute a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped and t.typtype = 'c') as types
from pg_catalog.pg_type t where t.oid::int8 = any($1)
"""
# Before PostgreSQL 14 there is no typsubscript; arrays are told by their element's own word of them.
CATALOGUE_QUERY_13 = CATALOGUE_QUERY.replace("t.typsubscript::text = 'array_subscript_handler'", "t.typcategory = 'A'")


class TypeRow(NamedTuple):
    """One row of ``CATALOGUE_QUERY``."""

    oid: int
    name: str
    kind: str
    element: int
    base: int
    delimiter: str
    is_array: bool
    names: list[str] | None
    types: list[int] | None

    @property
    def parts(self) -> set[int]:
        """The types that this one is made of."""
        return {oid for oid in (self.element if self.is_array else 0, self.base, *(self.types or ())) if oid}


def _array(element: Form, delimiter: str) -> Form:
    convert = partial(_read_array, delimiter=delimiter, convert=element.from_text)
    return Form(ColumnType.ARRAY, f"{element.native}[]", convert, each(convert))


def _read_array(text: str, delimiter: str, convert: Convert | None) -> list[Any]:
    return texts.array(text, delimiter, convert)


def _struct(name: str, names: list[str], fields: list[Form]) -> Form:
    convert = partial(texts.row, names=names, converts=[field.from_text for field in fields])
    return Form(ColumnType.STRUCT, name, convert, each(convert))


class Reading(NamedTuple):
    """The columns of a result, and what is left to do with loaded rows, by place."""

    columns: tuple[Column, ...]
    conversions: tuple[tuple[int, InRows], ...]


MOST_READINGS = 256


class Book:
    """The forms of types by oid: the built-in ones, and those that were looked up in the database."""

    def __init__(self) -> None:
        named = {form.native: form for form in FORMS}
        self._forms: dict[int, Form] = {}
        self._readings: dict[tuple[tuple[bytes | None, int, int], ...], Reading] = {}
        for info in builtin:
            form = named.get(info.name) or Form(ColumnType.STRING, info.name.strip('"'))
            self._forms[info.oid] = form
            if info.array_oid and info.name not in _NOT_ARRAYS and info.name != "record":
                self._forms[info.array_oid] = _array(form, info.delimiter)
        for oid, name in ((705, "unknown"), (2278, "void")):
            self._forms[oid] = Form(ColumnType.STRING, name)

    def read(self, result: PGresult) -> Reading:
        """How to read the columns of ``result``, whose types are known. Kept, as previews come again."""
        key = tuple((result.fname(at), result.ftype(at), result.fmod(at)) for at in range(result.nfields))
        reading = self._readings.get(key)
        if reading is None:
            if len(self._readings) >= MOST_READINGS:
                self._readings.clear()
            forms = [self._forms[oid] for _, oid, _ in key]
            reading = self._readings[key] = Reading(
                tuple(map(self._column, key)),
                tuple((at, form.in_rows) for at, form in enumerate(forms) if form.in_rows is not None),
            )
        return reading

    def unknown(self, result: PGresult) -> set[int]:
        return {oid for at in range(result.nfields) if (oid := result.ftype(at)) not in self._forms}

    def learn(self, wanted: set[int], look_up: Callable[[list[int]], list[Any]]) -> None:
        """Look up the types ``wanted``, and those they are made of, with ``CATALOGUE_QUERY``."""
        found: dict[int, TypeRow] = {}
        missing = set(wanted)
        while missing:
            rows = [TypeRow(*row) for row in look_up(sorted(missing))]
            found |= {row.oid: row for row in rows}
            missing = {part for row in rows for part in row.parts} - found.keys() - self._forms.keys()
        for oid in wanted:
            self._form(oid, found)

    def _form(self, oid: int, found: dict[int, TypeRow]) -> Form:
        if oid not in self._forms:
            row = found.get(oid)
            self._forms[oid] = Form(ColumnType.STRING, row.name if row else str(oid))  # ends a type made of itself
            self._forms[oid] = self._made(row, found) if row else Form(ColumnType.STRING, str(oid))
        return self._forms[oid]

    def _made(self, row: TypeRow, found: dict[int, TypeRow]) -> Form:
        if row.is_array:
            return _array(self._form(row.element, found), row.delimiter)
        if row.kind == "d":
            return replace(self._form(row.base, found), native=row.name)
        if row.kind == "c" and row.names and row.types:
            return _struct(row.name, row.names, [self._form(oid, found) for oid in row.types])
        return Form(ColumnType.STRING, row.name)

    def _column(self, entry: tuple[bytes | None, int, int]) -> Column:
        raw, oid, modifier = entry
        form = self._forms[oid]
        name = (raw or b"").decode(errors="replace")
        if oid == _NUMERIC and modifier >= 4:
            precision, scale = (modifier - 4) >> 16, (modifier - 4) & 0x7FF
            # A negative scale (numeric(3, -2)) is kept in eleven bits.
            return Column(name, form.type, form.native, precision=precision, scale=(scale ^ 1024) - 1024)
        return Column(name, form.type, form.native)
