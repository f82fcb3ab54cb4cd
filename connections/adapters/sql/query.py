"""The query of SQL sources: a text that reads, or a table."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from connections.adapters.config import Query
from connections.adapters.sql.lexis import is_blank


def _require_text(text: str) -> str:
    _require_characters(text)
    if is_blank(text):
        raise ValueError("The text holds no statement, only blanks and comments.")
    return text


def _require_characters(text: str) -> str:
    if "\0" in text:
        raise ValueError("The text holds a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("The text holds half a character (a lone surrogate).") from None
    return text


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_require_characters)]


class SQLQuery(Query):
    """Exactly one of ``sql`` and ``table``."""

    sql: Annotated[str, AfterValidator(_require_text)] | None = Field(
        None,
        title="SQL",
        description="One statement that reads. Parameters are written :name.",
        min_length=1,
        max_length=100_000,
        examples=["select * from orders where id > :id"],
        json_schema_extra={"widget": "textarea"},
    )
    table: tuple[Name, ...] | None = Field(
        None,
        title="Table",
        description="The table's path, such as schema and name.",
        min_length=1,
        max_length=4,
        examples=[["public", "orders"]],
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.sql is None) == (self.table is None):
            raise ValueError("Give either sql or table.")
        return self
