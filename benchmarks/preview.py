"""A 100-row preview over HTTP, everything on, beside the least and the usual ways to get the same rows.

Everything on: key, organisation, role, events, a worker process of its own, read-only guards, budgets. One client. All
ways connect with TLS and check the server's certificate; two of them keep their connection, as we do ours.
"""

from __future__ import annotations

import os
import statistics

import psycopg

from benchmarks import peers
from benchmarks.stage import catalogue, dsn, flights, postgresql, served
from benchmarks.timing import Thing, alternate, table
from catalog_project.demo.server import Server

PATH = "/api/v1/orgs/acme/connections/db/preview/"
BASE = "raw driver + trivial Django view"
OURS = "the catalogue"
PANDAS = "new connection + SQLAlchemy + pandas"
BOUNDS = {"SQLite": 1.8, "PostgreSQL": 2.2}
ROUNDS = 300


def main() -> None:
    # Two servers, as the catalogue lets nobody connect to its own database.
    with flights() as (source, ca), postgresql(durable=True) as own:
        for name, url in (("SQLite", None), ("PostgreSQL", _owner(own))):
            measure(source, ca, name, url)


def measure(source: Server, ca: str, name: str, database_url: str | None) -> None:
    environment = os.environ | {"BENCHMARK_DSN": dsn(source, ca)}
    with (
        peers.started(source, ca, ("ibis", "toucan")) as others,  # first: servers close connections that are idle
        catalogue(source, database_url, ca=ca) as (web, keys),
        served("benchmarks.trivial:application", "/rows", environment) as trivial,
    ):
        for rows, where in (("flights", "?flights"), ("small", "")):
            query = {"query": {"sql": f"select * from {rows}"}, "limit": 100}
            text = f"select * from {rows} limit 100"
            things: dict[str, Thing] = {
                BASE: lambda where=where: trivial.get(f"/rows{where}"),  # type: ignore[misc]
                OURS: lambda query=query: web.post(PATH, query, keys["acme"]),  # type: ignore[misc]
                PANDAS: lambda text=text: pandas(environment["BENCHMARK_DSN"], text),  # type: ignore[misc]
                **{peer.name: (lambda peer=peer, text=text: peer.read(text)) for peer in others},  # type: ignore[misc]
            }
            times = alternate(things, ROUNDS)
            print(f"Catalogue on {name}, 100 rows of {rows}\n\n{table(times, BASE)}\n")
            ours, base, new = (statistics.median(times[each]) for each in (OURS, BASE, PANDAS))
            print(f"Ours to the raw driver: {ours / base:.2f} (bound {BOUNDS[name]}); ", end="")
            print(f"new connection + pandas to ours: {new / ours:.1f} (bound 15)\n")


def pandas(conninfo: str, text: str) -> int:
    import pandas
    import sqlalchemy

    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo))
    try:
        return len(pandas.read_sql(text, engine).to_json(orient="records", date_format="iso") or "")
    finally:
        engine.dispose()


def _owner(source: Server) -> str:
    login = source.login("superuser")
    return f"postgresql://{login['user']}:{login['password']}@{login['host']}:{login['port']}/bench"


if __name__ == "__main__":
    main()
