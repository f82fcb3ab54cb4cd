"""What to ask an HTTP source for, and how a caller's values get into it.

A value takes the place of ``{"$parameter": "name"}``, as a whole: in ``params``, anywhere in ``body``, or as one
segment of a ``path`` that is written as a list. Text is never put together, so nothing in a value is syntax.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, PlainValidator, WithJsonSchema, field_validator, model_validator

from connections.adapters.config import Query, Settings
from connections.adapters.http.addresses import relative_path, segment

PARAMETER = "$parameter"
Name = Annotated[str, Field(min_length=1, max_length=200)]
JSONPath = Annotated[str, Field(min_length=1, max_length=1000)]


class Parameter(Settings):
    """The place of a parameter's value."""

    name: Name = Field(alias=PARAMETER)


def _value(given: Any) -> Any:
    """A URL parameter's value; one that is a parameter's place becomes a ``Parameter``."""
    if isinstance(given, dict):
        if PARAMETER in given and parameter_names(given):
            return Parameter.model_validate(given)
        raise ValueError(f'Give text, a number, true, false, null, a list of those, or {{"{PARAMETER}": "name"}}.')
    for part in given if isinstance(given, list) else [given]:
        if not (part is None or isinstance(part, str | int | float)):
            raise ValueError("A list in the URL holds text, numbers, true and false.")
        if isinstance(part, str):
            _require_text(part)
    return given


def _path(given: Any) -> Any:
    """A path: plain text, or segments of which some are parameters."""
    if isinstance(given, str):
        _require_text(given)
        relative_path(given)
        return given
    if not isinstance(given, list):
        raise ValueError("Give the path as text, or as a list of segments.")
    parts = [_value(part) for part in given]
    for part in parts:
        if isinstance(part, str):
            segment(part)
        elif not isinstance(part, Parameter):
            raise ValueError(f'A segment is text or {{"{PARAMETER}": "name"}}.')
    return parts


def _require_text(text: str) -> None:
    if len(text) > 8000:
        raise ValueError("The text is longer than 8000 characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("The text has a character that is none (half of a surrogate pair).") from None


_PLACE: dict[str, Any] = {
    "type": "object",
    "properties": {PARAMETER: {"type": "string", "minLength": 1}},
    "required": [PARAMETER],
    "additionalProperties": False,
}
_PLAIN: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
_SEGMENTS: dict[str, Any] = {"type": "array", "items": {"anyOf": [{"type": "string"}, _PLACE]}}

# Checked here and not as unions: pydantic would tell one mistake once for each alternative.
Value = Annotated[
    Any, PlainValidator(_value), WithJsonSchema({"anyOf": [_PLAIN, {"type": "array", "items": _PLAIN}, _PLACE]})
]
Path = Annotated[
    str | list[str | Parameter],
    PlainValidator(_path),
    WithJsonSchema({"anyOf": [{"type": "string"}, _SEGMENTS]}),
]


class Records(Settings):
    """Where in an answer the records are."""

    language: Literal["jsonpath", "jq"] = Field("jsonpath", title="Language")
    expression: str = Field(title="Expression", min_length=1, max_length=10_000, examples=["$.items[*]", ".items[]"])


class NoPaging(Settings):
    """One answer has all records."""

    kind: Literal["none"] = "none"


class _Paged(Settings):
    size_param: Name | None = Field(None, title="Page size's parameter", description="Left empty, it is not sent.")
    page_size: int = Field(100, title="Page size", ge=1, le=10_000, description="The most that one request asks for.")
    place: Literal["params", "body"] = Field("params", title="Sent in")


class OffsetPaging(_Paged):
    """The request says how many records to skip."""

    kind: Literal["offset"] = "offset"
    offset_param: Name = Field("offset", title="Offset's parameter")
    size_param: Name | None = Field("limit", title="Page size's parameter")


class PagePaging(_Paged):
    """The request says which page it wants. With ``size_param``, an offset skips whole pages."""

    kind: Literal["page"] = "page"
    page_param: Name = Field("page", title="Page's parameter")
    first: int = Field(1, title="First page", ge=0, le=1)


class CursorPaging(_Paged):
    """Each answer has what the next request sends back."""

    kind: Literal["cursor"] = "cursor"
    cursor_param: Name = Field("cursor", title="Cursor's parameter")
    cursor: JSONPath = Field(title="Cursor in the answer", examples=["$.next_cursor"])


class LinkPaging(_Paged):
    """Each answer has the URL of the next one, in its Link header or at ``next``; it must be beneath the base URL."""

    kind: Literal["link"] = "link"
    next: JSONPath | None = Field(
        None, title="URL in the answer", description="Left empty, the Link header is read.", examples=["$.next"]
    )


Paging = NoPaging | OffsetPaging | PagePaging | CursorPaging | LinkPaging


class HTTPQuery(Query):
    """One request, and where its records are."""

    path: Path = Field(
        "",
        title="Path",
        description="Beneath the base URL, as plain text; or a list of segments, some of them parameters.",
        examples=["orders"],
    )
    method: Literal["GET", "POST"] = Field("GET", title="Method")
    params: dict[Name, Value] = Field(default_factory=dict, title="Parameters of the URL", max_length=200)
    body: dict[str, JsonValue] | list[JsonValue] | None = Field(None, title="Body", description="JSON, with POST only.")
    records: Records | None = Field(
        None,
        title="Records",
        description="Left empty, an answer that is a list has one record for each element; any other is one record.",
    )
    flatten: bool = Field(False, title="Flatten", description="An object inside a record becomes columns: address.city")
    paging: Annotated[Paging, Field(default_factory=NoPaging, title="Paging", discriminator="kind")]

    @field_validator("body")
    @classmethod
    def _parameters_stand_alone(cls, value: Any) -> Any:
        parameter_names(value)
        return value

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.method == "GET" and self.body is not None:
            raise ValueError("A body is sent with POST only.")
        in_body = not isinstance(self.paging, NoPaging) and self.paging.place == "body"
        if in_body and (self.method == "GET" or isinstance(self.body, list)):
            raise ValueError("Paging in the body needs POST, and a body that is an object.")
        return self


def parameter_names(value: Any) -> set[str]:
    """The names of all parameters in plain JSON. Raises ``ValueError`` for a place that is not spelled right."""
    if isinstance(value, list):
        return set().union(*map(parameter_names, value))
    if not isinstance(value, dict):
        return set()
    if PARAMETER not in value:
        return set().union(*map(parameter_names, value.values()))
    name = value[PARAMETER]
    if len(value) > 1 or not isinstance(name, str) or not name:
        raise ValueError(f'Write a parameter as {{"{PARAMETER}": "name"}}, without other members.')
    return {name}
