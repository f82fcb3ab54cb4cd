import json

import pytest

from connections.adapters.errors import InvalidError, ProtocolError, QueryError, TooLargeError
from connections.adapters.values import BigInt, JSONText
from tests.adapters.http.support import Preview, connect
from tests.servers.http import OrderAPI, Reply


def serve(api: OrderAPI, text: str | bytes, content_type: str = "application/json") -> None:
    body = text.encode() if isinstance(text, str) else text
    api.routes["/v1/x"] = lambda seen: Reply(200, body, {"Content-Type": content_type})


def read(api: OrderAPI, text: str | bytes, content_type: str = "application/json", **query: object) -> Preview:
    serve(api, text, content_type)
    return Preview(connect(api.url), {"path": "x", **query})


@pytest.mark.parametrize("records", [None, {"language": "jq", "expression": ".[]"}, {"expression": "$[*]"}])
def test_numbers_keep_every_digit_whichever_way_they_are_chosen(api, records):
    nested = read(api, '[{"a": [9007199254740993, -7, 0.1, 0.30000000000000004]}]', records=records)
    assert nested.rows == [["[9007199254740993,-7,0.1,0.30000000000000004]"]]
    big = read(api, '[{"n": 9007199254740993}, {"n": null}, {"n": 123456789012345678901234567890}]', records=records)
    assert big.types == {"n": "integer"}
    assert big.rows == [[9007199254740993], [None], [123456789012345678901234567890]]
    assert type(big.rows[2][0]) is BigInt


@pytest.mark.parametrize("records", [None, {"language": "jq", "expression": ".[]"}])
def test_numbers_that_a_float_would_change_make_a_decimal_column(api, records):
    preview = read(api, '[{"n": 3.14159265358979323846}, {"n": 2}, {"n": 0.5}]', records=records)
    assert preview.types == {"n": "decimal"}
    assert preview.rows == [["3.14159265358979323846"], ["2"], ["0.5"]]
    assert read(api, '[{"n": 9007199254740993}, {"n": 0.5}]').rows == [["9007199254740993"], ["0.5"]]
    assert read(api, '[{"n": 1e400}]').rows == [["1e400"]]
    assert read(api, '[{"n": 1e-400}]').types == {"n": "decimal"}


def test_floats_are_floats(api):
    preview = read(api, '[{"n": 0.1}, {"n": 2}, {"n": 0.30000000000000004}, {"n": 1.0000000000000000}, {"n": 1e3}]')
    assert preview.types == {"n": "float"}
    assert preview.rows == [[0.1], [2.0], [0.30000000000000004], [1.0], [1000.0]]
    assert read(api, "[NaN, Infinity, -Infinity, 1.5]").rows == [["NaN"], ["Infinity"], ["-Infinity"], [1.5]]


def test_a_number_of_100_000_digits_is_kept(api):
    digits = "9" * 100_000
    assert read(api, f"[{digits}]").rows == [[digits]]


def test_types_are_told_by_all_values_of_a_column(api):
    preview = read(
        api, '[{"b": true, "s": "x", "m": 1, "o": {"a": 1}, "l": [1], "n": null}, {"b": null, "m": "1", "late": 1}]'
    )
    assert preview.types == {
        "b": "boolean", "s": "string", "m": "json", "o": "json", "l": "json", "n": "json", "late": "integer",
    }  # fmt: skip
    assert preview.rows == [
        [True, "x", "1", '{"a":1}', "[1]", None, None],
        [None, None, '"1"', None, None, None, 1],
    ]
    assert type(preview.rows[0][3]) is JSONText
    assert [column.native_type for column in preview.columns] == [
        *("boolean", "string", "mixed", "object", "array", "null", "integer")
    ]


def test_nested_values_are_valid_json_with_exact_numbers(api):
    preview = read(api, '[{"o": {"a": [NaN, 12345678901234567890, 1.00000000000000000001, "\\"é"], "ü": Infinity}}]')
    (cell,) = preview.rows[0]
    assert cell == '{"a":["NaN",12345678901234567890,1.00000000000000000001,"\\"é"],"ü":"Infinity"}'
    assert json.loads(cell)


def test_flatten_makes_dotted_columns(api):
    preview = read(api, '[{"a": {"b": {"c": 1}, "d": []}, "e": {}}, {"a": {"b": {"c": 2}}}]', flatten=True)
    assert preview.types == {"a.b.c": "integer", "a.d": "json", "e": "json"}
    assert preview.rows == [[1, "[]", "{}"], [2, None, None]]


def test_records_that_are_no_objects_have_a_column_value(api):
    assert read(api, "[1, 2]").types == {"value": "integer"}
    assert read(api, '"one"').rows == [["one"]]
    assert read(api, "[[1, 2]]").rows == [["[1,2]"]]


def test_halves_of_surrogate_pairs_become_replacement_characters(api):
    preview = read(api, '[{"a\\ud800": "x\\udc00y", "o": {"k": "\\ud83d\\ude00 \\ud800"}}]')
    assert preview.types == {"a�": "string", "o": "json"}
    assert preview.rows == [["x�y", '{"k":"😀 �"}']]


def test_text_may_have_a_mark_or_be_utf_16(api):
    assert read(api, b"\xef\xbb\xbf[1]").rows == [[1]]
    assert read(api, '["é"]'.encode("utf-16")).rows == [["é"]]


@pytest.mark.parametrize("body", ["", "{", "[1,]", b"\xff\xfe\xfa", b'["\xff"]', "[" * 100_000, "<html>"])
@pytest.mark.parametrize("records", [None, {"language": "jq", "expression": ".[]"}, {"expression": "$[*]"}])
def test_what_is_not_json_is_a_protocol_error_that_does_not_repeat_it(api, body, records):
    with pytest.raises(ProtocolError) as caught:
        read(api, body, records=records)
    assert "html" not in caught.value.message


def test_a_login_page_is_said_to_be_one(api):
    with pytest.raises(ProtocolError, match="web page"):
        Preview(connect(api.url), {"path": "web"})


def test_json_lines_are_records_and_only_what_is_needed_is_read(api):
    preview = read(api, '{"a": 1}\n\n{"a": 2}\r\n{"a": 3}', "application/x-ndjson; charset=utf-8")
    assert preview.rows == [[1], [2], [3]]
    with pytest.raises(ProtocolError):
        read(api, '{"a": 1}\n{"a"', "application/x-ndjson")
    endless = b'{"a": 1}\n' * 3 + b"\xff" * 100
    serve(api, endless, "application/jsonl")
    assert Preview(connect(api.url), {"path": "x"}, limit=2).rows == [[1], [1], [1]]


def test_more_fields_than_columns_are_allowed_is_too_large(api):
    with pytest.raises(TooLargeError):
        read(api, json.dumps([{f"f{number}": 1 for number in range(1601)}]))


def test_a_jsonpath_to_a_list_means_its_elements(api):
    text = '{"items": [{"a": 1}, {"a": 2}], "one": {"a": 3}, "none": []}'
    assert read(api, text, records={"expression": "$.items"}).rows == [[1], [2]]
    assert read(api, text, records={"expression": "$.items[?@.a > 1]"}).rows == [[2]]
    assert read(api, text, records={"expression": "$.one"}).rows == [[3]]
    assert read(api, text, records={"expression": "$.nothing"}).rows == []
    assert read(api, text, records={"expression": "$.none"}).rows == []


@pytest.mark.parametrize(
    ("language", "expression"),
    [("jsonpath", "$.items["), ("jq", ".items["), ("jq", "foo("), ("jq", 'import "x" as $x {"search": "/tmp"}; $x')],
)
def test_an_expression_that_does_not_parse_points_at_itself(api, language, expression):
    with pytest.raises(InvalidError) as caught:
        read(api, "[]", records={"language": language, "expression": expression})
    assert caught.value.field == "/query/records/expression"


@pytest.mark.parametrize(
    "expression",
    [
        "$ENV",
        "env",
        ". | $ENV",
        ".) | ($ENV",
        ".) | (env",
        "input_filename // {}",
        '("x" | modulemeta) // {}',
        "[$ENV][0]",
    ],
)
def test_jq_sees_no_environment_and_no_files(api, monkeypatch, expression):
    monkeypatch.setenv("CANARY", "CANARY")
    preview = read(api, "[1]", records={"language": "jq", "expression": expression})
    assert "CANARY" not in repr(preview.rows)
    assert all(row in ([], ["{}"]) for row in preview.rows) or preview.rows == [[None]]


def test_a_jq_failure_does_not_repeat_the_answer(api):
    for expression in (".[].a.b", 'error("CANARY")', ".[] | tonumber"):
        with pytest.raises(QueryError) as caught:
            read(api, '[{"a": "CANARY"}]', records={"language": "jq", "expression": expression})
        assert "CANARY" not in caught.value.message
    with pytest.raises(QueryError, match="Cannot index string with string"):
        read(api, '[{"a": "CANARY"}]', records={"language": "jq", "expression": ".[].a.b"})
