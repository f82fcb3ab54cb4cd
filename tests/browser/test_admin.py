"""The admin in a real browser: choose a source, fill its form, test, save, preview, see rows.

``SCREENSHOTS=docs/img pytest tests/browser`` writes the README's pictures.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from connections.models import Connection, Membership
from connections.services import connections
from connections.services.connections import Change
from tests.catalogue import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

CHROMIUM = shutil.which("chromium")
SCREENSHOTS = os.environ.get("SCREENSHOTS")
WAIT_MS = 20_000
AIRPORTS = [
    ("EWR", "Newark Liberty Intl", 40.6925, -74.168667, 18, "America/New_York"),
    ("JFK", "John F Kennedy Intl", 40.639751, -73.778925, 13, "America/New_York"),
    ("LGA", "La Guardia", 40.777245, -73.872608, 22, "America/New_York"),
    ("HNL", "Honolulu Intl", 21.318681, -157.922428, 13, "Pacific/Honolulu"),
    ("SFO", "San Francisco Intl", 37.618972, -122.374889, 13, None),
]

FAULTS = (Path(__file__).parent / "faults.js").read_text()
"""A function that gives what is wrong with a page for whoever has a small screen, weak eyes, or a screen reader."""


@dataclass
class Desk:
    """A browser window of one person. ``complaints`` is what the browser's console and the network complained of."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def log_in(self, username: str, password: str) -> None:
        self.page.goto(f"{self.url}/admin/")
        self.page.get_by_label("Username").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()

    def picture(self, name: str) -> None:
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.evaluate("document.activeElement?.blur()")
            self.page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is missing. Run: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def desk(live_server: Any, chromium: Browser) -> Iterator[Desk]:
    yield from _desk(live_server, chromium)


@pytest.fixture
def plain_desk(live_server: Any, chromium: Browser) -> Iterator[Desk]:
    """A browser that runs no JavaScript."""
    yield from _desk(live_server, chromium, java_script_enabled=False)


def _desk(live_server: Any, chromium: Browser, **options: Any) -> Iterator[Desk]:
    context = chromium.new_context(viewport={"width": 1180, "height": 800}, **options)
    context.set_default_timeout(WAIT_MS)
    desk = Desk(context.new_page(), live_server.url)
    desk.page.on("console", lambda message: _note(desk, message.type, message.text))
    desk.page.on("pageerror", lambda error: desk.complaints.append(str(error)))
    yield desk
    context.close()
    assert desk.complaints == []


def _note(desk: Desk, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        desk.complaints.append(text)


@pytest.fixture
def airports(postgresql: Any) -> Any:
    """A real PostgreSQL with a table of airports."""
    with psycopg.connect(**_login(postgresql, "superuser"), autocommit=True) as connection:
        connection.execute("drop table if exists airports")
        connection.execute(
            "create table airports (faa text primary key, name text, lat float8, lon float8, alt int, tzone text)"
        )
        with connection.cursor() as cursor:
            cursor.executemany("insert into airports values (%s, %s, %s, %s, %s, %s)", AIRPORTS)
        connection.execute(f"grant select on airports to {postgresql.reader}")
    return postgresql


def _login(server: Any, role: str) -> dict[str, Any]:
    login = server.login(role)
    return {**{name: value for name, value in login.items() if name != "database"}, "dbname": login["database"]}


def _fill(page: Page, server: Any, password: str) -> None:
    page.get_by_label("Name:", exact=True).fill("Flights")
    page.get_by_label("Environment").fill("production")
    page.get_by_label("Tags").fill("flights, travel")
    page.get_by_label("Host:", exact=True).fill(server.host)
    page.locator("[name=config__port]").fill(str(server.port))
    page.locator("[name=config__database]").fill(server.database)
    page.locator("[name=config__user]").fill(server.reader)
    page.locator("[name=config__tls__mode]").select_option("disable")
    page.locator("[name=secrets__password]").fill(password)


def test_an_editor_adds_a_connection_tests_it_and_sees_rows(desk: Desk, acme: Tenant, airports: Any):
    page = desk.page
    desk.log_in("acme-editor", "acme editor pass")
    page.get_by_role("link", name="Add a connection").click()
    page.get_by_label("Find a source").fill("postgre")
    page.get_by_role("link", name="SQLite").wait_for(state="hidden")
    assert page.locator("[data-card]:visible").count() == 1
    page.get_by_role("link", name="PostgreSQL").click()

    _fill(page, airports, "the wrong word")
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("The connection does not work").wait_for()
    assert page.locator("[data-test-outcome] code").first.inner_text() == "authentication"
    assert page.evaluate("document.activeElement.name") == "secrets__password"
    assert not Connection.objects.exists()

    page.locator("[name=secrets__password]").fill(airports.reader_password)
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("The connection works").wait_for()
    assert page.locator(".step-ok").count() >= 3
    desk.picture("form")

    page.get_by_role("button", name="Save and preview").click()
    page.get_by_role("heading", name="Preview Flights").wait_for()
    page.locator("[data-tables-form] button").click()
    page.get_by_role("button", name="public.airports").click()
    page.get_by_text("John F Kennedy Intl").wait_for()

    page.locator("[name=query__sql]").fill("select * from airports where alt > :alt order by faa")
    page.get_by_text("Parameters", exact=True).click()
    page.locator("[name=parameter_name]").first.fill("alt")
    page.locator("[name=parameter_value]").first.fill("13")
    page.get_by_role("button", name="Run", exact=True).last.click()
    page.get_by_text("Rows 1 to 2").wait_for()
    assert page.locator("table.results tbody tr").count() == 2
    desk.picture("preview")

    with page.expect_download() as downloading:
        page.get_by_role("button", name="CSV").click()
    text = Path(downloading.value.path()).read_text()
    assert text.splitlines()[1].startswith("EWR,")
    assert len(text.splitlines()) == 3

    page.locator("[name=query__sql]").fill("select * from airprots where alt > :alt")
    page.get_by_role("button", name="Run", exact=True).last.click()
    page.get_by_text('relation "airprots" does not exist').wait_for()

    row = Connection.objects.get()
    assert (row.slug, row.tags, row.environment) == ("flights", ["flights", "travel"], "production")
    page.get_by_role("link", name="Settings").click()
    assert airports.reader_password not in page.content()
    assert page.locator("#connection_form").get_by_text("Keep").is_visible()


def test_a_parameter_without_a_value_leads_to_where_it_is_entered(desk: Desk, acme: Tenant):
    page = desk.page
    row = acme.sqlite()
    desk.log_in("acme-analyst", "acme analyst pass")
    page.goto(f"{desk.url}/admin/connections/connection/{row.pk}/preview/")
    page.locator("[name=query__sql]").fill("select * from orders where id > :first")
    page.get_by_role("button", name="Run", exact=True).last.click()
    page.locator("#results").get_by_role("button", name="Parameters").click()
    assert page.evaluate("document.activeElement.name") == "parameter_name"


def test_a_new_key_is_copied_with_one_press(desk: Desk, acme: Tenant):
    page = desk.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    desk.log_in("acme-admin", "acme admin pass")
    page.goto(f"{desk.url}/admin/connections/apikey/add/")
    page.get_by_label("Name:").fill("reports")
    page.get_by_role("button", name="Make the key").click()
    key = page.get_by_label("The new key").input_value()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert key.startswith("ck_")
    assert page.evaluate("navigator.clipboard.readText()") == key


def test_a_long_query_is_cancelled(desk: Desk, acme: Tenant, airports: Any):
    page = desk.page
    desk.log_in("acme-editor", "acme editor pass")
    page.goto(f"{desk.url}/admin/connections/connection/add/postgresql/")
    _fill(page, airports, airports.reader_password)
    page.get_by_role("button", name="Save and preview").click()
    page.locator("[name=query__sql]").fill("select pg_sleep(15)")
    page.get_by_role("button", name="Run", exact=True).last.click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for(timeout=5_000)
    page.locator("[name=query__sql]").fill("select 42 as answer")
    page.get_by_role("button", name="Run", exact=True).last.click()
    page.get_by_role("cell", name="42").wait_for()


def test_a_pasted_url_fills_the_form(desk: Desk, acme: Tenant):
    page = desk.page
    desk.log_in("acme-editor", "acme editor pass")
    page.goto(f"{desk.url}/admin/connections/connection/add/postgresql/")
    page.get_by_label("Paste a URL").fill("postgresql://ann:pa%2Fss@db.example.com:5433/sales")
    page.get_by_role("button", name="Fill from URL").click()
    page.get_by_text("The settings below are filled").wait_for()
    assert page.locator("[name=config__host]").input_value() == "db.example.com"
    assert page.locator("[name=secrets__password]").input_value() == "pa/ss"
    assert page.get_by_label("Paste a URL").input_value() == ""


def test_a_page_of_another_organisation_than_the_active_one_says_so(desk: Desk, acme: Tenant, globex: Tenant):
    Membership.objects.create(organisation=globex.organisation, user=acme.people["editor"], role="editor")
    acme.sqlite("Shop")
    desk.log_in("acme-editor", "acme editor pass")
    page, other = desk.page, desk.page.context.new_page()
    page.goto(f"{desk.url}/admin/connections/connection/add/postgresql/")
    other.goto(f"{desk.url}/admin/")
    other.get_by_label("Organisation").select_option("globex")
    other.get_by_role("button", name="Switch").click()
    other.get_by_text("You are now in Globex Travel").wait_for()
    told = "This page was opened in Acme Air. You are in Globex Travel now."
    page.get_by_role("button", name="Test connection").click()
    page.locator(".outcome-message", has_text=told).wait_for()
    page.get_by_label("Paste a URL").fill("postgresql://ann@db.example.com/sales")
    page.get_by_role("button", name="Fill from URL").click()
    page.locator("[data-outcome]", has_text=told).wait_for()
    page.get_by_label("Name:", exact=True).fill("Billing")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="Nothing was done").wait_for()
    assert set(Connection.objects.values_list("organisation__slug", flat=True)) == {"acme"}
    assert len(desk.complaints) == 3  # Chromium's own, one for each answer
    assert all("409" in complaint for complaint in desk.complaints)
    desk.complaints.clear()


def test_hostile_cells_do_nothing_in_a_browser(desk: Desk, acme: Tenant):
    page = desk.page
    row = acme.sqlite()
    desk.log_in("acme-analyst", "acme analyst pass")
    page.goto(f"{desk.url}/admin/connections/connection/{row.pk}/preview/")
    attack = "<img src=x onerror=document.title=1>"
    page.locator("[name=query__sql]").fill(
        f"""select '{attack}' as "<b>bold</b>", '<script>document.title=2</script>'"""
    )
    page.get_by_role("button", name="Run", exact=True).last.click()
    page.get_by_text(attack).wait_for()
    assert page.locator("table.results img, table.results script, table.results b").count() == 0
    assert "Preview" in page.title()


def test_everything_that_saves_works_without_javascript(plain_desk: Desk, acme: Tenant):
    page = plain_desk.page
    acme.sqlite()
    plain_desk.log_in("acme-editor", "acme editor pass")
    page.goto(f"{plain_desk.url}/admin/connections/connection/add/?q=sqlite")
    page.get_by_role("link", name="SQLite").click()
    page.get_by_label("Name:", exact=True).fill("Plain")
    page.locator("[name=config__path]").fill("shop.sqlite3")
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("The connection works").wait_for()
    page.get_by_role("button", name="Save and test").click()
    page.get_by_text("The connection Plain was saved.").wait_for()
    page.get_by_role("link", name="Preview").click()
    page.locator("[data-tables-form] button").click()
    page.get_by_role("button", name="orders").click()
    page.get_by_text("Rows 1 to 3").wait_for()
    page.locator("[name=limit]").fill("2")
    page.get_by_role("button", name="Run", exact=True).last.click()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Rows 3 to 3").wait_for()


@pytest.mark.parametrize("which", ["desk", "plain_desk"])
def test_an_editor_rotates_a_password(which: str, request: pytest.FixtureRequest, acme: Tenant, airports: Any):
    desk: Desk = request.getfixturevalue(which)
    role, page = f"rotating_{secrets.token_hex(4)}", desk.page
    with psycopg.connect(**_login(airports, "superuser"), autocommit=True) as connection:
        connection.execute(f"create role {role} login password 'first'".encode())
        connection.execute(f"grant select on airports to {role}".encode())
        row = acme.database("postgresql", airports, "Flights", user=role)
        change = Change(secrets={"password": "first"}, probe={"sql": "select faa from airports"})
        row = connections.update(acme.actor(), row, change)
        desk.log_in("acme-editor", "acme editor pass")
        page.goto(f"{desk.url}/admin/connections/connection/{row.pk}/change/")
        page.get_by_text("New secrets", exact=True).click()
        page.locator("[name=new-secrets__password]").fill("second")
        page.get_by_role("button", name="Stage and test").click()
        page.get_by_text("The new secrets do not work").wait_for()
        assert page.locator("#rotation .mark-failed").inner_text().endswith("Failed its test")
        desk.picture(f"rotation-failed-{which}")
        connection.execute(f"alter role {role} password 'second'".encode())
    page.get_by_text("Stage other secrets in their place").click()
    page.locator("[name=new-secrets__password]").fill("second")
    page.get_by_role("button", name="Stage and test").click()
    page.get_by_text("Run the probe query").wait_for()
    page.get_by_text("The new secrets work").wait_for()
    desk.picture(f"rotation-{which}")
    page.get_by_role("button", name="Promote").click()
    page.get_by_text("The new secrets are in use.").wait_for()
    assert page.get_by_role("button", name="Take back the previous secrets").is_visible()
    page.get_by_role("button", name="Check now").click()
    page.get_by_text("The connection works.").wait_for()
    page.get_by_role("button", name="Take back the previous secrets").click()
    page.get_by_text("The previous secrets are in use again.").wait_for()
    desk.picture(f"rotation-taken-back-{which}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_can_be_read_and_name_what_they_ask_for(desk: Desk, acme: Tenant, scheme: Any):
    page = desk.page
    row = acme.sqlite("A shop with quite a long name")
    change = Change(name="Sales", config={"host": "db.example.com", "database": "sales", "user": "reader"})
    other = connections.create(acme.actor(), "postgresql", change)
    connections.pause(acme.actor(), other, "It moves.")
    desk.log_in("acme-admin", "acme admin pass")
    page.emulate_media(color_scheme=scheme)
    rows = "connections/connection"
    places = ["", "settings/", "password_change/", f"{rows}/", f"{rows}/add/", f"{rows}/add/postgresql/"]
    places += [f"{rows}/add/http_api/", f"{rows}/{row.pk}/expiry/", f"{rows}/{row.pk}/delete/"]
    places += [f"{rows}/{pk}/{name}/" for pk in (row.pk, other.pk) for name in ("change", "preview", "history")]
    places += ["connections/apikey/", "connections/apikey/add/", "connections/membership/", "connections/event/"]
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        for place in places:
            page.goto(f"{desk.url}/admin/{place}")
            assert page.evaluate(FAULTS) == [], (place, width)


def test_what_is_wrong_with_a_page_is_found(chromium: Browser):
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.set_content("""<h1>Shop</h1><p style="color: #999">pale</p><p style="width: 900px">wide</p><input id="a">
        <button></button><a href="#">nowhere</a><p id="a" aria-describedby="b">two</p>
        <ul class="errorlist" id="c"><li>required</li></ul><input aria-label="Day" placeholder="soon">""")
    found = page.evaluate(FAULTS)
    page.close()
    told = ("wider", "pale", "no label", "no name", "leads nowhere", "is not there", "nobody's error", "two of #a")
    assert [words for words in told if not any(words in fault for fault in found)] == []
    assert len(found) == len(told)


def test_errors_are_tied_to_their_inputs(desk: Desk, acme: Tenant):
    page = desk.page
    desk.log_in("acme-admin", "acme admin pass")
    for place in ("connections/connection/add/postgresql/", "connections/apikey/add/", "connections/membership/add/"):
        page.goto(f"{desk.url}/admin/{place}")
        page.locator(".submit-row .default").click()
        page.locator("[aria-invalid=true]").first.wait_for()
        assert page.evaluate(FAULTS) == [], place


def test_no_page_of_an_administrator_makes_the_browser_complain(desk: Desk, acme: Tenant):
    row = acme.sqlite()
    desk.log_in("acme-admin", "acme admin pass")
    for place in (
        "",
        "connections/connection/",
        f"connections/connection/{row.pk}/change/",
        f"connections/connection/{row.pk}/history/",
        "connections/membership/",
        "connections/membership/add/",
        "connections/apikey/add/",
        "connections/event/",
        "password_change/",
    ):
        desk.page.goto(f"{desk.url}/admin/{place}", wait_until="networkidle")
