"""Exact values from end to end: every type of PostgreSQL and MariaDB in every format, and as a DataFrame."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from catalog_project.demo import postgres
from connections import services
from connections.models import Connection
from connections.services.actor import Actor
from tests.catalogue import Tenant
from tests.sources import test_mysql_values as of_mariadb
from tests.sources import test_postgresql_values as of_postgresql
from tests.sources.test_mysql_values import kinds  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True)
class Kinds:
    """A query of two rows: first a value of every type, then nulls; with the types and wire values it has."""

    tenant: Tenant
    connection: Connection
    sql: str
    types: list[str]
    values: list[Any]

    @property
    def actor(self) -> Actor:
        return self.tenant.actor("analyst")

    def ask(self, form: str) -> bytes:
        answer = self.tenant.api("analyst").post(
            f"connections/warehouse/preview/?formulas=keep&format={form}", {"query": {"sql": self.sql}}
        )
        assert answer.status_code == 200, answer.content
        return answer.getvalue()


@pytest.fixture(params=["postgresql", "mariadb"])
def every(request: pytest.FixtureRequest, acme: Tenant) -> Kinds:
    make = _of_postgresql if request.param == "postgresql" else _of_mariadb
    return make(request, acme)


def _of_postgresql(request: pytest.FixtureRequest, tenant: Tenant) -> Kinds:
    server = request.getfixturevalue("postgresql")
    with postgres.connect(server) as connection:
        connection.execute(of_postgresql.OBJECTS)
    table = [row for row in of_postgresql.TABLE if row[2] != "void"]
    columns = ", ".join(f"{row[0]} as c{at}" for at, row in enumerate(table))
    sql = f"select v.* from generate_series(1, 2) n left join (select {columns}) v on n = 1 order by n"
    connection = tenant.database("postgresql", server)
    return Kinds(tenant, connection, sql, [row[1] for row in table], [row[3] for row in table])


def _of_mariadb(request: pytest.FixtureRequest, tenant: Tenant) -> Kinds:
    server = request.getfixturevalue("mariadb")
    table = request.getfixturevalue("kinds")
    columns = ", ".join(f"c{at}" for at in range(len(of_mariadb.TYPES)))
    connection = tenant.database("mysql", server)
    types = [row[2] for row in of_mariadb.TYPES]
    values = [row[4] for row in of_mariadb.TYPES]
    return Kinds(tenant, connection, f"select {columns} from {table} order by n", types, values)


def in_json(value: Any, kind: str = "") -> Any:
    """A wire value as JSON has it, numbers by their digits."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if kind == "json" or type(value).__name__ == "JSONText":
        return exact(value)
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list):
        return [in_json(item) for item in value]
    if isinstance(value, dict):
        return {name: in_json(item) for name, item in value.items()}
    return value


def exact(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Decimal)


def same(found: list[Any], every: Kinds) -> None:
    expected = [in_json(value, kind) for value, kind in zip(every.values, every.types, strict=True)]
    wrong = [
        (at, kind, got, wanted)
        for at, (kind, got, wanted) in enumerate(zip(every.types, found, expected, strict=True))
        if got != wanted or type(got) is not type(wanted)
    ]
    assert not wrong


def test_json_has_every_value_as_it_is(every: Kinds) -> None:
    found = exact(every.ask("json"))
    assert [column["type"] for column in found["columns"]] == every.types
    same(found["rows"][0], every)
    assert found["rows"][1] == [None] * len(every.types)


def test_ndjson_has_every_value_as_it_is(every: Kinds) -> None:
    first, second = (exact(line) for line in every.ask("ndjson").splitlines())
    same(list(first.values()), every)
    assert set(second.values()) == {None}


def test_csv_writes_the_same_texts(every: Kinds) -> None:
    names, first, second = csv.reader(io.StringIO(every.ask("csv").decode(), newline=""))
    assert len(names) == len(every.types)
    same([_read(text, kind) for text, kind in zip(first, every.types, strict=True)], every)
    assert set(second) == {""}


def _read(text: str, kind: str) -> Any:
    """A CSV cell as the JSON value that it spells."""
    if kind in ("array", "struct", "json", "integer", "boolean"):
        return exact(text)
    if kind == "float":
        return text if text in ("NaN", "Infinity", "-Infinity") else Decimal(text)
    return text


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_binary_formats_keep_what_they_can(every: Kinds, form: str) -> None:
    body = io.BytesIO(every.ask(form))
    table = pa.ipc.open_stream(body).read_all() if form == "arrow" else pa.parquet.read_table(body)
    for kind, column in zip(every.types, table.columns, strict=True):
        assert fits(kind, column.type), (kind, column.type)
        assert column[1].as_py() is None
    same([_plain(column[0].as_py(), kind) for kind, column in zip(every.types, table.columns, strict=True)], every)


def test_a_data_frame_has_every_value(every: Kinds) -> None:
    frame = services.read(every.connection, {"sql": every.sql}, actor=every.actor)
    table = pa.Table.from_pandas(frame)
    same([_plain(column[0].as_py(), kind) for kind, column in zip(every.types, table.columns, strict=True)], every)
    assert all(column[1].as_py() is None for column in table.columns)


def fits(kind: str, found: pa.DataType) -> bool:
    """Whether a column of ``kind`` may have this Arrow type, by the REST contract."""
    if kind in ("boolean", "float", "binary"):
        return found in (pa.bool_(), pa.float64(), pa.binary())
    if kind in ("integer", "decimal"):
        return pa.types.is_integer(found) or pa.types.is_decimal(found) or (kind == "decimal" and found == pa.string())
    if kind in ("date", "timestamp", "timestamptz"):
        return pa.types.is_temporal(found) or found == pa.string()
    return found == pa.string()


def _plain(value: Any, kind: str) -> Any:
    """A Python value as the JSON value that it stands for."""
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Decimal):
        return int(value) if kind == "integer" else str(value)
    if isinstance(value, datetime):
        text = value.isoformat().replace("+00:00", "Z")
        return _without_trailing_zeros(text)
    if isinstance(value, date | time):
        return _without_trailing_zeros(value.isoformat())
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return exact(value) if kind in ("array", "struct", "json") else value


def _float(value: float) -> Any:
    if math.isfinite(value):
        return Decimal(repr(value))
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _without_trailing_zeros(text: str) -> str:
    head, dot, fraction = text.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return head + (dot + fraction if fraction else "") + ("Z" if text.endswith("Z") else "")


def test_integers_come_as_texts_for_readers_that_cannot(acme: Tenant) -> None:
    acme.sqlite()
    body = {"query": {"sql": "select 9223372036854775807 as x, null as y"}}
    answer = acme.api("analyst").post("connections/shop/preview/?integers=string", body)
    assert answer.json()["rows"] == [["9223372036854775807", None]]


def test_a_repeated_column_stays_two_columns_and_is_renamed_where_names_are_keys(acme: Tenant) -> None:
    connection = acme.sqlite()
    query = {"sql": "select 1 as c, 2 as c"}
    api = acme.api("analyst")
    found = api.post("connections/shop/preview/", {"query": query}).json()
    assert [column["name"] for column in found["columns"]] == ["c", "c"]
    parquet = api.post("connections/shop/preview/?format=parquet", {"query": query}).getvalue()
    assert pa.parquet.read_table(io.BytesIO(parquet)).column_names == ["c", "c_2"]
    assert list(services.read(connection, query, actor=acme.actor("analyst")).columns) == ["c", "c_2"]


def test_integers_beside_nulls_stay_integers_in_a_data_frame(acme: Tenant) -> None:
    connection = acme.sqlite()
    query = {"sql": "select column1 as x from (values (9007199254740993), (null), (1))"}
    frame = services.read(connection, query, actor=acme.actor("analyst"))
    assert frame["x"].dtype.pyarrow_dtype == pa.int64()
    assert frame["x"].array._pa_array.to_pylist() == [9007199254740993, None, 1]


def test_cells_that_a_spreadsheet_would_run_are_escaped_unless_they_are_to_be_kept(acme: Tenant) -> None:
    acme.sqlite()
    texts = ["=1+1", "+1", "-1", "@x", "\t=1", "plain"]
    values = ", ".join(f"({text!r})" for text in texts)
    body = {"query": {"sql": f"select column1 as x, -1 as n from (values {values})".replace("\\t", "\t")}}
    cells = {}
    for formulas in ("escape", "keep"):
        answer = acme.api("analyst").post(f"connections/shop/preview/?format=csv&formulas={formulas}", body)
        cells[formulas] = list(csv.reader(io.StringIO(answer.getvalue().decode(), newline="")))[1:]
    assert [row[0] for row in cells["keep"]] == texts
    assert [row[0] for row in cells["escape"]] == ["'" + text for text in texts[:-1]] + ["plain"]
    assert {row[1] for row in cells["escape"]} == {"-1"}
