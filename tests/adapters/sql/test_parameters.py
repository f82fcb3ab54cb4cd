"""Where a ``:name`` is a parameter, and what becomes of it."""

import re
import time

import pytest
from pydantic import ValidationError

from connections.adapters.errors import InvalidError, NotAQueryError
from connections.adapters.sql.family import counted
from connections.adapters.sql.lexis import Lexis, tokens
from connections.adapters.sql.parameters import Style, bind, parse
from connections.adapters.sql.query import SQLQuery

POSTGRESQL = Lexis(escape_strings=True, dollar_quotes=True, nested_comments=True)
MYSQL = Lexis(backslash_escapes=True, backtick_names=True, hash_comments=True, dashes_need_space=True)
SQLITE = Lexis(backtick_names=True, bracket_names=True)


def names(text: str, lexis: Lexis) -> list[str]:
    return [slot.name for slot in parse(text, lexis).slots]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("select :a", ["a"]),
        ("select ':a'", []),
        ("select 'it''s :a'", []),
        ("select 'a :b', :c", ["c"]),
        ('select ":a" from "t :b"', []),
        ("select x::int", []),
        ("select :x::int", ["x"]),
        ("select '1'::int, (1)::text, a[1]::int", []),
        ("select a[1:2]", []),
        ("select a[1:n]", []),
        ("select a[i:j]", []),
        ("select a[:lo]", ["lo"]),
        ("x := :y", ["y"]),
        ("select f(a := 1)", []),
        ("select 1 -- :a\n, :b", ["b"]),
        ("select /* :c */ :d", ["d"]),
        ("select /* /* :a */ :b */ :c", ["c"]),
        ("select $$ :d $$, :e", ["e"]),
        ("select $tag$ :d $$ :e $tag$, :f", ["f"]),
        ("select $tag$ never closed :a", []),
        (r"select E'\' :a', :b", ["b"]),
        (r"select '\', :b", ["b"]),
        ("select 'never closed :a", []),
        ("select /* never closed :a", []),
        ("select :größe", ["größe"]),
        ("select :a+:b", ["a", "b"]),
        ("select 5 % 2, a like '%x'", []),
        ("select : a", []),
        ("select :1", []),
        ("select x$y$z, :a", ["a"]),
    ],
)
def test_a_parameter_of_postgresql_stands_outside_literals_names_and_comments(text, found):
    assert names(text, POSTGRESQL) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"select 'it\'s :a', :b", ["b"]),
        (r'select "it\"s :a", :b', ["b"]),
        ("select `a :b`, :c", ["c"]),
        ("select 1 # :a\n, :b", ["b"]),
        ("select 5--:a", ["a"]),
        ("select 5 -- :a", []),
        ("select /* /* :a */ :b", ["b"]),
        ("select $$, :a, $$", ["a"]),
    ],
)
def test_a_parameter_of_mysql_stands_outside_what_mysql_reads_otherwise(text, found):
    assert names(text, MYSQL) == found


def test_square_brackets_quote_names_in_sqlite():
    assert names("select [a :b], `c :d`, :e", SQLITE) == ["e"]


@pytest.mark.parametrize("lexis", [POSTGRESQL, MYSQL, SQLITE])
def test_tokens_hold_every_character(lexis):
    text = (
        "select E'\\'', \"a\"\"b\", `x`, [y], $q$ z $q$ -- c\n # d\n /* e /* f */ g */ 1.5e3 :p ::int := ; \x00 é $ 'x"
    )
    assert "".join(token.text for token in tokens(text, lexis)) == text


def test_each_style_has_its_placeholders():
    text, values = "select :a, :b, :a", {"a": 1, "b": 2}
    made = {style: bind(text, values, lexis=POSTGRESQL, style=style) for style in Style}
    assert (made[Style.DOLLAR].text, made[Style.DOLLAR].values) == ("select $1, $2, $1", (1, 2))
    assert (made[Style.NUMBERED].text, made[Style.NUMBERED].values) == ("select ?1, ?2, ?1", (1, 2))
    assert (made[Style.QUESTION].text, made[Style.QUESTION].values) == ("select ?, ?, ?", (1, 2, 1))
    assert (made[Style.FORMAT].text, made[Style.FORMAT].values) == ("select %s, %s, %s", (1, 2, 1))


def test_a_name_used_twice_has_a_placeholder_for_each_place_too_where_they_are_numbered_by_the_server():
    text = "select :a is null, ':a', :b, x in (:l) or y in (:l), :a -- :a"
    made = bind(text, {"a": 1, "b": 2, "l": [3, 4]}, lexis=POSTGRESQL, style=Style.DOLLAR)
    assert made.apart is not None
    assert made.apart.text == "select $1 is null, ':a', $2, x in ($3, $4) or y in ($5, $6), $7"
    assert made.apart.values == (1, 2, 3, 4, 3, 4, 1)
    assert made.apart.origin(made.apart.text.index("y in")) == text.index("y in")
    counting = counted(made)
    assert counting is not None
    assert counting.apart is not None
    assert made.apart.text in counting.apart.text
    assert bind("select :a, :b", {"a": 1, "b": 1}, lexis=POSTGRESQL, style=Style.DOLLAR).apart is None
    assert bind("select :a, :a", {"a": 1}, lexis=POSTGRESQL, style=Style.NUMBERED).apart is None


def test_a_percent_sign_is_doubled_only_where_the_driver_formats():
    text = "select 5 % 2, a like '%x' and b = :b"
    assert bind(text, {"b": 1}, lexis=MYSQL, style=Style.FORMAT).text == "select 5 %% 2, a like '%%x' and b = %s"
    assert bind(text, {"b": 1}, lexis=POSTGRESQL, style=Style.DOLLAR).text == "select 5 % 2, a like '%x' and b = $1"


def test_a_list_in_brackets_after_in_gets_a_placeholder_for_each_value():
    made = bind("select * where a IN (:ids) or b in (:ids)", {"ids": [1, 2, 3]}, lexis=POSTGRESQL, style=Style.DOLLAR)
    assert made.text == "select * where a IN ($1, $2, $3) or b in ($1, $2, $3)"
    assert made.values == (1, 2, 3)


def test_a_list_elsewhere_is_one_value_where_the_driver_has_arrays():
    text = "select * where a = any(:ids)"
    made = bind(text, {"ids": [1, 2]}, lexis=POSTGRESQL, style=Style.DOLLAR, arrays=True)
    assert (made.text, made.values) == ("select * where a = any($1)", ([1, 2],))
    with pytest.raises(InvalidError) as caught:
        bind(text, {"ids": [1, 2]}, lexis=MYSQL, style=Style.FORMAT)
    assert caught.value.field == "/parameters/ids"


def test_a_list_inside_a_function_in_an_in_list_is_not_spread():
    with pytest.raises(InvalidError):
        bind("select 1 where a in (f(:ids))", {"ids": [1]}, lexis=MYSQL, style=Style.FORMAT)


@pytest.mark.parametrize(
    ("text", "parameters", "field"),
    [
        ("select :a", {}, "/parameters/a"),
        ("select 1", {"b": 1}, "/parameters/b"),
        ("select ':a'", {"a": 1}, "/parameters/a"),
        ("select :a", {"a": {"$ne": 1}}, "/parameters/a"),
        ("select :a", {"a": [[1]]}, "/parameters/a"),
        ("select 1 where 1 in (:a)", {"a": []}, "/parameters/a"),
        ("select :a", {"a": "x\0y"}, "/parameters/a"),
        ("select :a", {"a": "\ud800"}, "/parameters/a"),
        ("select :a", {"a": object()}, "/parameters/a"),
        ("select 1", {"a/b": 1}, "/parameters/a~1b"),
    ],
)
def test_a_wrong_parameter_is_named(text, parameters, field):
    with pytest.raises(InvalidError) as caught:
        bind(text, parameters, lexis=POSTGRESQL, style=Style.DOLLAR, arrays=True)
    assert caught.value.field == field


@pytest.mark.parametrize("text", ["select 1; select 2", "select 1;;select 2", "; select 1", "select 1; --\n select 2"])
def test_several_statements_are_not_a_query(text):
    with pytest.raises(NotAQueryError):
        parse(text, POSTGRESQL)


@pytest.mark.parametrize("text", ["select 1;", "select 1 ; ; -- a\n", "select ';'", "select $$;$$", "select 1 /* ; */"])
def test_semicolons_that_end_or_mean_nothing_are_fine(text):
    assert parse(text, POSTGRESQL).words[0] == "select"


def test_places_in_the_sent_text_are_found_again():
    text = "select :first, :second, nope"
    made = bind(text, {"first": 1, "second": 2}, lexis=POSTGRESQL, style=Style.DOLLAR)
    assert made.origin(made.text.index("nope")) == text.index("nope")


@pytest.mark.parametrize("text", ["", "  \n", "-- only\n", "/* a */ ;", ";;", "# x"])
def test_a_text_without_a_statement_is_refused(text):
    with pytest.raises(ValidationError):
        SQLQuery(sql=text)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"sql": "select 1", "table": ["t"]},
        {"table": []},
        {"table": ["a", "b", "c", "d", "e"]},
        {"table": [""]},
        {"table": ["a\0"]},
        {"sql": "select 1\0"},
        {"sql": "x" * 100_001},
        {"sql": "select 1", "other": 1},
    ],
)
def test_a_query_is_exactly_one_of_a_text_and_a_table(fields):
    with pytest.raises(ValidationError):
        SQLQuery(**fields)


def test_the_longest_text_is_taken():
    assert SQLQuery(sql="select " + "1" * 99_993).sql


@pytest.mark.parametrize("piece", ["'", "/*", "$a", "(", ":a", "$$", '"', "E'", "-", "[", "\\", " ", "a."])
def test_a_long_hostile_text_is_read_in_no_time(piece):
    text = piece * (99_999 // len(piece))
    started = time.perf_counter()
    for _ in tokens(text, POSTGRESQL):
        pass
    assert time.perf_counter() - started < 1


def test_the_pattern_matches_every_character():
    assert all(re.fullmatch(r"(?s).+", token.text) for token in tokens("\x00\x01\u2028", POSTGRESQL))
