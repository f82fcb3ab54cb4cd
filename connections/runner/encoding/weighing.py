"""How long values are in their encoded form, told without encoding them whole.

What writes JSON in C asks for much more memory than it fills, 8 bytes a character and some 200 an item of a list, and
where it gets none, its process dies. So long values must be found before, and the memory for others be asked for.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from itertools import chain
from types import NoneType
from typing import Any, Final, NamedTuple

from connections.adapters.contract import Row
from connections.adapters.values import JSONText
from connections.runner.encoding.encoder import mend, mended, to_json

_SHORT: Final = frozenset((int, float, bool, NoneType))
_TEXT_PIECE: Final = 64 * 1024
_LIST_PIECE: Final = 256
_SHORT_TEXT: Final = 1024
_COUNTED: Final = 2**30
"""Bytes after which nobody goes on counting: one object may stand in many places of a value."""

# Upper bounds, each found by trying (orjson 3.13, msgspec 0.22).
_SIGNS: Final = 6  # bytes of one character: a control sign is \u0001
_NUMBER: Final = 32  # of one number, with the comma
_ROOM_OF_SIGN: Final = 8
_ROOM_OF_ITEM: Final = 268
_LEAST_ROOM: Final = 1024 * 1024
_MOVED: Final = 32 * 1024 * 1024  # a buffer up to this size is copied when it grows


class Load(NamedTuple):
    """What encoding some rows takes, in bytes: they become ``least`` to ``most``, with ``room`` for one step more."""

    least: int = 0
    most: int = 0
    room: int = 0

    def with_row(self, other: Load) -> Load:
        return Load(self.least + other.least, self.most + other.most, max(self.room, other.room))

    def require_memory(self) -> None:
        """Raises ``MemoryError`` where this process may not have what an encoder in C will ask for."""
        buffer = 1 << (self.most + self.room).bit_length()
        require_memory(max(buffer + min(buffer, _MOVED) + self.most, _LEAST_ROOM))


def require_memory(size: int) -> None:
    """Raises ``MemoryError`` where this process may not have ``size`` bytes more. None of them is filled."""
    try:
        mmap.mmap(-1, size, mmap.MAP_PRIVATE).close()
    except OSError:
        raise MemoryError from None


def load_together(rows: Sequence[Row], longest: int) -> Load | None:
    """What encoding ``rows`` takes; None where that is over ``longest``, or not told as quickly as for most rows."""
    least = most = widest = crowd = 0
    for column in zip(*rows, strict=True):
        kinds = set(map(type, column)) - _SHORT
        most += _NUMBER * len(column)
        if not kinds:
            continue
        if kinds == {str}:
            sizes = [len(value) for value in column if type(value) is str]
            least += (size := sum(sizes))
            most += _SIGNS * size
            widest = max(widest, *sizes)
        elif kinds == {list}:
            lists = [value for value in column if type(value) is list]
            least += 2 * (count := sum(map(len, lists)))
            most += _NUMBER * count
            crowd = max(crowd, *map(len, lists))
            if least > longest or not _SHORT.issuperset(map(type, chain.from_iterable(lists))):
                return None
        else:
            return None
        if least > longest or widest > _TEXT_PIECE:
            return None
    return Load(least, most, max(_ROOM_OF_SIGN * widest, _ROOM_OF_ITEM * crowd))


def load(row: Row, longest: int) -> Load | None:
    """What encoding ``row`` takes; None where a cell alone has more than ``longest`` bytes, by the least it takes."""
    least = most = room = 0
    for value in row:
        if type(value) in _SHORT:
            most += _NUMBER
            continue
        one = _nested(value, longest) if isinstance(value, list | tuple | dict) else _scalar(value, longest)
        if one.least > longest:
            return None
        least, most, room = least + one.least, most + one.most, max(room, one.room)
    return Load(least, most, room)


def _nested(value: Any, longest: int) -> Load:
    """Of a list or dict, however deep: no recursion. Stops as soon as it is too long."""
    least = most = room = 0
    waiting = [value]
    while waiting and least <= longest:
        one = waiting.pop()
        items, count = (chain(one, one.values()), 2 * len(one)) if isinstance(one, dict) else (one, len(one))
        least, most, room = least + 2 * count, most + _NUMBER * count + 2, max(room, _ROOM_OF_ITEM * count)
        if least > longest or (type(one) is list and _SHORT.issuperset(map(type, one))):
            continue
        for item in items:
            if isinstance(item, list | tuple | dict):
                waiting.append(item)
            elif type(item) not in _SHORT:
                text = _scalar(item, longest)
                least, most, room = least + text.least, most + text.most, max(room, text.room)
                if least > longest:
                    break
    return Load(least, most, room)


def _scalar(value: Any, longest: int) -> Load:
    if isinstance(value, str):
        size = len(value)
        whole = size <= _TEXT_PIECE or size > longest
        return Load(size, _SIGNS * size + 2 if whole else _text(value), _ROOM_OF_SIGN * size)
    if isinstance(value, bytes | bytearray | memoryview):
        size = len(value)
        return Load(size, 2 * size + 4, 2 * _ROOM_OF_SIGN * size)
    if isinstance(value, int):
        bits = value.bit_length()
        return Load(bits // 4, bits // 3 + _NUMBER, _ROOM_OF_SIGN * bits // 3)
    return Load(0, _NUMBER, 0)


def weight(value: Any) -> int:
    """The bytes of one cell: of text in UTF-8, of binary as it is, of arrays and structs as JSON."""
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value)
    if isinstance(value, list | tuple | dict):
        return _json(value)
    if isinstance(value, int):
        return value.bit_length() // 3
    return 0


def _utf8(text: str) -> int:
    return len(text) if text.isascii() else sum(len(piece.encode(errors="replace")) for piece in _pieces(text))


def _text(text: str) -> int:
    """The bytes of a text in JSON."""
    return 2 + sum(len(to_json(mended(piece))) - 2 for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    return (text[at : at + _TEXT_PIECE] for at in range(0, len(text), _TEXT_PIECE))


def _json(value: Any) -> int:
    """The bytes of a list or dict as JSON, written piece by piece; or so many that more do not matter."""
    total = 0
    waiting = [value]
    while waiting and total <= _COUNTED:
        one = waiting.pop()
        total += 2 + max(len(one) - 1, 0)  # the brackets, and the commas
        if isinstance(one, dict):
            total += len(one) + _items(list(map(str, one)), waiting)
            one = list(one.values())
        total += _items(one, waiting)
    return total


def _items(items: Sequence[Any], waiting: list[Any]) -> int:
    """The bytes of all but lists and dicts, which are added to ``waiting``."""
    total = 0
    for at in range(0, len(items), _LIST_PIECE):
        piece = items[at : at + _LIST_PIECE]
        if all(type(item) in _SHORT or (type(item) is str and len(item) < _SHORT_TEXT) for item in piece):
            total += len(_plain(piece)) - 1 - len(piece)
            continue
        for item in piece:
            if isinstance(item, list | tuple | dict):
                waiting.append(item)
            else:
                total += _written(item)
    return total


def _plain(piece: Sequence[Any]) -> bytes:
    try:
        return to_json(piece)
    except TypeError:  # it holds what must be mended
        return to_json(mend(piece))


def _written(item: Any) -> int:
    if isinstance(item, JSONText):
        return _utf8(item)
    if isinstance(item, str):
        return _text(item)
    if isinstance(item, bytes | bytearray | memoryview):
        return 2 + -(-len(item) // 3) * 4
    return len(to_json(mend(item)))
