"""Texts that some engine would run: they come back as they went, from real servers, through real workers."""

import json

import pytest

from tests.hostile.attack import attack

TEXTS = [
    "{{ 7*7 }}", "{% import os %}", "{config.__class__}", "{0.__init__}", "%(x)s", "%s", "%%", "$ENV{X}",
    "${HOME}", "$(id)",
    "`id`", "${jndi:ldap://127.0.0.1/x}", "' OR 1=1 --", "'; drop table t; --", '" or ""="',
    "\\", "\\'", "\\\\'", ":name",
    "::x", "?", "$1", "{'$ne': 1}", "a/*b*/c", "-- x", "# x", "/*!50000 x */", "=cmd|' /C calc'!A0",
    "\u202e", "é漢😀", "\t\r\n",
    "x" * 100_000, "NULL", "null", "",
]  # fmt: skip


def rows(runner, source, settings, sql, parameters):
    outcome = attack(runner, source, settings, {"sql": sql}, parameters=parameters, timeout=10)
    assert outcome.code == "ok", outcome.told
    return json.loads(b"[" + outcome.body + b"]")


@pytest.fixture(params=["postgresql", "mysql"])
def server(request):
    running = request.getfixturevalue("mariadb" if request.param == "mysql" else "postgresql")
    return request.param, running.login() | {"tls": {"mode": "disable"}}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text)[:30])
def test_a_parameter_is_a_value_whatever_it_says(runner, server, text):
    source, settings = server
    cast = "cast(:value as char(100000))" if source == "mysql" else ":value::text"
    assert rows(runner, source, settings, f"select {cast}, 2 as two", {"value": text}) == [[text, 2]]


@pytest.mark.parametrize(
    "text", ["{{ 7*7 }}", "{% import os %}", "{0.__init__}", "%(x)s %s %%", "${jndi:x}", "$ENV{X}", ":name ? ::x"]
)
def test_a_literal_in_a_statement_is_left_as_it_is(runner, server, text):
    source, settings = server
    assert rows(runner, source, settings, f"select '{text}' as a", {}) == [[text]]


@pytest.mark.parametrize(
    "parameters",
    [{}, {"value": 1, "more": 2}, {"other": 1}, {"value": {"$ne": 1}, "x": 1}, {"value": {"select": 1}}],
    ids=str,
)
def test_parameters_that_do_not_fit_are_refused(runner, server, parameters):
    source, settings = server
    outcome = attack(runner, source, settings, {"sql": "select :value"}, parameters=parameters, timeout=10)
    assert outcome.code == "invalid", outcome.told
