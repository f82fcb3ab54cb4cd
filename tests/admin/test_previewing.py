"""Previews in the admin: rows as a table of texts, pages, downloads, and what is said when something is wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from connections.admin.querying import value_of
from connections.admin.results import results
from connections.admin.visible import as_json, read_json, visible
from connections.models import Event
from connections.services import connections, jobs
from connections.services.connections import Change
from tests.admin.pages import Page
from tests.catalogue import Tenant

BASE = "/admin/connections/connection"


def preview(tenant: Tenant, row: Any, **sent: Any) -> str:
    response = tenant.browser("analyst").post(f"{BASE}/{row.pk}/preview/", {"limit": 50, **sent})
    assert response.status_code == 200
    return response.content.decode()


def run_sql(tenant: Tenant, *statements: str) -> None:
    with closing(sqlite3.connect(jobs.files_root(tenant.organisation) / "shop.sqlite3")) as database, database:
        for statement in statements:
            database.execute(statement)


def test_a_query_answers_with_its_rows_as_a_table(acme):
    html = preview(acme, acme.sqlite(), query__sql="select id, item, null as missing, '' as blank from orders")
    assert "Rows 1 to 3" in html
    assert "item 2" in html
    assert 'class="null">null' in html
    assert "empty-text" in html
    assert "integer" in html


def test_a_fragment_has_the_rows_and_not_the_page(acme):
    row = acme.sqlite()
    sent = {"limit": 50, "query__sql": "select item from orders"}
    browser = acme.browser("analyst")
    html = browser.post(f"{BASE}/{row.pk}/preview/", sent, headers={"X-Fragment": "1"}).content.decode()
    assert "item 2" in html
    assert "<html" not in html


def test_next_and_previous_go_by_offset(acme):
    row = acme.sqlite(rows=25)
    query = {"query__sql": "select id from orders order by id", "limit": 10}
    first = preview(acme, row, **query)
    assert 'name="offset" value="10"' in first
    last = preview(acme, row, **query, offset="20")
    assert "Rows 21 to 25" in last
    assert 'name="offset" value="10"' in last
    assert 'value="25"' not in last
    for odd in ("-1", "x", "9" * 30, "1e3"):
        assert "Rows 1 to 10" in preview(acme, row, **query, offset=odd)


def test_tables_are_listed_when_asked_and_chosen_by_a_button(acme):
    row = acme.sqlite()
    browser = acme.browser("analyst")
    listed = browser.post(f"{BASE}/{row.pk}/preview/", {"_tables": "1", "tables_q": ""}).content.decode()
    assert "[&quot;orders&quot;]" in listed
    assert "Nothing found" in browser.post(f"{BASE}/{row.pk}/tables/", {"tables_q": "nope"}).content.decode()
    chosen = preview(acme, row, _table='["orders"]', query__sql="select 'typed'")
    assert "item 3" in chosen
    assert 'value="orders"' in chosen
    for odd in ("", "[]", "{}", '[{"a": 1}]', "x"):
        assert "typed" in preview(acme, row, _table=odd, query__sql="select 'typed'")


def test_parameters_are_bound_as_what_they_look_like(acme):
    row = acme.sqlite()
    sent = {"parameter_name": ["low", "text", "", ""], "parameter_value": ["2", '"2"', "", ""]}
    html = preview(acme, row, query__sql="select id, typeof(:low), typeof(:text) from orders where id >= :low", **sent)
    assert "Rows 1 to 2" in html
    cells = html.split("<tbody>")[-1]
    assert ">integer<" in cells
    assert ">text<" in cells
    unnamed = preview(acme, row, query__sql="select 1", parameter_name=["", "a", "a"], parameter_value=["5", "1", "2"])
    assert "Name this parameter." in unnamed
    assert "This name is given twice." in unnamed
    assert 'value="5"' in unnamed
    missing = preview(acme, row, query__sql="select :gone")
    assert "gone" in missing
    assert "outcome-failed" in missing


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-2.5", -2.5),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ('"7"', "7"),
        ("007", "007"),
        ("2024-02-29", "2024-02-29"),
        ("NaN", "NaN"),
        ("{}", "{}"),
        ("", ""),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_a_parameters_text_is_read_sensibly(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("selekt 1", "syntax error"),
        ("select * from nowhere", "nowhere"),
        ("delete from orders", "reads"),
        ("-- nothing", "no statement"),
        ("", "Give either sql or table."),
    ],
)
def test_a_query_that_is_wrong_says_so_and_keeps_what_was_typed(acme, sql, said):
    html = preview(acme, acme.sqlite(), query__sql=sql)
    assert "outcome-failed" in html
    assert said in html
    assert sql in html


def test_a_form_that_cannot_be_run_is_not_said_to_be_untested(acme):
    html = preview(acme, acme.sqlite(), query__sql="")
    assert "Not run: the form has errors" in html
    assert "Not tested" not in html


def test_a_mistake_of_the_readers_is_told_without_the_words_of_the_api(acme):
    html = preview(acme, acme.sqlite(), query__sql="select :day")
    assert "The query names the parameter :day" in html
    assert "Please correct this" in html
    assert 'data-points-at="/parameters/day"' in html
    assert "Invalid request" not in html


def test_a_query_of_files_begins_with_the_file_and_folds_what_is_rarely_wanted(acme):
    row = connections.create(acme.actor(), "local_files", Change(name="Files", config={"folder": "."}))
    page = acme.browser("analyst").get(f"{BASE}/{row.pk}/preview/").content.decode()
    file, pattern, advanced, quote = (page.index(word) for word in ("File:", "Pattern:", "Advanced", "Quote:"))
    assert file < pattern < advanced < quote
    assert "Give either a file (table) or a pattern." in preview(acme, row)


def test_a_window_says_how_long_it_waits_and_what_is_wrong_on_its_inputs(acme):
    html = preview(acme, acme.sqlite(), query__sql="select 1", timeout="9999")
    (timeout,) = [found for found in Page(html).inputs if found.get("name") == "timeout"]
    for named in str(timeout["aria-describedby"]).split():
        assert f'id="{named}"' in html
    assert "20 if empty." in html


def test_a_window_that_is_wrong_is_an_error_on_its_input(acme):
    html = preview(acme, acme.sqlite(), query__sql="select 1", limit="-5", timeout="9999")
    assert "Rows: " in html
    assert "Seconds: " in html


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet", "arrow"])
def test_the_whole_answer_is_downloaded(acme, format_):
    row = acme.sqlite(rows=300)
    sent = {"limit": 10, "query__sql": "select id, item from orders", "format": format_}
    response = acme.browser("analyst").post(f"{BASE}/{row.pk}/export/", sent)
    assert response.status_code == 200
    assert response["Content-Disposition"] == f'attachment; filename="shop.{format_}"'
    body = b"".join(response.streaming_content)
    if format_ == "csv":
        assert len(body.splitlines()) == 301
    if format_ == "ndjson":
        assert len(body.splitlines()) == 300
    assert Event.objects.filter(action="connection.export", result="ok").count() == 1


def test_a_download_that_fails_is_a_page_and_no_file(acme):
    row = acme.sqlite(rows=250)
    browser = acme.browser("analyst")
    for sent in ({"query__sql": "select * from nowhere"}, {"query__sql": ""}, {"query__sql": "select 1", "limit": "x"}):
        response = browser.post(f"{BASE}/{row.pk}/export/", {"limit": 10, **sent, "format": "csv"})
        assert "Content-Disposition" not in response
        assert "outcome-failed" in response.content.decode()
    long = f"select group_concat(item || '{'x' * 5000}') from orders"
    for form in ("csv", "ndjson"):
        response = browser.post(f"{BASE}/{row.pk}/export/", {"limit": 10, "query__sql": long, "format": form})
        assert "Content-Disposition" not in response
        assert "larger than 1 MiB" in response.content.decode()
    odd = browser.post(f"{BASE}/{row.pk}/export/", {"limit": 10, "query__sql": "select 7", "format": "exe"})
    assert "Content-Disposition" not in odd


def test_csv_cells_that_would_be_formulas_are_escaped(acme):
    row = acme.sqlite()
    sent = {"limit": 10, "query__sql": "select '=1+1' as a", "format": "csv"}
    body = b"".join(acme.browser("analyst").post(f"{BASE}/{row.pk}/export/", sent).streaming_content)
    assert b"'=1+1" in body


def test_what_the_source_sends_is_shown_as_text(acme):
    row = acme.sqlite()
    run_sql(
        acme,
        'create table "<b>nasty</b>" ("<i>column</i>" text, "javascript:alert(1)" text)',
        """insert into "<b>nasty</b>" values ('<img src=x onerror=alert(1)>', 'abc'||char(8238)||'def'||char(0))""",
        """insert into "<b>nasty</b>" values ('a' || char(10) || 'b', '</script><script>alert(1)</script>')""",
    )
    html = preview(acme, row, query__sql='select * from "<b>nasty</b>"')
    for raw in ("<img src=x", "<i>column", "<script>alert", "\u202e", "\x00"):
        assert raw not in html
    for shown in ("&lt;img src=x onerror=alert(1)&gt;", "&lt;i&gt;column", "abc⟨U+202E⟩def␀", "a␊b"):
        assert shown in html
    tables = acme.browser("analyst").post(f"{BASE}/{row.pk}/tables/", {}).content.decode()
    assert "<b>nasty" not in tables
    assert "&lt;b&gt;nasty" in tables
    wrong = preview(acme, row, query__sql='select "<script>alert(1)</script>" from "<u>missing</u>"')
    assert "<u>missing" not in wrong.split('id="results"')[1]
    assert "<script>alert" not in wrong


def test_names_and_reasons_are_shown_as_text(acme):
    from connections.services import connections
    from connections.services.connections import Change

    row = acme.sqlite()
    attack = "<script>alert(1)</script>\u202e"
    change = Change(name=attack, description=attack, tags=[attack], environment=attack)
    connections.update(acme.actor(), row, change)
    row.refresh_from_db()
    connections.pause(acme.actor(), row, attack)
    for role in ("viewer", "admin"):
        for page in ("", f"{row.pk}/change/", f"{row.pk}/history/"):
            html = acme.browser(role).get(f"{BASE}/{page}").content.decode()
            assert "<script>alert" not in html, page
    for page in ("preview", "pause", "clone", "delete"):
        assert "<script>alert" not in acme.browser("editor").get(f"{BASE}/{row.pk}/{page}/").content.decode()
    assert "<script>alert" not in acme.browser("admin").get("/admin/connections/event/").content.decode()


def test_what_is_hidden_in_the_reason_of_a_pause_is_shown(acme):
    from connections.services import connections

    row, browser = acme.sqlite(), acme.browser("analyst")
    connections.pause(acme.actor(), row, "\u2800\u202emoved")
    checked = {"action": "check_now", "_selected_action": str(row.pk)}
    pages = (
        browser.get(f"{BASE}/{row.pk}/change/"),
        browser.post(f"{BASE}/", checked, follow=True),
        browser.post(f"{BASE}/{row.pk}/preview/", {"query__sql": "select 1"}),
    )
    for page in pages:
        html = page.content.decode()
        assert "is paused: ⟨U+2800⟩⟨U+202E⟩moved" in html
        assert not {"\u2800", "\u202e"} & set(html)


def test_no_digit_is_lost_on_the_way_to_the_page():
    body = (
        b'{"columns": [{"name": "n", "type": "json", "native_type": null, "nullable": null}],'
        b'"rows": [[123456789012345678901234567890], [1.10], [{"a": [1.00, null, true, "\\ud800x"]}], [null], [""]],'
        b'"page": {"offset": 0, "limit": 5, "returned": 5, "has_more": true, "total": null},'
        b'"truncated": {"by": "bytes", "limit": 8388608, "cells": [[0, 0]]},'
        b'"warnings": [{"code": "x", "message": "w"}],'
        b'"stats": {"queue_ms": 0.2, "bytes": 412}}'
    )
    found = results(body)
    texts = [row[0].text for row in found.rows]
    assert texts[:2] == ["123456789012345678901234567890", "1.10"]
    assert texts[2] == '{"a": [1.00, null, true, "⟨U+D800⟩x"]}'
    assert found.rows[3][0].null
    assert found.rows[4][0].empty
    assert (found.first, found.last, found.previous, found.next) == (1, 5, None, 5)
    assert len(found.notes) == 3


def test_long_cells_are_clipped_with_the_rest_in_their_title():
    body = b'{"columns": [{"name": "t", "type": "string"}], "rows": [["%s"]], "page": {"returned": 1}}' % (
        b"w" * 10_000_000
    )
    cell = results(body).rows[0][0]
    assert len(cell.text) == 160
    assert len(cell.title) == 2000


def test_hidden_characters_are_visible():
    assert visible("a\tb\x7f\u202e\ufeff\u2066") == "a␉b␡⟨U+202E⟩⟨U+FEFF⟩⟨U+2066⟩"
    assert visible("naïve 漢字 👩‍👩‍👧") == "naïve 漢字 👩‍👩‍👧"
    assert as_json(read_json(b'{"a": [1e400, -0.0]}')) == '{"a": [1e400, -0.0]}'


def test_a_cancelled_job_answers_quietly(acme):
    acme.sqlite()
    assert acme.browser("analyst").post(f"{BASE}/cancel/some-request-id/").status_code == 204
