"""The texts of PostgreSQL's arrays and rows, taken apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

Convert = Callable[[str], Any]

MAX_DEPTH = 6  # dimensions, PostgreSQL's MAXDIM


class Malformed(ValueError):
    """A text that PostgreSQL would not have written."""


def array(text: str, delimiter: str, convert: Convert | None) -> list[Any]:
    """``{1,2,{NULL,"a b"}}`` as nested lists. Lower bounds, as in ``[0:1]={1,2}``, are left out."""
    lists: list[list[Any]] = [[]]
    for found in _array_pattern(delimiter).finditer(text, text.index("{")):
        kind, token = found.lastgroup, found[0]
        if kind == "open":
            if len(lists) > MAX_DEPTH:
                raise Malformed("The array is too deep.")
            lists.append([])
        elif kind == "close":
            inner = lists.pop()
            if not lists:
                raise Malformed("The array's braces do not match.")
            lists[-1].append(inner)
        elif kind == "quoted":
            value = _unescape(token[1:-1])
            lists[-1].append(convert(value) if convert else value)
        elif token.upper() == "NULL":
            lists[-1].append(None)
        else:
            lists[-1].append(convert(token) if convert else token)
    if len(lists) != 1 or len(lists[0]) != 1:
        raise Malformed("The array's braces do not match.")
    whole: list[Any] = lists[0][0]
    return whole


@cache
def _array_pattern(delimiter: str) -> re.Pattern[str]:
    sign = re.escape(delimiter)
    quoted, plain = r'(?P<quoted>"(?:[^"\\]|\\.)*")', rf'(?P<plain>[^{{}}"{sign}]+)'
    return re.compile(rf"(?P<open>{{)|(?P<close>}})|{quoted}|{plain}", re.DOTALL)


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


_FIELD = re.compile(r'((?:"(?:[^"\\]|\\.|"")*"|[^,()"\\]|\\.)*)([,)])', re.DOTALL)
_PIECE = re.compile(r'"((?:[^"\\]|\\.|"")*)"|([^"]+)', re.DOTALL)


def row(text: str, names: Sequence[str], converts: Sequence[Convert | None]) -> dict[str, Any]:
    """``(1,"a b",)`` as a dict; a field without text is null."""
    fields: list[str | None] = []
    position = 1
    while names:
        found = _FIELD.match(text, position)
        if found is None:
            raise Malformed("The row is not closed.")
        fields.append(_field(found[1]))
        position = found.end()
        if found[2] == ")":
            break
    if len(fields) != len(names):
        raise Malformed("The row has another number of fields than its type.")
    return {
        name: None if field is None else convert(field) if convert else field
        for name, field, convert in zip(names, fields, converts, strict=True)
    }


def _field(text: str) -> str | None:
    if not text:
        return None
    return "".join(
        _unescape(quoted.replace('""', '"')) if plain == "" else _unescape(plain)
        for quoted, plain in _PIECE.findall(text)
    )
