"""What to ask an HTTP source for, and how a caller's values get into it.

A value takes the place of ``{"$parameter": "name"}``, as a whole: in ``params``, anywhere in ``body``, or as one
segment of a ``path`` that is written as a list. Text is never put together, so nothing in a value is syntax.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from connections.adapters.config import Query, Settings
from connections.adapters.http.addresses import relative_path, segment

PARAMETER = "$parameter"
Scalar = str | int | float | bool
Name = Annotated[str, Field(min_length=1, max_length=200)]
JSONPath = Annotated[str, Field(min_length=1, max_length=1000)]


def _encodable(text: str) -> str:
    """Refuse halves of surrogate pairs: they have no place in a URL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("The text has a character that is none (half of a surrogate pair).") from None
    return text


class Parameter(Settings):
    """The place of a parameter's value."""

    name: Name = Field(alias=PARAMETER)


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

    path: Annotated[str, Field(max_length=2000), AfterValidator(_encodable)] | list[str | Parameter] = Field(
        "",
        title="Path",
        description="Beneath the base URL, as plain text; or a list of segments, some of them parameters.",
        examples=["orders"],
    )
    method: Literal["GET", "POST"] = Field("GET", title="Method")
    params: dict[Name, Scalar | Parameter | list[Scalar] | None] = Field(
        default_factory=dict, title="Parameters of the URL", max_length=200
    )
    body: dict[str, JsonValue] | list[JsonValue] | None = Field(None, title="Body", description="JSON, with POST only.")
    records: Records | None = Field(
        None,
        title="Records",
        description="Left empty, an answer that is a list has one record for each element; any other is one record.",
    )
    flatten: bool = Field(False, title="Flatten", description="An object inside a record becomes columns: address.city")
    paging: Annotated[Paging, Field(default_factory=NoPaging, title="Paging", discriminator="kind")]

    @field_validator("path")
    @classmethod
    def _path_stays_beneath(cls, value: str | list[str | Parameter]) -> str | list[str | Parameter]:
        if isinstance(value, str):
            relative_path(value)
        else:
            for part in value:
                if isinstance(part, str):
                    segment(part)
        return value

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
