"""A 100-row preview over HTTP, everything on, beside the least and the usual ways to get the same rows.

Everything on: key, organisation, role, events, a worker process of its own, read-only guards, budgets. One client.
"""

from __future__ import annotations

import os

import psycopg

from benchmarks.stage import catalogue, dsn, postgresql, served
from benchmarks.timing import Thing, alternate, table

PATH = "/api/v1/orgs/acme/connections/db/preview/"
QUERY = {"query": {"sql": "select * from small"}, "limit": 100}
BASE = "raw driver + trivial Django view"


def main() -> None:
    # Two servers, as the catalogue lets nobody connect to its own database.
    with postgresql(small=100) as source, postgresql() as own:
        measure(source, "SQLite", None)
        measure(source, "PostgreSQL", _owner(own))


def measure(source: object, name: str, database_url: str | None) -> None:
    environment = os.environ | {"BENCHMARK_DSN": dsn(source)}  # type: ignore[arg-type]
    with (
        catalogue(source, database_url) as (web, keys),  # type: ignore[arg-type]
        served("benchmarks.trivial:application", "/rows", environment) as trivial,
    ):
        things: dict[str, Thing] = {
            BASE: lambda: trivial.get("/rows"),
            "the catalogue": lambda: web.post(PATH, QUERY, keys["acme"]),
            "new connection + SQLAlchemy + pandas": lambda: _pandas(environment["BENCHMARK_DSN"]),
        }
        print(f"Catalogue on {name}\n\n{table(alternate(things, 400), BASE)}\n")


def _pandas(conninfo: str) -> str | None:
    import pandas
    import sqlalchemy

    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo))
    try:
        found: str | None = pandas.read_sql("select * from small limit 100", engine).to_json(orient="records")
        return found
    finally:
        engine.dispose()


def _owner(source: object) -> str:
    login = source.login("superuser")  # type: ignore[attr-defined]
    return f"postgresql://{login['user']}:{login['password']}@{login['host']}:{login['port']}/bench"


if __name__ == "__main__":
    main()
