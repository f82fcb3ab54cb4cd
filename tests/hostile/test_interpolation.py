"""Texts that some engine would run: they come back as they went, from real servers, through real workers."""

import json
import re
import time
import urllib.parse

import pymysql
import pytest

from catalog_project.demo import postgres
from tests.catalogue import Tenant
from tests.hostile.attack import attack
from tests.hostile.liar import Liar, Wire
from tests.hostile.test_http import ask, at, whole

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


TEMPLATES = [
    "{{ 7*7 }}", "{% import os %}", "{config.__class__}", "%(x)s", "%(x)s %s %%", "$ENV{X}",
    "${jndi:ldap://127.0.0.1/x}", "{0.__init__}", ":name ? ::x",
]  # fmt: skip


@pytest.mark.parametrize("text", TEMPLATES)
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


@pytest.mark.parametrize("text", TEMPLATES)
def test_a_template_in_a_request_arrives_as_it_is(runner, text):
    """In the path, in the URL's parameters, in a header's value and in a body."""

    def answer(wire: Wire):
        ask(wire)
        wire.send(whole(b"[1]"))
        wire.silence()

    with Liar(answer) as liar:
        settings = at(liar.port, headers={"X-Note": text}, allow_post=True)
        query = {"path": [text], "params": {"q": text}, "method": "POST", "body": {"q": text}}
        outcome = attack(runner, "http_api", settings, query)
        if set(text) & set("%/?;"):  # no part of a path, in any spelling
            assert (outcome.code, liar.accepted) == ("invalid", 0), outcome.told
            outcome = attack(runner, "http_api", settings, query | {"path": "x"})
        assert outcome.code == "ok", outcome.told
        line, _, rest = bytes(liar.heard).decode().partition("\r\n")
    place = urllib.parse.urlsplit(line.split(" ")[1])
    assert urllib.parse.unquote(place.path) in {f"/v1/{text}", "/v1/x"}
    assert urllib.parse.parse_qs(place.query) == {"q": [text]}
    assert f"x-note: {text}\r\n" in rest.replace("X-Note", "x-note")
    assert json.loads(rest.partition("\r\n\r\n")[2]) == {"q": text}


@pytest.mark.parametrize("text", TEMPLATES)
def test_a_template_in_a_name_is_shown_as_it_is(acme: Tenant, text):
    row = acme.sqlite("Shop")
    assert acme.api().patch(f"connections/{row.slug}/", {"name": text, "version": 1}).status_code == 200
    assert acme.api().get(f"connections/{row.slug}/").json()["name"] == text
    page = acme.browser().get(f"/admin/connections/connection/{row.pk}/change/").content.decode()
    escaped = text.replace("&", "&amp;").replace("'", "&#x27;")
    assert escaped in page


def test_postgresqls_log_has_the_values_apart_from_the_text(runner, postgresql):
    mark = "value-of-a-parameter-' OR 1=1 --"
    text = "select :value::text as a"
    with postgres.connect(postgresql) as connection:
        connection.execute("alter system set log_statement = 'all'")
        connection.execute("select pg_reload_conf()")
    try:
        time.sleep(0.3)  # until sessions heard of it
        settings = postgresql.login() | {"tls": {"mode": "disable"}}
        assert rows(runner, "postgresql", settings, text, {"value": mark}) == [[mark]]
    finally:
        with postgres.connect(postgresql) as connection:
            connection.execute("alter system reset log_statement")
            connection.execute("select pg_reload_conf()")
    log = (postgresql.folder / "log").read_text(errors="replace")
    statements = [line for line in log.splitlines() if "execute <unnamed>: declare _preview" in line]
    assert any("select $1::text as a" in line for line in statements)
    assert not any("value-of-a-parameter" in line for line in statements)
    # The same value doubled its quote where the server prints it as a parameter, and nowhere else.
    assert re.search(r"[Pp]arameters: \$1 = 'value-of-a-parameter-'' OR 1=1 --'", log)


def test_mariadbs_log_has_the_values_apart_from_the_text(runner, mariadb):
    mark = "value-of-a-parameter-' OR 1=1 --"
    owner = mariadb.login("superuser")
    with pymysql.connect(
        host=owner["host"], port=owner["port"], user=owner["user"], password=owner["password"], autocommit=True
    ) as connection, connection.cursor() as cursor:  # fmt: skip
        cursor.execute("set global log_output = 'TABLE'")
        cursor.execute("set global general_log = on")
        try:
            settings = mariadb.login() | {"tls": {"mode": "disable"}}
            sql = "select cast(:value as char(100)) as a"
            assert rows(runner, "mysql", settings, sql, {"value": mark}) == [[mark]]
        finally:
            cursor.execute("set global general_log = off")
        cursor.execute("select command_type, argument from mysql.general_log where argument like '%%as char(100))%%'")
        told = {(kind, bytes(text).decode() if isinstance(text, bytes) else text) for kind, text in cursor.fetchall()}
    assert ("Prepare", "select cast(? as char(100)) as a") in told
    executed = [text for kind, text in told if kind == "Execute"]
    assert executed, told
    assert all(r"'value-of-a-parameter-\' OR 1=1 --'" in text for text in executed), (
        told
    )  # one literal, as it was bound


TOO_MUCH = {
    "a megabyte": "select '" + "x" * 1_000_000 + "'",
    "100 000 parentheses": "select " + "(" * 100_000 + "1" + ")" * 100_000,
    "100 000 terms": "select 1 where 1 in (" + ",".join(["1"] * 100_000) + ")",
}
NEARLY = {
    "49 000 parentheses": "select " + "(" * 49_000 + "1" + ")" * 49_000,
    "49 000 terms": "select 1 as a from (select 1 as b) t where b in (" + ",".join(["1"] * 49_000) + ")",
}


@pytest.fixture(params=["postgresql", "mysql", "sqlite", "duckdb"])
def database(request, tmp_path):
    """A source, its settings and its folder."""
    if request.param in ("postgresql", "mysql"):
        running = request.getfixturevalue("mariadb" if request.param == "mysql" else "postgresql")
        return request.param, running.login() | {"tls": {"mode": "disable"}}, None
    module = __import__("sqlite3" if request.param == "sqlite" else "duckdb")
    database = module.connect(str(tmp_path / "small.db"))
    database.execute("create table t (a integer)")
    database.close()
    return request.param, {"path": "small.db"}, str(tmp_path)


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_text_that_is_too_much_is_refused_before_anybody_reads_it(runner, database, name):
    source, settings, root = database
    outcome = attack(runner, source, settings, {"sql": TOO_MUCH[name]}, root=root)
    assert outcome.code == "invalid", outcome.told[:300]
    assert outcome.seconds < 2


@pytest.mark.parametrize("name", NEARLY)
def test_a_text_just_below_that_costs_one_preview_at_most(runner, database, name):
    source, settings, root = database
    outcome = attack(runner, source, settings, {"sql": NEARLY[name]}, root=root, timeout=5)
    assert outcome.code in {"ok", "query", "too_large", "deadline"}, outcome.told[:300]
