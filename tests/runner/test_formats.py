"""Every wire type in every format, byte for byte where the format is text."""

import csv
import datetime
import io
import json
import math
from decimal import Decimal
from typing import Any

import pyarrow
import pytest
from pyarrow import ipc, parquet

from connections.adapters.errors import TooLargeError
from tests.runner.asking import Asker

BIG = 2**100

JSON_ROWS = (
    '[true,1,1267650600228229401496703205376,0.1,1e+300,"12345678901234567890123456789012345678.90","1.50",'
    '"é \\"quoted\\", 𝄞\\n","=1+1","a\\u0000b","2024-02-29","0044-03-15 BC","10:11:12.5","10:11:12+05:30",'
    '"2024-02-29T10:11:12.000001","2024-02-29T10:11:12.000001Z","P1Y2M3DT4H5M6.5S",'
    '"7d444840-9dc0-11d1-b245-5ffdce74fad2","AP8=",{"a": 1.10,\n "a": [null]},'
    '[1,null,["AQ==",1180591620717411303424]],{"k":[1,\n2]}],'
    '[false,-9223372036854775808,-1267650600228229401496703205376,"NaN","-Infinity","-0.01","NaN","","-5","\\t",'
    '"1900-01-01","-infinity","24:00:00","10:11:12-08:00","2024-02-29T10:11:12","1969-12-31T23:59:59Z","PT0S",'
    '"00000000-0000-0000-0000-000000000000","","text",[],{}],'
    "[null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null]"
)

CSV_BODY = (
    "boolean,integer,huge,float,wide,decimal,loose,string,formula,nul,date,ancient,time,timetz,timestamp,timestamptz,"
    "interval,uuid,binary,json,array,struct\r\n"
    "true,1,1267650600228229401496703205376,0.1,1e+300,12345678901234567890123456789012345678.90,1.50,"
    '"é ""quoted"", 𝄞\n",\'=1+1,a\x00b,2024-02-29,0044-03-15 BC,10:11:12.5,10:11:12+05:30,'
    "2024-02-29T10:11:12.000001,2024-02-29T10:11:12.000001Z,P1Y2M3DT4H5M6.5S,"
    '7d444840-9dc0-11d1-b245-5ffdce74fad2,AP8=,"{""a"": 1.10,\n ""a"": [null]}",'
    '"[1,null,[""AQ=="",1180591620717411303424]]","{""k"":[1,\n2]}"\r\n'
    "false,-9223372036854775808,-1267650600228229401496703205376,NaN,-Infinity,-0.01,NaN,\"\",'-5,'\t,1900-01-01,"
    "-infinity,24:00:00,10:11:12-08:00,2024-02-29T10:11:12,1969-12-31T23:59:59Z,PT0S,"
    '00000000-0000-0000-0000-000000000000,"","""text""",[],{}\r\n'
    ",,,,,,,,,,,,,,,,,,,,,\r\n"
)


def test_json_writes_every_type_exactly(either: Asker):
    answer = either.do("wire")
    assert answer.head is not None
    assert answer.head.content_type == "application/json"
    assert answer.body.decode() == JSON_ROWS


def test_integers_can_be_text_at_any_depth(either: Asker):
    first = either.do("wire", integers="string").rows[0]
    assert first[:3] == [True, "1", str(BIG)]
    assert first[20] == ["1", None, ["AQ==", str(2**70)]]


def test_rows_of_several_batches_are_joined_by_commas(either: Asker):
    assert either.do("count", n=7, batch=3).body == b",".join(b'[%d,""]' % number for number in range(7))


def test_ndjson_writes_one_object_a_line(either: Asker):
    answer = either.do("wire", format="ndjson")
    assert answer.head is not None
    assert answer.head.content_type == "application/x-ndjson"
    lines = answer.body.split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == 3
    expected = json.loads("[" + JSON_ROWS.replace("\n", " ") + "]")
    assert [list(json.loads(line).values()) for line in lines] == expected
    assert list(json.loads(lines[0]))[:3] == ["boolean", "integer", "huge"]


def test_csv_writes_the_same_texts_and_tells_null_from_empty(either: Asker):
    answer = either.do("wire", format="csv")
    assert answer.head is not None
    assert answer.head.content_type == "text/csv; charset=utf-8; header=present"
    assert answer.body.decode() == CSV_BODY


def test_csv_is_read_back_by_another_reader(either: Asker):
    rows = list(csv.reader(io.StringIO(either.do("wire", format="csv", formulas="keep").body.decode(), newline="")))
    assert rows[1][7:10] == ['é "quoted", 𝄞\n', "=1+1", "a\x00b"]
    assert rows[2][8:10] == ["-5", "\t"]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "＝1", "＋1", "－1", "＠x"])
def test_text_that_a_spreadsheet_would_run_is_escaped(either: Asker, text: str):
    def cell(**asked: str) -> str:
        body = either.do("count", text=text, format="csv", **asked).body.decode()
        return next(csv.reader(io.StringIO(body.split("\r\n", 1)[1], newline="")))[1]

    assert cell() == "'" + text
    assert cell(formulas="keep") == text


def test_arrow_types_what_is_known_and_keeps_the_rest_as_text(either: Asker):
    answer = either.do("wire", format="arrow")
    assert answer.head is not None
    assert answer.head.content_type == "application/vnd.apache.arrow.stream"
    table = ipc.open_stream(answer.body).read_all()
    table.validate(full=True)
    _hold_the_wire_values(table)


def test_parquet_holds_the_same(either: Asker):
    answer = either.do("wire", format="parquet")
    assert answer.head is not None
    assert answer.head.content_type == "application/vnd.apache.parquet"
    _hold_the_wire_values(parquet.read_table(io.BytesIO(answer.body)))


def test_parquet_of_many_batches_is_one_file(either: Asker):
    body = either.do("count", n=10_000, text="x", limit=10_000, format="parquet").body
    assert parquet.read_table(io.BytesIO(body))["n"].to_pylist() == list(range(10_000))


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "arrow", "parquet"])
def test_no_rows_are_a_valid_body(either: Asker, form: str):
    body = either.do("nothing", format=form).body
    match form:
        case "csv":
            assert body == b"n,word\r\n"
        case "arrow":
            assert ipc.open_stream(body).read_all().num_rows == 0
        case "parquet":
            assert parquet.read_table(io.BytesIO(body)).schema.names == ["n", "word"]
        case _:
            assert body == b""


def test_columns_of_one_name_stay_apart(either: Asker):
    assert either.do("repeat").rows == [[1, 2, 3, 4]]
    assert either.do("repeat", format="ndjson").body == b'{"c":1,"c_3":2,"c_2":3,"=c":4}\n'
    assert either.do("repeat", format="csv").body == b"c,c,c_2,'=c\r\n1,2,3,4\r\n"
    assert ipc.open_stream(either.do("repeat", format="arrow").body).schema.names == ["c", "c", "c_2", "=c"]
    names = parquet.read_table(io.BytesIO(either.do("repeat", format="parquet").body)).schema.names
    assert names == ["c", "c_3", "c_2", "=c"]


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "arrow", "parquet"])
def test_half_a_surrogate_pair_is_replaced_and_that_is_said(either: Asker, form: str):
    answer = either.do("odd", text="surrogate", format=form)
    if form in ("json", "ndjson", "csv"):
        assert "lone � half" in answer.body.decode()
    assert [warning["code"] for warning in answer.fields["warnings"]] == ["replaced_characters"]


def test_an_integer_over_64_bits_is_exact_even_when_unmarked(either: Asker):
    assert either.do("odd", text="unmarked").rows == [[2**90], [None]]
    assert either.do("odd", text="unmarked", format="csv").body.decode().split("\r\n")[1] == str(2**90)
    assert either.do("odd", text="unmarked").fields["warnings"] == []


def test_what_an_arrow_type_cannot_hold_fails_and_is_not_rounded(either: Asker):
    with pytest.raises(TooLargeError, match="Column odd holds a value that does not fit its type here, int64"):
        either.do("odd", text="unmarked", format="arrow")


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "arrow"])
def test_a_value_nested_too_deeply_is_refused(either: Asker, form: str):
    with pytest.raises(TooLargeError, match="nested too deeply"):
        either.do("odd", text="deep", format=form)


def test_exports_load_pyarrow_in_the_worker_and_previews_do_not(local: Asker):
    assert local.myself()["modules"] == ["psycopg"]
    local.do("count", format="arrow")
    assert "pyarrow" in local.myself()["modules"]


def _hold_the_wire_values(table: pyarrow.Table) -> None:
    utc = datetime.UTC
    expected: dict[str, list[Any]] = {
        "boolean": [True, False],
        "integer": [1, -(2**63)],
        "huge": [Decimal(BIG), Decimal(-BIG)],
        "wide": [1e300, -math.inf],
        "decimal": [Decimal("12345678901234567890123456789012345678.90"), Decimal("-0.01")],
        "loose": ["1.50", "NaN"],
        "string": ['é "quoted", 𝄞\n', ""],
        "nul": ["a\x00b", "\t"],
        "date": [datetime.date(2024, 2, 29), datetime.date(1900, 1, 1)],
        "ancient": ["0044-03-15 BC", "-infinity"],
        "time": ["10:11:12.5", "24:00:00"],
        "timestamp": [datetime.datetime(2024, 2, 29, 10, 11, 12, 1), datetime.datetime(2024, 2, 29, 10, 11, 12)],  # noqa: DTZ001
        "timestamptz": [
            datetime.datetime(2024, 2, 29, 10, 11, 12, 1, utc),
            datetime.datetime(1969, 12, 31, 23, 59, 59, 0, utc),
        ],
        "interval": ["P1Y2M3DT4H5M6.5S", "PT0S"],
        "binary": [b"\x00\xff", b""],
        "json": ['{"a": 1.10,\n "a": [null]}', '"text"'],
        "array": ['[1,null,["AQ==",1180591620717411303424]]', "[]"],
    }
    for name, values in expected.items():
        assert table[name].to_pylist() == [*values, None], name
    assert math.isnan(table["float"][1].as_py())
    assert str(table.schema.field("decimal").type) == "decimal256(40, 2)"
    assert str(table.schema.field("timestamptz").type) == "timestamp[us, tz=UTC]"
    assert table.schema.field("json").metadata[b"type"] == b"json"
