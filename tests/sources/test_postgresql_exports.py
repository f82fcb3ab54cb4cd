"""Exports of PostgreSQL in text formats: every type, whatever the batches are, is what the values alone would give."""

from collections.abc import Iterator
from typing import Any

import pytest

from connections.adapters.errors import QueryError, TooLargeError
from connections.adapters.limits import Budget, Deadline
from connections.adapters.sql.query import SQLQuery
from connections.runner import cutting
from connections.runner.encoding.encoder import distinct_names, to_json
from connections.runner.frames import Chunk, End, Frame
from connections.runner.reading import read as frames_of
from connections.sources.postgresql import PostgreSQLAdapter, guard
from tests.sources.postgresql import adapter_of
from tests.sources.reading import read

ROWS = 1000
AWKWARD = """(array['', 'null', '},{"n":', '],[', '[', '{', '"', '\\', ',', E'\\r\\n', E'\\t', '=1', '-1',
  '＠x', E'\\x1b', E'\\u2028', 'é 𝄞', '(a,b)', '%s', null, 'plain', E'\\x7f', ':None', ''''])"""
QUERY = f"""
select n, n as n, n % 7 = 0 as "bool%s", (n - 500)::int2 as small, (n - 500) * 18446744073709551::int8 as "big""quoted",
  n::oid as o, n / 7.0::float4 as single, case n % 9 when 0 then float8 'NaN' when 1 then '-Infinity' when 2 then -0.0
  when 3 then 1e300 when 4 then null else n / 7.0::float8 end as double, repeat('9', n)::numeric as "wide
numeric", case when n % 5 = 0 then null else (n / 7.0)::numeric(12, 3) end as price,
  {AWKWARD}[n % 24 + 1] as awkward, 'row ' || n as plain, 'x'::char(3) as padded, md5(n::text)::uuid as id,
  case n % 11 when 0 then 'infinity' when 1 then date '0044-03-15 BC' else date '2024-01-01' + n end as day,
  case n % 300 when 0 then 'infinity' when 1 then timestamptz '0044-03-15 10:00:00+00 BC' when 2 then null
    else timestamptz '2024-01-01' + n * interval '1 minute 0.001 second' end as at,
  timestamp '9999-12-31' + n * interval '1 day' as late, time '10:11:12' as t, timetz '10:11:12+05:30' as tz,
  n * interval '-1 day 2 hours' as span, decode(md5(n::text), 'hex') as bytes, n::bit(5) as bits,
  json_build_object('n', n, 'text', {AWKWARD}[n % 24 + 1]) as doc, jsonb_build_array(n, null, 'a') as docs,
  array[n, null] as numbers, array[{AWKWARD}[n % 24 + 1]] as words, row(n, 'a,b', null) as record,
  array[row(1, 'x')] as records, null as nothing, 'a'::"char" as c
from generate_series(1, {ROWS}) n order by n desc; -- the text may end so
"""


@pytest.fixture(scope="module")
def adapter(postgresql) -> Iterator[PostgreSQLAdapter]:
    made = adapter_of(postgresql)
    yield made
    made.close()


def _frames(adapter: PostgreSQLAdapter, sql: str, budget: Budget | None = None, **asked: Any) -> Iterator[Frame]:
    arguments = {"limit": 1_000_000, **asked}
    return frames_of(adapter, SQLQuery(sql=sql), arguments, budget or Budget(rows=1_000_000), Deadline.after(20))


def _body(frames: Iterator[Frame]) -> bytes:
    return b"".join(frame.data for frame in frames if isinstance(frame, Chunk))


@pytest.mark.parametrize(("burst", "fetched", "encoded"), [(256, 5000, 128), (1, 1, 1), (7, 100, 33), (256, 3, 4096)])
def test_ndjson_is_each_row_alone_whatever_the_batches_are(adapter, monkeypatch, burst, fetched, encoded):
    found = read(adapter, QUERY, limit=ROWS)
    names = distinct_names(found.names)
    expected = [to_json(dict(zip(names, row, strict=True))) for row in found.rows]
    monkeypatch.setattr(guard, "ONE_BURST", burst)
    monkeypatch.setattr(guard, "MOST_ROWS", fetched)
    monkeypatch.setattr(cutting, "_FIRST_ROWS", encoded)
    assert _body(_frames(adapter, QUERY, format="ndjson")).split(b"\n") == [*expected, b""]


@pytest.mark.parametrize("formulas", ["escape", "keep"])
def test_csv_is_each_row_alone_whatever_the_batches_are(adapter, monkeypatch, formulas):
    whole = _body(_frames(adapter, QUERY, format="csv", formulas=formulas))
    monkeypatch.setattr(guard, "MOST_ROWS", 7)
    monkeypatch.setattr(cutting, "_FIRST_ROWS", 1)
    monkeypatch.setattr(cutting, "_MOST_ROWS", 1)
    assert _body(_frames(adapter, QUERY, format="csv", formulas=formulas)) == whole
    assert whole.count(b"\r\n") > ROWS


def test_integers_as_text_are_so_in_every_line(adapter):
    body = _body(
        _frames(adapter, "select n, array[n] as a from generate_series(1, 600) n", format="ndjson", integers="string")
    )
    assert body.splitlines()[-1] == b'{"n":"600","a":["600"]}'


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_rows_without_columns_and_columns_without_rows(adapter, form):
    line = {"ndjson": b"{}\n", "csv": b"\r\n"}[form]
    head = {"ndjson": b"", "csv": b"\r\n"}[form]
    assert _body(_frames(adapter, "select from generate_series(1, 300)", format=form)) == head + line * 300
    head = {"ndjson": b"", "csv": b"a\r\n"}[form]
    assert _body(_frames(adapter, "select 1 as a where false", format=form)) == head


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_a_cell_that_is_too_long_is_refused_by_its_column_and_row_far_into_an_export(adapter, form):
    sql = "select n, case when n = 777 then repeat('é', 600) else 'x' end as word from generate_series(1, 1000) n"
    frames = _frames(adapter, sql, Budget(rows=10_000, cell_bytes=1000), format=form)
    with pytest.raises(TooLargeError, match="column word in row 777 "):
        _body(frames)
    assert _body(_frames(adapter, sql, Budget(rows=10_000, cell_bytes=1200), format=form)).count("é".encode()) == 600


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_an_export_over_its_bytes_is_refused_and_one_of_just_so_many_is_not(adapter, form):
    sql = "select n, 'word ' || n as word from generate_series(1, 5000) n"
    whole = list(_frames(adapter, sql, format=form))
    (end,) = [frame for frame in whole if isinstance(frame, End)]
    size = len(_body(iter(whole))) - {"ndjson": 0, "csv": len(b"n,word\r\n")}[form]
    assert end.fields["page"]["returned"] == 5000
    assert end.fields["stats"]["bytes"] == len(_body(iter(whole)))
    assert _body(_frames(adapter, sql, Budget(rows=10_000, bytes=size), format=form)) == _body(iter(whole))
    with pytest.raises(TooLargeError, match="larger than"):
        _body(_frames(adapter, sql, Budget(rows=10_000, bytes=size - 1), format=form))


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_what_fails_midway_ends_an_export_with_its_error_and_keeps_what_came_before(adapter, form):
    came: list[Frame] = []
    with pytest.raises(QueryError, match="division by zero"):
        came.extend(_frames(adapter, "select n, 1 / (n - 900) as q from generate_series(1, 1000) n", format=form))
    assert b"\n" in _body(iter(came))
    assert not any(isinstance(frame, End) for frame in came)
