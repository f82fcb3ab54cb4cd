"""The columns of an answer as it shows them, worked out once for columns that come again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from connections.adapters.contract import Column
from connections.adapters.errors import TooLargeError
from connections.runner.encoding.encoder import mended

NAMES: Final = 1_000_000
"""Characters of all column names of an answer: they go to the supervisor in one piece."""
_KEPT: Final = 64
_KEPT_NAMES: Final = 16 * 1024
"""Characters of all names; columns with more are worked out each time."""

Shown = list[dict[str, Any]]

_kept: dict[int, tuple[Sequence[Column], Shown]] = {}  # by identity, of columns that live as long as they are here


def shown(columns: Sequence[Column]) -> Shown:
    """The columns as the REST contract has them, not to be changed. Raises ``TooLargeError``."""
    known = _kept.get(id(columns))
    if known is not None and known[0] is columns:
        return known[1]
    size = sum(len(column.name) + len(column.native_type or "") for column in columns)
    if size > NAMES:
        raise TooLargeError(
            f"The names of the columns have more than {NAMES} characters in all.",
            field="/query",
            hint="Name the columns you need.",
        )
    found = _shown(columns)
    if isinstance(columns, tuple) and size <= _KEPT_NAMES:
        if len(_kept) >= _KEPT:
            _kept.clear()
        _kept[id(columns)] = (columns, found)
    return found


def _shown(columns: Sequence[Column]) -> Shown:
    return [
        {key: mended(value) if isinstance(value, str) else value for key, value in column.as_dict().items()}
        for column in columns
    ]
