"""From records to columns and rows.

A column's type is what fits all its values: JSON's own types where they agree, decimal for numbers that one float
would change, and json for all that is mixed or nested. Records that are no objects have one column, ``value``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from connections.adapters.contract import Column, ColumnType, Notice
from connections.adapters.errors import ProtocolError, TooLargeError
from connections.adapters.http.documents import Numeral, clean, dump
from connections.adapters.limits import Budget
from connections.adapters.values import integer, real

MOST_COLUMNS: Final = Budget().columns
EXACT_IN_FLOAT: Final = 2**53
DEEPEST_FLATTENED: Final = 16

Fields = dict[str, Any]


class MisfitError(ValueError):
    """A value that its column's type cannot hold."""


def fields(record: Any, flatten: bool) -> Fields:
    """A record as column names and values, in its own order; with ``flatten``, nested objects are dotted names."""
    if not isinstance(record, dict):
        return {"value": record}
    return dict(_flat(record, "", DEEPEST_FLATTENED)) if flatten else record


def _flat(record: Fields, prefix: str, depth: int) -> Iterable[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict) and value and depth:
            yield from _flat(value, f"{prefix}{name}.", depth - 1)
        else:
            yield prefix + name, value


class Layout:
    """The columns of some records, and the rows of these and later ones. ``left_out`` are fields that came later."""

    def __init__(self, sample: Iterable[Fields]) -> None:
        """Raises ``TooLargeError`` when the sample has more fields than a result may have columns."""
        kinds: dict[str, set[str]] = {}
        for record in sample:
            for name, value in record.items():
                kinds.setdefault(name, set()).add(_kind(value))
            if len(kinds) > MOST_COLUMNS:
                raise TooLargeError(
                    f"The records have more than {MOST_COLUMNS} different fields.",
                    field="/query/records",
                    hint="Choose records whose fields are the same, with JSONPath or jq.",
                )
        self._names = tuple(kinds)
        self.columns = tuple(_column(name, found) for name, found in kinds.items())
        self._write = tuple(_WRITERS[column.type] for column in self.columns)
        self._known = frozenset(kinds)
        self.left_out: dict[str, None] = {}

    def row(self, record: Fields) -> list[Any]:
        """One row of wire values. Raises ``ProtocolError`` for a value that its column's type cannot hold."""
        if record.keys() - self._known:
            for name in list(record.keys() - self._known)[: MOST_COLUMNS - len(self.left_out)]:
                self.left_out[name] = None
        cells = []
        for position, name in enumerate(self._names):
            value = record.get(name)
            try:
                cells.append(None if value is None else self._write[position](value))
            except MisfitError:
                raise self._misfit(self.columns[position], value) from None
        return cells

    def notice(self) -> Notice | None:
        """A warning about the fields that were left out, if there are any."""
        if not self.left_out:
            return None
        shown = ", ".join(clean(name)[:60] for name in list(self.left_out)[:5])
        more = f" and {len(self.left_out) - 5} more" if len(self.left_out) > 5 else ""
        return Notice("fields_left_out", f"Later records have fields that the first ones have not: {shown}{more}.")

    def _misfit(self, column: Column, value: Any) -> ProtocolError:
        return ProtocolError(
            f"A later record has {_kind(value)} in field {column.name[:60]}, where earlier ones have {column.type}.",
            field="/query/records",
            hint="Make the field the same in all records with jq, such as `.items[] | .field |= tostring`.",
        )


def _kind(value: Any) -> str:
    """JSON's word for a value's type, with integers apart; ``exact`` for numbers that a float would change."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -EXACT_IN_FLOAT <= value <= EXACT_IN_FLOAT else "big integer"
    return _KINDS[type(value)]


_KINDS: dict[type, str] = {float: "number", Numeral: "exact", str: "string", list: "array", dict: "object"}
_INTEGERS = {"integer", "big integer"}


def _column(name: str, kinds: set[str]) -> Column:
    found = kinds - {"null"}
    if not found:
        return Column(clean(name), ColumnType.JSON, "null")
    if found <= _INTEGERS:
        return Column(clean(name), ColumnType.INTEGER, "integer")
    if found <= {"number", "integer"}:
        return Column(clean(name), ColumnType.FLOAT, "number")
    if found <= {"number", "exact", *_INTEGERS}:
        return Column(clean(name), ColumnType.DECIMAL, "number")
    if len(found) > 1:
        return Column(clean(name), ColumnType.JSON, "mixed")
    (kind,) = found
    return Column(clean(name), _SAME.get(kind, ColumnType.JSON), kind)


_SAME = {"boolean": ColumnType.BOOLEAN, "string": ColumnType.STRING}


def _boolean(value: Any) -> Any:
    if not isinstance(value, bool):
        raise MisfitError
    return value


def _integer(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise MisfitError
    return integer(value)


def _float(value: Any) -> Any:
    if isinstance(value, float):
        return real(value)
    if _kind(value) != "integer":
        raise MisfitError
    return float(value)


def _decimal(value: Any) -> Any:
    if isinstance(value, Numeral):
        return value.text
    if isinstance(value, float):
        return str(real(value))
    return str(_integer(value))


def _string(value: Any) -> Any:
    if not isinstance(value, str):
        raise MisfitError
    return clean(value)


_WRITERS: dict[ColumnType, Callable[[Any], Any]] = {
    ColumnType.BOOLEAN: _boolean,
    ColumnType.INTEGER: _integer,
    ColumnType.FLOAT: _float,
    ColumnType.DECIMAL: _decimal,
    ColumnType.STRING: _string,
    ColumnType.JSON: dump,
}
