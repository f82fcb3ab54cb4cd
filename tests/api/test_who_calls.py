"""Logins, keys and requests that are not what they seem."""

from __future__ import annotations

import io
import secrets
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext

from connections.models import APIKey, Connection, Membership
from tests.catalogue import API, Tenant

SHOP = "/api/v1/orgs/acme/connections/shop/"
QUERY = {"query": {"sql": "select 1 as one"}}
ACTIONS = ("preview/", "status/", "describe/", "pause/", "resume/", "clone/")
TOKEN = "a" * 32


@pytest.fixture
def strict(acme: Tenant) -> Client:
    """An editor's browser, whose requests are judged for forgery."""
    acme.sqlite("Shop")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(acme.people["editor"], backend="connections.admin.backend.MembershipBackend")
    browser.cookies["csrftoken"] = TOKEN
    return browser


def send(browser: Client, path: str, body: Any = QUERY, **more: Any) -> Any:
    return browser.post(f"{SHOP}{path}", body, **{"content_type": "application/json", **more})


# What a page elsewhere can make a browser send -----------------------------------------------------------------


@pytest.mark.parametrize("path", ACTIONS)
def test_no_work_is_started_by_get(strict: Client, path: str) -> None:
    answer = strict.get(f"{SHOP}{path}")
    assert answer.status_code == (404 if path == "status/" else 405)  # there was no check; looking at one makes none


@pytest.mark.parametrize("path", ACTIONS)
@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"headers": {"X-CSRFToken": "b" * 32}},
        {"headers": {"X-CSRFToken": TOKEN, "Origin": "https://evil.example"}},
        {"headers": {"X-CSRFToken": TOKEN, "Origin": "null"}},
        {"content_type": "text/plain", "body": '{"query": {"sql": "select 1"}}'},
        {"content_type": "application/x-www-form-urlencoded", "body": "query=x"},
        {"headers": {"X-HTTP-Method-Override": "POST"}},
    ],
    ids=["no token", "another token", "a foreign origin", "no origin", "text", "a form", "an override"],
)
def test_a_forged_request_does_nothing(strict: Client, path: str, forged: dict[str, Any]) -> None:
    answer = send(strict, path, **forged)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert Connection.objects.get().paused_at is None
    assert Connection.objects.count() == 1


def test_a_method_is_what_the_request_line_says(strict: Client) -> None:
    headers = {"X-CSRFToken": TOKEN, "X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}
    assert strict.post(f"{SHOP}?_method=DELETE", "{}", "application/json", headers=headers).status_code == 405
    assert strict.get(SHOP, headers=headers).status_code == 200
    assert Connection.objects.count() == 1


def test_no_answer_can_be_put_into_a_frame(strict: Client, acme: Tenant) -> None:
    for path in (SHOP, "/api/v1/orgs/", "/admin/", "/admin/login/", "/admin/connections/connection/"):
        assert strict.get(path)["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in strict.get("/admin/")["Content-Security-Policy"]


# Keys ----------------------------------------------------------------------------------------------------------


def asked(token: str | None) -> tuple[Any, int]:
    """The answer to a request with this key, and how often the database was asked (not told) something."""
    with CaptureQueriesContext(database) as queries:
        answer = API("acme", token).get("connections/")
    return answer, sum("set_config" not in query["sql"] for query in queries)


def test_a_key_of_the_wrong_form_is_refused_before_the_database_is_asked(acme: Tenant) -> None:
    key = acme.keys["viewer"]
    for token in (
        key[:-1],
        key + "A",
        key[3:],
        "ck__",
        "x" * 59,
        f"ck_{'A' * 12}_{'a' * 43}",
        f"ck_{'a' * 12}-{'a' * 43}",
    ):
        answer, queries = asked(token)
        assert (answer.status_code, queries) == (401, 0)


def test_a_wrong_secret_is_refused_as_an_unknown_prefix_is(acme: Tenant) -> None:
    """A prefix is looked up with one query, whether it is there or not, and says nothing by itself."""
    prefix = acme.keys["viewer"][:16]
    revoked = APIKey.objects.get(organisation=acme.organisation, name="editor key")
    acme.api("admin").delete(f"api-keys/{revoked.pk}/")
    told = []
    asked(acme.keys["editor"])  # it is on record that somebody came with it, once a minute
    for token in (
        prefix + secrets.token_urlsafe(32),
        f"ck_{'a' * 12}_{secrets.token_urlsafe(32)}",
        acme.keys["editor"],
        *(f"ck_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}" for _ in range(20)),
    ):
        answer, queries = asked(token)
        told.append((answer.status_code, {**answer.json(), "request_id": None}, answer["WWW-Authenticate"], queries))
    assert told[0][0] == 401
    assert all(each == told[0] for each in told)


def test_no_key_at_all_is_told_as_a_wrong_one_is(acme: Tenant) -> None:
    answers = [asked(token)[0] for token in (None, "nonsense", acme.keys["viewer"][:-1] + "_")]
    assert {answer.status_code for answer in answers} == {401}
    assert len({str({**answer.json(), "request_id": None}) for answer in answers}) == 1


def test_a_key_is_known_by_its_beginning_and_its_secret_is_long(acme: Tenant) -> None:
    for key in acme.keys.values():
        kind, prefix, secret = key.split("_", 2)
        assert (kind, len(prefix), len(secret)) == ("ck", 12, 43)
    digests = APIKey.objects.values_list("digest", flat=True)
    assert len(set(digests)) == len(acme.keys)


# Logins --------------------------------------------------------------------------------------------------------


def log_in(browser: Client, name: str, password: str, **more: Any) -> Any:
    return browser.post("/admin/login/", {"username": name, "password": password}, **more)


def test_guessing_a_password_is_slowed_whatever_the_caller_says_of_its_address(acme: Tenant, settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    name, password = "acme-editor", "acme editor pass"
    for number in range(3):
        forged = {"X-Forwarded-For": f"203.0.113.{number}"}
        assert log_in(Client(), name, "wrong", headers=forged).status_code in (200, 403, 429)
    locked = log_in(Client(), name, password, headers={"X-Forwarded-For": "203.0.113.99"})
    assert locked.status_code == 429
    assert log_in(Client(), "acme-viewer", "acme viewer pass").status_code == 302  # only that account, from there
    assert log_in(Client(), name, password, REMOTE_ADDR="198.51.100.7").status_code == 302


def test_a_new_password_ends_the_sessions_that_were_open(acme: Tenant) -> None:
    browser = acme.browser("editor")
    assert browser.get("/api/v1/orgs/acme/").status_code == 200
    person = get_user_model()._default_manager.get(pk=acme.people["editor"].pk)
    person.set_password("another password")
    person.save()
    assert browser.get("/api/v1/orgs/acme/").status_code == 401
    assert browser.get("/admin/").status_code == 302


def test_a_login_takes_a_new_session_and_a_logout_ends_it(acme: Tenant) -> None:
    browser = Client()
    browser.get("/admin/login/")
    planted = browser.session
    planted["organisation"] = "globex"
    planted.save()
    browser.cookies["sessionid"] = str(planted.session_key)
    log_in(browser, "acme-editor", "acme editor pass")
    used = browser.cookies["sessionid"].value
    assert used != planted.session_key
    other = Client()
    other.cookies["sessionid"] = str(planted.session_key)
    assert other.get("/api/v1/orgs/acme/").status_code == 401
    browser.post("/admin/logout/")
    other.cookies["sessionid"] = used
    assert other.get("/api/v1/orgs/acme/").status_code == 401


# Bodies --------------------------------------------------------------------------------------------------------

CLAIMS: dict[str, Any] = {
    "organisation": "globex",
    "org": "globex",
    "created_by": 1,
    "created_at": "2020-01-01T00:00:00Z",
    "status": {"ok": True},
    "state": "ready",
    "role": "admin",
    "is_system": True,
    "secrets_generation": 7,
    "access_version": 7,
    "schema_version": 7,
    "managed_by": "somebody",
    "paused": None,
    "adapter": "postgresql",
    "id": "0192c0de-0000-7000-8000-000000000000",
}


@pytest.mark.parametrize("member", CLAIMS)
def test_what_the_catalogue_says_of_a_thing_cannot_be_sent(acme: Tenant, globex: Tenant, member: str) -> None:
    acme.sqlite("Shop")
    before = Connection.objects.values().get()
    claim = {member: CLAIMS[member]}
    new = {"name": "New", "source": "sqlite", "config": {"path": "shop.sqlite3"}}
    for answer in (
        acme.api("admin").patch("connections/shop/", claim),
        acme.api("admin").post("connections/", {**new, **claim}),
        acme.api("admin").post("connections/shop/preview/", {**QUERY, **claim}),
    ):
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, f"/{member}")
    assert Connection.objects.values().get() == before


def test_a_member_and_a_key_are_given_no_more_than_they_are_asked_for(acme: Tenant, globex: Tenant) -> None:
    api = acme.api("admin")
    for path, body in (
        ("members/", {"email": "a@b.example", "role": "viewer", "organisation": "globex"}),
        ("members/", {"email": "a@b.example", "role": "viewer", "is_staff": True}),
        ("api-keys/", {"name": "X", "role": "viewer", "digest": "0" * 64}),
        ("api-keys/", {"name": "X", "role": "viewer", "membership": "x"}),
        ("api-keys/", {"name": "X", "role": "viewer", "restricted": False}),
    ):
        answer = api.post(path, body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "unknown")
    assert Membership.objects.count() == 8


# What a deployment tells of itself -----------------------------------------------------------------------------


def test_neither_health_pages_nor_settings_show_a_key(acme: Tenant, settings: Any) -> None:
    shown = io.StringIO()
    call_command("diffsettings", "--all", stdout=shown)
    printed = shown.getvalue()
    assert "CATALOG_KEYS" in printed
    texts = [printed, *(Client().get(path).content.decode() for path in ("/healthz", "/readyz"))]
    for part in str.__str__(settings.CATALOG_KEYS).split(","):
        secret = part.partition(":")[2]
        assert len(secret) > 20
        assert all(secret not in text for text in texts)
