import json

import pytest
from pydantic import ValidationError

from connections.adapters.errors import InvalidError
from connections.adapters.http.binding import bind
from connections.adapters.http.query import HTTPQuery
from connections.adapters.schema import problems
from tests.adapters.http.support import Preview, connect


def test_values_arrive_as_they_are_in_url_and_body(api):
    nasty = "' OR 1=1 --&x=1#?%41 {{7*7}} ${jndi:x} é\n\\"
    adapter = connect(api.url, allow_post=True)
    query = {
        "path": "echo",
        "method": "POST",
        "params": {"q": {"$parameter": "text"}, "flag": True, "none": None, "n": 3},
        "body": {"deep": [{"at": {"$parameter": "text"}}], "ids": {"$parameter": "ids"}, "plain": "$parameter"},
        "records": {"language": "jq", "expression": "."},
    }
    Preview(adapter, query, {"text": nasty, "ids": [1, None, "a"]})
    (seen,) = api.seen
    assert seen.params == {"q": nasty, "flag": "true", "n": "3"}
    assert seen.json == {"deep": [{"at": nasty}], "ids": [1, None, "a"], "plain": "$parameter"}
    assert seen.headers["content-type"] == "application/json"


def test_a_list_in_the_url_repeats_its_name():
    query = HTTPQuery.model_validate({"params": {"id": {"$parameter": "ids"}, "tag": ["a", "b"]}})
    assert bind(query, {"ids": [1, 2.5, False]}, "https://h").target == "https://h?id=1&id=2.5&id=false&tag=a&tag=b"


@pytest.mark.parametrize(
    ("parameters", "pointer"),
    [
        ({}, "/parameters/a~1b"),
        ({"a/b": 1, "other": 2}, "/parameters/other"),
        ({"a/b": {"$ne": 1}}, "/parameters/a~1b"),
        ({"a/b": [{"select": 1}]}, "/parameters/a~1b"),
        ({"a/b": float("nan")}, "/parameters/a~1b"),
        ({"a/b": "\ud800"}, "/parameters/a~1b"),
    ],
)
def test_parameters_that_do_not_fit_are_named(parameters, pointer):
    query = HTTPQuery.model_validate({"params": {"x": {"$parameter": "a/b"}}})
    with pytest.raises(InvalidError) as caught:
        bind(query, parameters, "https://h")
    assert caught.value.field == pointer


@pytest.mark.parametrize(
    "query",
    [
        {"method": "DELETE"},
        {"method": "get"},
        {"body": {"a": 1}},
        {"method": "POST", "body": {"a": {"$parameter": "x", "also": 1}}},
        {"method": "POST", "body": {"a": {"$parameter": 3}}},
        {"params": {"a": {"b": 1}}},
        {"headers": {"X": "1"}},
        {"paging": {"kind": "offset", "place": "body"}},
        {"paging": {"kind": "cursor"}},
        {"records": {"language": "python", "expression": "1"}},
        {"path": "a", "pth": "b"},
    ],
)
def test_a_query_that_makes_no_sense_is_refused(query):
    with pytest.raises(ValidationError):
        HTTPQuery.model_validate(query)


def test_the_query_schema_is_json():
    assert json.dumps(HTTPQuery.model_json_schema())


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ({"params": {"a": {"b": 1}}}, ["/query/params/a"]),
        ({"params": {"a": [{"b": 1}]}}, ["/query/params/a"]),
        ({"path": ["a", {"b": 1}]}, ["/query/path"]),
        ({"path": 3}, ["/query/path"]),
        ({"path": "../x", "flatten": "perhaps"}, ["/query/path", "/query/flatten"]),
        ({"paging": {"kind": "offset", "page_size": 0}}, ["/query/paging/page_size"]),
        ({"records": {"expression": ""}}, ["/query/records/expression"]),
        ({"nothing": 1}, ["/query/nothing"]),
    ],
)
def test_a_mistake_is_told_once_and_at_its_place(query, pointers):
    with pytest.raises(ValidationError) as caught:
        HTTPQuery.model_validate(query)
    found = problems(caught.value, HTTPQuery, config="/query", secrets="/query")
    assert [problem.pointer for problem in found] == pointers
