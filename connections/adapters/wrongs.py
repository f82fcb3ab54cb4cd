"""What is wrong with a setting, in words that fit below its input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "extra_forbidden": "This setting is not known.",
    "greater_than_equal": "At least {ge}.",
    "greater_than": "More than {gt}.",
    "less_than_equal": "At most {le}.",
    "less_than": "Less than {lt}.",
    "string_too_long": "At most {max_length} characters.",
    "too_long": "At most {max_length} entries.",
    "int_parsing": "Enter a whole number.",
    "int_type": "Enter a whole number.",
    "int_from_float": "Enter a whole number.",
    "float_parsing": "Enter a number.",
    "float_type": "Enter a number.",
    "string_type": "Enter a text.",
}
_BOUNDS = ("ge", "gt", "le", "lt", "max_length")
"""What may be told of an error's context: bounds are the schema's. Others hold what was entered."""


def words(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors says, its bounds included; its own words where there are none here."""
    text = _WORDS.get(error["type"])
    if text is None:
        return str(error["msg"]).removeprefix("Value error, ")
    context = error.get("ctx", {})
    return text.format_map({name: _plain(context[name]) for name in _BOUNDS if name in context})


def _plain(bound: Any) -> str:
    """``bound`` without a fraction that is nothing."""
    return str(int(bound)) if isinstance(bound, float) and bound.is_integer() else str(bound)
