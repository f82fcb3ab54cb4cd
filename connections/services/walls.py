"""Whom the database shows rows to: nobody, one organisation, or the platform.

With ``CATALOG_ROW_SECURITY`` on, PostgreSQL holds every row back that is not the organisation's for which this thread
works (``connections.models.row_security``). A thread works for nobody until it says for whom; a request starts that way
whatever was before it on its database connection, and ends so. Off, all of this does nothing.

A scope is told to the database once when it changes, and costs one statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

if TYPE_CHECKING:
    from connections.models.row_security import Wall

_SQL: Final = "select set_config('catalog.organisation', %s, false), set_config('catalog.scope', %s, false)"
_STATE: Final = "_catalogue_scope"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows may be seen: the organisation's with this id, or all of them, or none."""

    organisation: str = ""
    platform: bool = False


NOBODY: Final = Scope()
PLATFORM: Final = Scope(platform=True)
_outside = NOBODY  # the scope of this process outside requests


@contextmanager
def inside(organisation_id: Any) -> Iterator[None]:
    """Work for one organisation in this block: its rows, and no others, are there."""
    if not settings.CATALOG_ROW_SECURITY:
        yield
        return
    before = _stand(Scope(str(organisation_id)))
    try:
        yield
    finally:
        _stand(before)


@contextmanager
def platform() -> Iterator[None]:
    """Work for the platform in this block, which sees all rows: to find out who asks, or to run the deployment.

    A block that has found whom to work for may ``enter`` there; then that is not undone at its end.
    """
    if not settings.CATALOG_ROW_SECURITY:
        yield
        return
    before = _stand(PLATFORM)
    try:
        yield
    finally:
        if scope() == PLATFORM:
            _stand(before)


def enter(organisation_id: Any) -> None:
    """Work for one organisation until the request ends."""
    if settings.CATALOG_ROW_SECURITY:
        _stand(Scope(str(organisation_id)))


def enter_platform() -> None:
    """Work for the platform until the request ends: for its own pages, once it is known that a superuser asks."""
    if settings.CATALOG_ROW_SECURITY:
        _stand(PLATFORM)


def leave() -> None:
    """Work again for whom this process works outside requests: nobody, or the platform at a terminal."""
    if settings.CATALOG_ROW_SECURITY:
        _stand(_outside)


def work_for_platform() -> None:
    """Let this process work for the platform outside requests: for the terminal's commands. Called at its start."""
    global _outside
    _outside = PLATFORM


def scope() -> Scope:
    """Whom this thread works for."""
    found: Scope = getattr(connections[DEFAULT_DB_ALIAS], _STATE, _outside)
    return found


def doubts() -> list[tuple[str, str]]:
    """Where settings and database disagree about the wall: what is wrong, and what to do. One query on PostgreSQL."""
    return _doubts(_wall())


def told() -> dict[str, Any]:
    """What ``/readyz`` says of the wall. A process is not ready that would find nothing, as it says nothing, nor one
    that is to have a second wall and has none: ``missing`` says why.
    """
    wall, wanted = _wall(), settings.CATALOG_ROW_SECURITY
    if wall is None and not wanted:
        return {}
    missing = [text for text, _ in _doubts(wall)]
    found = {"wanted": wanted, "in_force": wall is not None and wall.in_force}
    return {
        "ok": not missing and found["in_force"] is wanted,
        "row_security": {**found, **({"missing": missing} if missing else {})},
    }


def _wall() -> Wall | None:
    """The wall in the database, None where it has none to offer."""
    from django.apps import apps

    from connections.models import row_security

    connection = connections[DEFAULT_DB_ALIAS]
    return row_security.look(connection, apps) if connection.vendor == "postgresql" else None


def _doubts(wall: Wall | None) -> list[tuple[str, str]]:
    wanted = settings.CATALOG_ROW_SECURITY
    if wall is None:
        text = "CATALOG_ROW_SECURITY is on, and the database has no row security."
        return [(text, "Keep the catalogue in PostgreSQL, or set CATALOG_ROW_SECURITY=off.")] if wanted else []
    if not wanted:
        text = "CATALOG_ROW_SECURITY is off, and the database holds rows back: nothing will be found."
        hint = "Set CATALOG_ROW_SECURITY=on, or run manage.py rowsecurity disable."
        return [(text, hint)] if wall.walled else []
    found = []
    if wall.passed_by:
        text = f"CATALOG_ROW_SECURITY is on, and this login passes every wall: it has {wall.passed_by}."
        found.append((text, "Log in to PostgreSQL as a role that is no superuser and has no BYPASSRLS."))
    if wall.open_tables:
        text = f"CATALOG_ROW_SECURITY is on, and no wall stands around {', '.join(wall.open_tables)}."
        found.append((text, "Run manage.py rowsecurity enable."))
    return found


def _stand(wanted: Scope) -> Scope:
    """Work for ``wanted`` from now on; return whom this thread worked for."""
    connection = connections[DEFAULT_DB_ALIAS]
    before = scope()
    if wanted != before:
        setattr(connection, _STATE, wanted)
        if connection.connection is not None:
            _tell(connection, wanted)
    return before


def _tell(connection: BaseDatabaseWrapper, scope: Scope) -> None:
    """Tell the session whom it is for. A session that cannot be told is closed: it must not keep what it was told.

    In a transaction that failed nothing can be said, and need not: with its end, what was said in it is gone.
    """
    if connection.vendor != "postgresql" or _failed(connection):
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute(_SQL, [scope.organisation, "platform" if scope.platform else ""])
    except DatabaseError:
        connection.close()


def _failed(connection: BaseDatabaseWrapper) -> bool:
    return connection.needs_rollback or connection.connection.info.transaction_status.name == "INERROR"


def _on_connection(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """A new session knows nothing yet."""
    if settings.CATALOG_ROW_SECURITY and connection.alias == DEFAULT_DB_ALIAS and scope() != NOBODY:
        _tell(connection, scope())


def _on_request(**kwargs: Any) -> None:
    if settings.CATALOG_ROW_SECURITY:
        _stand(NOBODY)


def _after_request(**kwargs: Any) -> None:
    leave()


def connect() -> None:
    """Have requests and new sessions begin with nobody's rows."""
    connection_created.connect(_on_connection, dispatch_uid=__name__)
    request_started.connect(_on_request, dispatch_uid=__name__)
    request_finished.connect(_after_request, dispatch_uid=__name__)
