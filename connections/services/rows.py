"""Rows without the ORM's objects, for what every preview does. Statements are made from the models, once.

Outside transactions they run on the driver's own cursor, as statements that it prepares and keeps; Django's would cost
as much again. In a transaction, or where somebody watches the statements, Django's cursor runs them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import OperationalError, connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be so in the database for a row to be inserted: ``FROM … WHERE …`` that finds one row then."""

    sql: str
    values: tuple[Any, ...]


class NotInserted(Exception):
    """A row was not inserted: its condition did not hold, or the database connection was lost by then."""


Wait = Callable[[], None]
Prepare = Callable[[Any], Any]
_Value = tuple[str, Prepare | None, Callable[[], Any] | None, Any]


def first(alias: str, sql: str, values: Sequence[Any]) -> Row | None:
    """The first row that ``sql`` finds, as the driver gives it. A database connection that was lost is opened anew."""
    connection = connections[alias]
    connection.health_check_done = True  # type: ignore[attr-defined]  # this statement is the check
    try:
        return _run(connection, sql, values)
    except OperationalError:
        if connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return _run(connection, sql, values)


def insert(model: type[models.Model], *, only_if: Condition | None = None, **values: Any) -> None:
    """Insert one row of ``model``. ``values`` are by attribute (``organisation_id``); others are the defaults.

    Raises ``NotInserted`` where it is not as ``only_if`` has it.
    """
    connection = connections[router.db_for_write(model)]
    _insert(connection, model, only_if, values)


def insert_now_sync_later(model: type[models.Model], *, only_if: Condition | None = None, **values: Any) -> Wait:
    """``insert``, and what waits until the row outlives a loss of power: time that others may use.

    The row is committed, for all to see, when this returns. In a transaction there is nothing left to wait for.
    """
    connection = connections[router.db_for_write(model)]
    if connection.vendor == "postgresql" and not _is_watched(connection) and not _is_pooled(connection):
        _insert(connection, model, only_if, values, _NOT_WAITED_FOR)
        raw = connection.connection
        return lambda: _flush(connection, raw)
    log = _write_ahead_log(connection)
    if log is None:
        _insert(connection, model, only_if, values)
        return lambda: None
    with _not_synced(connection):
        _insert(connection, model, only_if, values)
    return lambda: _sync(log)


def insert_many_unsynced(model: type[models.Model], rows: Sequence[dict[str, Any]]) -> None:
    """Insert these rows, as ``insert`` takes each, all or none. On SQLite, a loss of power may undo that."""
    connection = connections[router.db_for_write(model)]
    statements = [_insertion_of(model, connection, values) for values in rows]
    unsynced = _not_synced(connection) if _write_ahead_log(connection) else contextlib.nullcontext()
    with unsynced, transaction.atomic(connection.alias), connection.cursor() as cursor:
        cursor.executemany(statements[0][0], [values for _, values in statements])


def columns(model: type[models.Model], alias: str, *, but: Sequence[str] = ()) -> list[str]:
    """The quoted names of the columns of table ``alias``, in the order that ``instance`` takes their values."""
    quote = connections[router.db_for_read(model)].ops.quote_name
    return [f"{alias}.{quote(str(field.column))}" for field in _fields(model, tuple(but))]


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
def _insertion(model: type[models.Model], alias: str) -> tuple[str, list[_Value]]:
    """The statement and, for each of its values: the attribute, what makes it the driver's, and its default.

    A default is called anew for each row, or is a constant that the driver takes.
    """
    quote = connections[alias].ops.quote_name
    fields = list(model._meta.concrete_fields)
    names = ", ".join(quote(str(field.column)) for field in fields)
    marks = ", ".join("%s" for _ in fields)
    sql = f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES ({marks})"  # noqa: S608
    return sql, [_value(field, alias) for field in fields]


def _value(field: models.Field[Any, Any], alias: str) -> _Value:
    prepare = _preparation(field, alias)
    if field.has_default() and callable(field.default):
        return field.attname, prepare, field.default, None
    constant = field.get_default()
    return field.attname, prepare, None, constant if prepare is None or constant is None else prepare(constant)


def _preparation(field: models.Field[Any, Any], alias: str) -> Prepare | None:
    """What makes a value of ``field`` one that the driver takes; None where it takes it as it is."""
    connection = connections[alias]
    kind = field.target_field if isinstance(field, models.ForeignKey) else field
    if isinstance(kind, models.CharField | models.TextField | models.IntegerField):
        return None
    if isinstance(kind, models.JSONField) and kind.encoder is None:
        return _json  # PostgreSQL reads it as what the column is
    if connection.vendor == "postgresql" and isinstance(kind, models.UUIDField | models.DateTimeField):
        return None
    if connection.vendor == "sqlite" and isinstance(kind, models.UUIDField):
        return _hex
    if connection.vendor == "sqlite" and isinstance(kind, models.DateTimeField) and connection.timezone is UTC:
        return _in_utc
    return lambda value: field.get_db_prep_save(value, connections[alias])


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a large integer, or half of a surrogate pair
        return json.dumps(value)


def _hex(value: UUID) -> str:
    return value.hex


def _in_utc(value: datetime) -> str:
    """A moment as SQLite has it, as Django writes it too."""
    return str(value.astimezone(UTC).replace(tzinfo=None))


def _insertion_of(
    model: type[models.Model], connection: BaseDatabaseWrapper, values: dict[str, Any]
) -> tuple[str, list[Any]]:
    sql, fields = _insertion(model, connection.alias)
    row = []
    for name, prepare, default, constant in fields:
        if name in values:
            value = values[name]
        elif default is not None:
            value = default()
        else:
            row.append(constant)
            continue
        row.append(value if prepare is None or value is None else prepare(value))
    return sql, row


def _insert(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    only_if: Condition | None,
    values: dict[str, Any],
    behind: str = "",
) -> None:
    sql, row = _insertion_of(model, connection, values)
    if only_if is None:
        _run(connection, sql + behind, row)
        return
    sql = _insertion_if(model, connection.alias, only_if.sql)
    try:
        if connection.vendor == "postgresql":
            done = _run(connection, sql + (behind or " RETURNING 1"), (*row, *only_if.values)) is not None
        else:
            connection.ensure_connection()
            before = connection.connection.total_changes
            _run(connection, sql, (*row, *only_if.values))
            done = connection.connection.total_changes > before
    except OperationalError:
        if connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        done = False
    if not done:
        raise NotInserted


@cache
def _insertion_if(model: type[models.Model], alias: str, condition: str) -> str:
    """The statement that inserts a row where ``condition`` holds."""
    connection = connections[alias]
    fields = list(model._meta.concrete_fields)
    names = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    marks = ", ".join(_typed_mark(field, connection) for field in fields)
    return f"INSERT INTO {connection.ops.quote_name(model._meta.db_table)} ({names}) SELECT {marks} {condition}"


def _typed_mark(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> str:
    """Where a value stands. What is selected is text to PostgreSQL unless it is told."""
    kind = str(field.db_type(connection)).partition("(")[0]
    return f"%s::{kind}" if connection.vendor == "postgresql" else "%s"


# The driver's own cursor ---------------------------------------------------------------------------------------------


def _run(connection: BaseDatabaseWrapper, sql: str, values: Sequence[Any] = ()) -> Row | None:
    """Run one statement; the first row that it finds. Raises Django's database errors."""
    if _is_watched(connection) or connection.vendor not in _RUN:
        with connection.cursor() as cursor:
            return _first_of(cursor.execute(sql, values) or cursor)
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return _RUN[connection.vendor](connection, sql, values)


def _first_of(cursor: Any) -> Row | None:
    row: Row | None = cursor.fetchone() if cursor.description is not None else None
    return row


def _is_watched(connection: BaseDatabaseWrapper) -> bool:
    in_transaction = connection.in_atomic_block or not connection.get_autocommit()
    return bool(in_transaction or connection.execute_wrappers or connection.queries_logged)


def _run_sqlite(connection: BaseDatabaseWrapper, sql: str, values: Sequence[Any]) -> Row | None:
    cursor = connection.connection.execute(_with_question_marks(sql), values)
    row: Row | None = cursor.fetchone()
    cursor.close()
    return row


def _run_postgresql(connection: BaseDatabaseWrapper, sql: str, values: Sequence[Any]) -> Row | None:
    import psycopg

    from connections.services.prepared import Prepared

    raw = connection.connection
    if _is_pooled(connection):  # a pooler that shares sessions keeps no statements
        return _first_of(psycopg.Cursor(raw).execute(sql, values))
    kept: tuple[Any, Prepared] | None = getattr(connection, "_catalogue_prepared", None)
    if kept is None or kept[0] is not raw:
        kept = (raw, Prepared(raw))
        connection._catalogue_prepared = kept  # type: ignore[attr-defined]
    return kept[1].first(sql, values)


_RUN: Final[dict[str, Callable[[BaseDatabaseWrapper, str, Sequence[Any]], Row | None]]] = {
    "sqlite": _run_sqlite,
    "postgresql": _run_postgresql,
}


@cache
def _with_question_marks(sql: str) -> str:
    return sql.replace("%s", "?")


@contextlib.contextmanager
def _not_synced(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Write commits of this block to SQLite's log, and do not wait until that lasts."""
    raw = connection.connection
    raw.execute("PRAGMA synchronous=NORMAL").close()
    try:
        yield
    finally:
        raw.execute("PRAGMA synchronous=FULL").close()


# PostgreSQL's log ----------------------------------------------------------------------------------------------------

_NOT_WAITED_FOR: Final = " RETURNING set_config('synchronous_commit', 'off', true)"
"""Behind an insert: its commit is not waited for. That setting ends with the statement's own transaction."""
_FLUSH: Final = "SELECT pg_logical_emit_message(true, 'catalogue', '')"
"""A transaction that writes next to nothing, and is waited for as the deployment has it: so is all before it."""


def _is_pooled(connection: BaseDatabaseWrapper) -> bool:
    """Whether the next statement may be another session's: then it cannot wait for this one's."""
    return connection.connection.prepare_threshold is None


def _flush(connection: BaseDatabaseWrapper, raw: Any) -> None:
    """Wait for what was written by ``raw``. On another connection, after a crash, that may be gone."""
    if connection.connection is not raw:
        raise OperationalError("The connection to the catalogue's database was lost.")
    _run(connection, _FLUSH)


# SQLite's log --------------------------------------------------------------------------------------------------------


def _write_ahead_log(connection: BaseDatabaseWrapper) -> str | None:
    """The file of the log that commits are waited for in, where that can be put off."""
    if connection.vendor != "sqlite" or _is_watched(connection):
        return None
    connection.ensure_connection()
    raw = connection.connection
    known, log = getattr(connection, "_catalogue_log", (None, None))
    if known is not raw:
        mode, level, file = (raw.execute(pragma).fetchone() for pragma in _PRAGMAS)
        log = f"{file[2]}-wal" if (mode[0], level[0]) == ("wal", 2) and file[2] else None
        connection._catalogue_log = (raw, log)  # type: ignore[attr-defined]
    return log


_PRAGMAS: Final = ("PRAGMA journal_mode", "PRAGMA synchronous", "PRAGMA database_list")


def _sync(log: str) -> None:
    """Wait for what was written to ``log``. A log that is gone was checkpointed, which waits too.

    SQLite locks other files than its log, so closing a descriptor of this one lets no lock go.
    """
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        getattr(os, "fdatasync", os.fsync)(descriptor)
    except OSError as exc:
        raise OperationalError(f"The catalogue's log could not be written: {exc.strerror}.") from None
    finally:
        os.close(descriptor)
