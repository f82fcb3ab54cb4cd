"""Rows without the ORM's objects, for what every preview does. Statements are made from the models, once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db import connections, models, router


def insert(model: type[models.Model], **values: Any) -> None:
    """Insert one row of ``model``. ``values`` are by attribute (``organisation_id``); others are the defaults."""
    alias = router.db_for_write(model)
    connection = connections[alias]
    sql, fields = _insertion(model, alias)
    row = [
        field.get_db_prep_save(values[field.attname] if field.attname in values else field.get_default(), connection)
        for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, row)


def columns(model: type[models.Model], alias: str, *, but: Sequence[str] = ()) -> list[str]:
    """The quoted names of the columns that ``table.columns`` is read by, in the order that ``instance`` takes."""
    quote = connections[router.db_for_read(model)].ops.quote_name
    return [f"{alias}.{quote(field.column)}" for field in _fields(model, tuple(but))]


def instance(model: type[models.Model], values: Sequence[Any], *, but: Sequence[str] = ()) -> Any:
    """An instance of ``model`` from raw values in the order of ``columns``. What is left out is loaded when asked."""
    alias = router.db_for_read(model)
    connection = connections[alias]
    fields = _fields(model, tuple(but))
    converted = []
    for field, value in zip(fields, values, strict=True):
        column = field.get_col(model._meta.db_table)
        for convert in (*connection.ops.get_db_converters(column), *column.get_db_converters(connection)):
            value = convert(value, column, connection)
        converted.append(value)
    return model.from_db(alias, [field.attname for field in fields], converted)


@cache
def _fields(model: type[models.Model], but: tuple[str, ...]) -> list[models.Field[Any, Any]]:
    return [field for field in model._meta.concrete_fields if field.name not in but]


@cache
def _insertion(model: type[models.Model], alias: str) -> tuple[str, list[models.Field[Any, Any]]]:
    quote = connections[alias].ops.quote_name
    fields = list(model._meta.concrete_fields)
    names = ", ".join(quote(field.column) for field in fields)
    marks = ", ".join("%s" for _ in fields)
    return f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES ({marks})", fields  # noqa: S608
