"""Reading bodies: JSON objects, strictly, up to 1 MB."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from rest_framework import parsers

from connections.services.errors import CatalogueError, Invalid

MAX_BODY = 1_000_000
MAX_DRAINED = 8_000_000


class BodyTooLarge(CatalogueError):
    code = "body_too_large"
    title = "Body too large"


class JSONParser(parsers.BaseParser):
    """A JSON body. Repeated members, NaN and broken UTF-8 are refused: readers disagree on what they mean."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        body = stream.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            # Some clients see a reset, not the answer, when what they send is not taken off the wire.
            left = MAX_DRAINED - len(body)
            while left > 0 and (part := stream.read(min(left, 65536))):
                left -= len(part)
            raise BodyTooLarge("The body is over 1 MB.")
        return read(body)


class MergePatchParser(JSONParser):
    media_type = "application/merge-patch+json"


def read(body: bytes) -> Any:
    """What a body says. Raises ``Invalid``."""
    try:
        found = _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        raise Invalid.at("", "The body is not UTF-8.") from None
    except json.JSONDecodeError as exc:
        raise Invalid.at("", f"The body is not JSON: {exc.msg} at line {exc.lineno} column {exc.colno}.") from None
    except (RecursionError, ValueError) as exc:
        if isinstance(exc, RepeatedMember):
            raise Invalid.at("", "A member is given twice.") from None
        if isinstance(exc, NotANumber):
            raise Invalid.at("", "NaN and infinities are no JSON; send them as texts.") from None
        raise Invalid.at("", "The body is nested too deeply, or holds a number that is too large.") from None
    if b"\\u" in body and _has_half_a_character(found):
        raise Invalid.at("", "The body holds half of a surrogate pair, which is no character.")
    return found


class RepeatedMember(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RepeatedMember
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _has_half_a_character(found: Any) -> bool:
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


class NotANumber(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise NotANumber


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
