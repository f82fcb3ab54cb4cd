"""The form in a real browser, with JavaScript and without."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.forms import site
from tests.forms.test_settings_form import PEM
from tests.forms.toys import MINIMAL

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
COMPLAINTS: list[str] = []
"""What the browser said about the page that is open: errors of scripts, breaches of the content security policy."""
SHOTS = os.environ.get("CATALOG_SCREENSHOTS")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed. Run: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def address(settings) -> Iterator[str]:
    settings.ROOT_URLCONF = "tests.forms.site"
    settings.MIDDLEWARE = site.MIDDLEWARE
    site.Shelf.options = {"config": MINIMAL}
    site.Shelf.saved = None
    with site.served() as address:
        yield address


def opened(browser: Browser, address: str, *, script: bool = True) -> Page:
    """The page, loaded."""
    page = browser.new_context(java_script_enabled=script, viewport={"width": 1100, "height": 900}).new_page()
    page.set_default_timeout(10_000)
    COMPLAINTS.clear()
    page.on("console", lambda message: COMPLAINTS.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: COMPLAINTS.append(str(error)))
    page.goto(address)
    return page


def save(page: Page) -> tuple[dict, dict]:
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Saved")).to_be_visible()
    assert COMPLAINTS == []
    assert site.Shelf.saved is not None
    return site.Shelf.saved


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def test_choices_and_optional_groups_show_what_is_chosen(browser, address):
    page = opened(browser, address)
    user = page.locator("[name=config__auth__basic__user]")
    key = page.locator("[name=secrets__auth__key_pair__private_key]")
    host = page.locator("[name=config__tunnel__host]")
    for hidden in (user, key, host):
        expect(hidden).to_be_hidden()
    page.get_by_label("Sign in with").first.select_option("key_pair")
    expect(key).to_be_visible()
    expect(user).to_be_hidden()
    page.locator("[name=config__auth__key_pair__user]").fill("reader")
    key.fill(PEM)
    page.get_by_label("Use SSH tunnel").check()
    host.fill("bastion.example.com")
    page.locator("[name=config__tunnel__user]").fill("jump")
    page.locator("[name=config__tunnel__host_key]").fill("ssh-ed25519 AAAA")
    page.locator("[name=config__tunnel__auth__kind]").select_option("password")
    page.locator("[name=secrets__tunnel__auth__password__password]").fill("hunter2")
    shoot(page, "chosen")
    config, secrets = save(page)
    assert config["auth"] == {"kind": "key_pair", "user": "reader"}
    assert config["tunnel"]["host"] == "bastion.example.com"
    assert secrets == {"auth": {"private_key": PEM}, "tunnel": {"auth": {"password": "hunter2"}}}


def test_rows_are_added_and_removed(browser, address):
    site.Shelf.options = {"config": {**MINIMAL, "ports": [80, 443]}}
    page = opened(browser, address)
    ports = page.get_by_role("group", name="Ports:")
    ports.get_by_role("button", name="Remove this row").first.click()
    ports.get_by_role("button", name="Add a row").click()
    ports.locator("input").last.fill("8443")
    headers = page.get_by_role("group", name="Headers:")
    headers.get_by_role("button", name="Add a row").click()
    headers.get_by_label("Name").fill("X-One")
    headers.get_by_label("Value").fill("1")
    shoot(page, "rows")
    config, _ = save(page)
    assert config["ports"] == [443, 8443]
    assert config["headers"] == {"X-One": "1"}


def test_a_pasted_url_fills_the_inputs_and_is_forgotten(browser, address):
    page = opened(browser, address)
    page.get_by_label("Paste a URL").fill("toy://reader:p%40s:s@other.example.com:99/orders?sslmode=require")
    page.get_by_role("button", name="Fill from URL").click()
    expect(page.locator("[name=config__host]")).to_have_value("other.example.com")
    expect(page.get_by_label("Paste a URL")).to_have_value("")
    expect(page.get_by_role("status").first).to_have_text("The settings below are filled. The URL is forgotten.")
    config, secrets = save(page)
    assert (config["port"], config["database"], config["user"]) == (99, "orders", "reader")
    assert config["tls"]["mode"] == "require"
    assert secrets == {"password": "p@s:s"}


def test_a_url_that_cannot_be_read_says_why(browser, address):
    page = opened(browser, address)
    page.get_by_label("Paste a URL").fill("mysql://db/sales")
    page.get_by_label("Paste a URL").press("Enter")
    expect(page.get_by_role("status").first).to_have_text(re.compile("scheme"))
    expect(page.locator("[name=config__host]")).to_have_value("db.example.com")


def test_a_stored_secret_shows_its_state_and_opens_to_be_replaced(browser, address):
    site.Shelf.options |= {"secrets_set": {("password",): datetime(2026, 11, 3, tzinfo=UTC)}}
    page = opened(browser, address)
    password = page.locator("[name=secrets__password]")
    expect(password).to_be_hidden()
    group = page.get_by_role("radiogroup", name="Set on 3 Nov 2026.")
    group.get_by_label("Replace").check()
    expect(password).to_be_focused()
    password.fill("hunter3")
    page.locator("[name=config__user]").fill("sales")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("User and database must differ.")).to_be_visible()
    expect(page.get_by_text("Enter it again.")).to_be_visible()
    expect(password).to_have_value("")
    shoot(page, "errors")
    page.locator("[name=config__user]").fill("reader")
    password.fill("hunter3")
    assert save(page)[1] == {"password": "hunter3"}


def test_all_of_it_is_there_without_javascript(browser, address):
    page = opened(browser, address, script=False)
    expect(page.locator("[name=config__auth__basic__user]")).to_be_visible()
    expect(page.get_by_text("Sign in with: Key pair")).to_be_visible()
    page.locator("[name=config__auth__kind]").select_option("basic")
    page.locator("[name=config__auth__basic__user]").fill("reader")
    page.locator("[name=secrets__auth__basic__password]").fill("hunter2")
    page.locator("[name=config__ports]").nth(1).fill("443")
    page.locator("[name=config__tls__ca-file]").set_input_files(
        {"name": "ca.pem", "mimeType": "application/x-pem-file", "buffer": PEM.encode()}
    )
    shoot(page, "no-script")
    config, secrets = save(page)
    assert config["auth"] == {"kind": "basic", "user": "reader"}
    assert config["ports"] == [443]
    assert config["tls"]["ca"] == PEM
    assert secrets == {"auth": {"password": "hunter2"}}


def test_a_url_fills_the_form_without_javascript(browser, address):
    page = opened(browser, address, script=False)
    page.get_by_label("Paste a URL").fill("toy://reader:hunter2@other.example.com/orders")
    page.get_by_role("button", name="Fill from URL").click()
    expect(page.locator("[name=config__host]")).to_have_value("other.example.com")
    assert "hunter2" not in page.content()
