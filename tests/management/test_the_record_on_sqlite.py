"""What SQLite refuses to do with the record to whoever can open its file, and asks for it in SQLite's own ways."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.management.conftest import BEFORE, Catalogue

TWO = """
import django
django.setup()
from connections.models import Organisation
from connections.services import seals
from connections.services.keys.record import record
row = Organisation.objects.first()
for _ in range(2):
    record("test.done", row, kind="organisation", thing=row.pk)
seals.seal()
record("test.done", row, kind="organisation", thing=row.pk)
"""
EVENT, SEAL = "connections_event", "connections_eventseal"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with sealed events and one that is not."""
    path = tmp_path_factory.mktemp("record") / "catalogue.sqlite3"
    catalogue = Catalogue(f"sqlite:///{path}")
    for command in (("-m", "tests.management.at_work", "fill", "1"), ("-c", TWO)):
        status, text = catalogue.run(BEFORE, *command)
        assert status == 0, text
    return path


@pytest.fixture
def database(file: Path) -> Iterator[sqlite3.Connection]:
    """Any client's connection, which has the right to write the file. What it does is not kept."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        yield connection
        connection.rollback()


def refused(database: sqlite3.Connection, statement: str, **values: object) -> bool:
    """Whether the database refuses ``statement``, and all that is on record is as it was."""
    before = [database.execute(f"select rowid, * from {table} order by rowid").fetchall() for table in (EVENT, SEAL)]
    try:
        changed = database.execute(statement, values).rowcount
    except sqlite3.IntegrityError:
        after = [database.execute(f"select rowid, * from {table} order by rowid").fetchall() for table in (EVENT, SEAL)]
        return before == after
    assert changed
    return False


def copy(database: sqlite3.Connection, table: str, where: str, way: str = "insert or replace", **other: str) -> str:
    """A statement that inserts a row like another one, with ``other`` expressions for some of its columns."""
    columns = [column for _, column, *_ in database.execute(f"pragma table_info({table})")]
    columns += [name for name in other if name not in columns]
    values = ", ".join(other.get(column, f'"{column}"') for column in columns)
    return f"{way} into {table} ({', '.join(columns)}) select {values} from {table} where {where} limit 1"


UNSEALED = {"seal_id": "null", "position": "null"}


@pytest.mark.parametrize("which", ["seal_id is not null", "seal_id is null"])
@pytest.mark.parametrize("way", ["insert or replace", "replace"])
def test_an_event_is_not_replaced_by_one_with_its_id(database: sqlite3.Connection, way: str, which: str) -> None:
    assert refused(database, copy(database, EVENT, which, way, actor_label="'mallory'", **UNSEALED))


@pytest.mark.parametrize("which", ["seal_id is not null", "seal_id is null"])
def test_an_event_is_not_replaced_by_one_with_its_row_number(database: sqlite3.Connection, which: str) -> None:
    [number] = database.execute(f"select rowid from {EVENT} where {which}").fetchone()
    other = {"id": f"'{uuid.uuid4().hex}'", "rowid": str(number), **UNSEALED}
    assert refused(database, copy(database, EVENT, which, **other))
    assert refused(database, copy(database, EVENT, which, **{**other, "rowid": "-1"}))


def test_an_event_is_not_changed_by_an_insert_that_turns_into_an_update(database: sqlite3.Connection) -> None:
    statement = copy(database, EVENT, "seal_id is null")
    assert refused(
        database, f"{statement.removesuffix(' limit 1')} on conflict (id) do update set actor_label = 'mallory'"
    )


def test_an_event_does_not_take_the_place_of_a_sealed_one(database: sqlite3.Connection) -> None:
    [seal, position] = database.execute(f"select seal_id, position from {EVENT} where seal_id is not null").fetchone()
    taken = f"update or replace {EVENT} set seal_id = :seal, position = :position where seal_id is null"
    assert refused(database, taken, seal=seal, position=position)


def test_an_event_does_not_take_anothers_row_number_with_its_place(database: sqlite3.Connection) -> None:
    database.execute("drop trigger connections_event_final_place")  # or it would be refused for its place alone
    [number] = database.execute(f"select rowid from {EVENT} where seal_id is not null").fetchone()
    [seal] = database.execute(f"select id from {SEAL}").fetchone()
    moved = f"update or replace {EVENT} set rowid = :number, seal_id = :seal, position = 99 where seal_id is null"
    assert refused(database, moved, number=number, seal=seal)


def test_a_seal_is_not_replaced(database: sqlite3.Connection) -> None:
    [number, last, digest] = database.execute(
        f"select rowid, number, digest from {SEAL} order by number desc"
    ).fetchone()
    follows = {"number": str(last + 1), "previous": f"'{digest}'"}
    assert refused(database, copy(database, SEAL, "true", **follows))
    assert refused(database, copy(database, SEAL, "true", id=f"'{uuid.uuid4().hex}'", rowid=str(number), **follows))


def test_what_is_new_is_taken(database: sqlite3.Connection) -> None:
    statement = copy(database, EVENT, "true", "insert", id=f"'{uuid.uuid4().hex}'", **UNSEALED)
    assert not refused(database, statement)
