"""NDJSON: one object a row, its members named by the columns.

An object cannot have two members of one name, so a repeated column ``c`` becomes ``c_2``, as in Parquet: every value
stays, and every line has the same shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap
from operator import itemgetter
from typing import Any, Final

import msgspec

from connections.adapters.contract import Column, ColumnType, Row
from connections.adapters.values import JSONText
from connections.runner.encoding.encoder import distinct_names, mended, plain, to_json
from connections.runner.encoding.text import TextEncoder

_RAW_BREAKS: Final = bytes.maketrans(b"\r\n", b"  ")
_WITH_FLOATS: Final = (ColumnType.FLOAT, ColumnType.ARRAY, ColumnType.STRUCT)


class NDJSON(TextEncoder):
    content_type = "application/x-ndjson"

    def __init__(self, columns: Sequence[Column], arguments: dict[str, Any]) -> None:
        super().__init__(columns, arguments)
        self._names = distinct_names([mended(column.name) for column in columns])
        self._line = _line(self._names)
        floats = [at for at, column in enumerate(columns) if column.type in _WITH_FLOATS]
        self._floats = itemgetter(*floats) if floats else None

    def body(self, rows: Sequence[Row]) -> bytes:
        """All rows are written in one call: structs take less than half the time of dicts, to make and to write."""
        if self._line is None or self._with_exponents(rows):
            return b"".join(self._alone(row) for row in rows)
        return _LINES.encode_lines(list(starmap(self._line, rows)))

    def _with_exponents(self, rows: Sequence[Row]) -> bool:
        """Whether a number needs an exponent, which msgspec writes as 1e20 and the other formats as 1e+20."""
        return self._floats is not None and b"e+" in to_json(list(map(self._floats, rows)))

    def _alone(self, row: Row) -> bytes:
        return to_json(dict(zip(self._names, row, strict=True))).translate(_RAW_BREAKS) + b"\n"


def _line(names: Sequence[str]) -> type[msgspec.Struct] | None:
    """A class of objects with these members; None where a name has a sign that msgspec would have to escape."""
    fields = [f"member_{at}" for at in range(len(names))]
    try:
        return msgspec.defstruct("Line", fields, rename=dict(zip(fields, names, strict=True)), gc=False)
    except ValueError:
        return None


def _marked(value: Any) -> Any:
    """What msgspec leaves to us. A document gets no line breaks: in its strings they cannot be, elsewhere they say
    nothing."""
    if isinstance(value, JSONText):
        return msgspec.Raw(value.encode().translate(_RAW_BREAKS))
    if isinstance(value, int):
        return int(value)
    return plain(value)


_LINES: Final = msgspec.json.Encoder(enc_hook=_marked)
