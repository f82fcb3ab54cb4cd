"""The demo's data is the whole of the package's, with its absent values and its integers kept."""

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import openpyxl
import psycopg
import pytest

from catalog_project.demo import flights, kept, postgres
from catalog_project.demo.server import ServerError
from tests.servers import postgresql

ROWS = {"airlines": 16, "airports": 1_458, "planes": 3_322, "weather": 26_115, "flights": 336_776}
COUNTS = "SELECT " + ", ".join(f"(SELECT count(*) FROM {name})" for name in ROWS)
OF_UNITED = "SELECT count(*) FROM flights WHERE carrier = 'UA'"
FIRST_CANCELLED = "SELECT dep_time, sched_dep_time, carrier, flight FROM flights WHERE dep_time IS NULL LIMIT 1"
CANCELLED = (None, 1630, "EV", 4308)


@pytest.fixture(scope="module")
def server():
    server = postgresql.start()
    try:
        assert flights.load_postgresql(server)
        yield server
    finally:
        server.stop()


def log_in(server) -> psycopg.Connection:
    login = server.login("reader")
    return psycopg.connect(dbname=login.pop("database"), **login)


def test_postgresql_gets_every_row_with_absent_values_and_integers(server):
    with log_in(server) as connection:
        assert connection.execute(COUNTS).fetchone() == tuple(ROWS.values())
        assert connection.execute(OF_UNITED).fetchone() == (58_665,)
        assert connection.execute(FIRST_CANCELLED).fetchone() == CANCELLED


def test_postgresql_is_loaded_once(server):
    assert not flights.load_postgresql(server)


def test_the_reader_owns_nothing_and_cannot_write(server):
    with log_in(server) as connection:
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert owners == [(flights.LOADER,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM flights")


def test_tables_in_postgresql_have_keys_and_comments(server):
    with log_in(server) as connection:
        found = connection.execute(
            "SELECT relname, obj_description(oid, 'pg_class') IS NOT NULL, relhasindex FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
    assert sorted(found) == sorted((name, True, True) for name in ROWS)


def test_sqlite_gets_every_row(tmp_path: Path):
    path = tmp_path / "flights.sqlite"
    flights.write_sqlite(path)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute(COUNTS).fetchone() == tuple(ROWS.values())
        assert database.execute(FIRST_CANCELLED).fetchone() == CANCELLED
        assert database.execute("SELECT min(time_hour) FROM flights").fetchone() == ("2013-01-01T10:00:00Z",)


def test_duckdb_gets_every_row(tmp_path: Path):
    path = tmp_path / "flights.duckdb"
    flights.write_duckdb(path)
    with duckdb.connect(path, read_only=True) as database:
        assert database.execute(COUNTS).fetchone() == tuple(ROWS.values())
        assert database.execute(FIRST_CANCELLED).fetchone() == CANCELLED


def test_files_hold_every_row_and_are_written_once(tmp_path: Path):
    folder = tmp_path / "flights"
    flights.write_files(folder)
    for name, rows in ROWS.items():
        for form in ("csv", "parquet"):
            assert duckdb.execute(f"SELECT count(*) FROM '{folder / name}.{form}'").fetchall() == [(rows,)]
    parquet = FIRST_CANCELLED.replace("flights", f"'{folder}/flights.parquet'")
    assert duckdb.execute(parquet).fetchall() == [CANCELLED]
    assert len((folder / "airlines.jsonl").read_text().splitlines()) == ROWS["airlines"]
    assert openpyxl.load_workbook(folder / "airlines.xlsx")["airlines"].max_row == 1 + ROWS["airlines"]

    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    flights.write_files(folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["flights"]


def test_the_kept_server_has_the_same_login_and_data_at_its_second_start(tmp_path: Path, monkeypatch):
    with pytest.raises(ServerError, match="never started"):
        kept.login(tmp_path)
    monkeypatch.setattr(kept, "ROOT_HOME", tmp_path / "home")
    tmp_path.chmod(0o711)  # root's server goes through it under another user id
    for parent in tmp_path.parents:
        if parent.name.startswith(("pytest-", "popen-")):
            parent.chmod(0o711)
    logins = []
    for _ in range(2):
        server = kept.start(tmp_path)
        try:
            logins.append(kept.login(tmp_path))
            with postgres.connect(server) as connection:
                assert connection.execute(COUNTS).fetchone() == tuple(ROWS.values())
        finally:
            server.stop()
    assert logins[0] == logins[1]
    assert (tmp_path / "demo" / "postgresql.json").stat().st_mode & 0o077 == 0
