"""Text from elsewhere, as text: what would not be seen, or would make other text look different, is shown."""

from __future__ import annotations

import json
import re
from typing import Any

CLIPPED = 160  # characters of a cell on the page
TITLE = 2_000  # characters of a cell in its title

# Controls, halves of surrogate pairs, what changes the direction of text, what takes no room, what is drawn as none.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def visible(text: Any) -> str:
    """``text`` with every hidden character shown: controls by their pictures, others by their number."""
    return _HIDDEN.sub(lambda found: _picture(found[0]), str(text))


def clipped(text: str, most: int = CLIPPED) -> str:
    """The first ``most`` characters, with an ellipsis where there are more."""
    return text if len(text) <= most else text[: most - 1] + "…"


class Number(str):
    """A JSON number as it was written: no digit is lost on the way to the page."""

    __slots__ = ()


def read_json(body: bytes) -> Any:
    """The JSON document ``body``, its numbers as ``Number``."""
    return json.loads(body, parse_int=Number, parse_float=Number, parse_constant=Number)


def cell_text(value: Any) -> str:
    """A wire value as it is shown in a cell: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else as_json(value)


def as_json(value: Any) -> str:
    """``value`` as JSON; ``Number`` keeps its digits."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {as_json(v)}" for name, v in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(as_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _picture(character: str) -> str:
    number = ord(character)
    if number < 0x20:
        return chr(0x2400 + number)
    if number == 0x7F:
        return "\u2421"
    return f"\u27e8U+{number:04X}\u27e9"
