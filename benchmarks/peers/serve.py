"""One peer's way to read a query, in an interpreter of its own: ``python serve.py WAY`` with a login on stdin.

The first line of stdin is the login as JSON (host, port, database, user, password, ca). Each further line is a query;
the answer is a line of JSON: the milliseconds it took, timed here, and the bytes of what was made. The ways are those
that the peers' own code takes, without the HTTP and the rights around them.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

Way = Callable[[str], int]
"""Reads a query; returns the bytes of what was made of it."""


def ibis_path(login: dict[str, Any]) -> Way:
    """As Wren's engine reads PostgreSQL: an ibis connection for the request, ``sql``, ``to_pandas``, JSON."""
    import ibis

    def read(query: str) -> int:
        connection = ibis.postgres.connect(
            host=login["host"],
            port=login["port"],
            database=login["database"],
            user=login["user"],
            password=login["password"],
            **_tls(login),
        )
        try:
            return len(connection.sql(query).to_pandas().to_json(orient="split", date_format="iso"))
        finally:
            connection.disconnect()

    return read


def toucan_path(login: dict[str, Any]) -> Way:
    """As Toucan's PostgreSQL connector reads: ``get_df``, which makes an engine and asks pandas, then JSON.

    The connector has no field for a certificate authority; it connects as libpq does by itself.
    """
    from toucan_connectors.postgres.postgresql_connector import PostgresConnector, PostgresDataSource

    connector = PostgresConnector(
        name="bench",
        host=login["host"],
        port=login["port"],
        user=login["user"],
        password=login["password"],
        default_database=login["database"],
    )

    def read(query: str) -> int:
        source = PostgresDataSource(domain="bench", name="bench", database=login["database"], query=query)
        return len(connector.get_df(source).to_json(orient="records", date_format="iso"))

    return read


def adbc_path(login: dict[str, Any]) -> Way:
    """The floor for columns: a warm ADBC connection, the result as Arrow, and nothing made of it."""
    import adbc_driver_postgresql.dbapi

    connection = adbc_driver_postgresql.dbapi.connect(_uri(login))

    def read(query: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return int(cursor.fetch_arrow_table().nbytes)

    return read


WAYS: dict[str, Callable[[dict[str, Any]], Way]] = {"ibis": ibis_path, "toucan": toucan_path, "adbc": adbc_path}


def _tls(login: dict[str, Any]) -> dict[str, str]:
    return {"sslmode": "verify-full", "sslrootcert": login["ca"]} if login["ca"] else {"sslmode": "disable"}


def _uri(login: dict[str, Any]) -> str:
    from urllib.parse import quote, urlencode

    user, password = quote(login["user"]), quote(login["password"])
    place = f"{login['host']}:{login['port']}/{login['database']}"
    return f"postgresql://{user}:{password}@{place}?{urlencode(_tls(login))}"


def main() -> None:
    logging.disable(logging.CRITICAL)
    read = WAYS[sys.argv[1]](json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        started = time.perf_counter()
        size = read(line.strip())
        print(json.dumps({"ms": (time.perf_counter() - started) * 1000, "bytes": size}), flush=True)


if __name__ == "__main__":
    main()
