"""Rows that make no sense any more: every page and path works, and says so."""

from __future__ import annotations

import pytest
from django.db import connection as database
from django.urls import reverse

from connections.models import Connection
from tests.catalogue import Tenant

BROKEN = ["[1, 2]", '"text"', "null", "17"]
if database.vendor == "sqlite":  # PostgreSQL holds no JSON column that is not JSON
    BROKEN.append("{not json")


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("column", ["config", "tags"])
def test_a_row_whose_json_is_no_object_breaks_no_path_and_no_page(acme: Tenant, column: str, text: str) -> None:
    row = acme.sqlite()
    with database.cursor() as cursor:
        if database.vendor == "sqlite":
            cursor.execute("pragma ignore_check_constraints = on")
            cursor.execute(f"update connections_connection set {column} = %s", [text])
            cursor.execute("pragma ignore_check_constraints = off")
        else:
            cursor.execute(f"update connections_connection set {column} = %s::jsonb", [text])
    api = acme.api("editor")
    listed = api.get("connections/").json()["results"]
    assert [found["state"] for found in listed] == ["invalid" if column == "config" else "unchecked"]
    assert api.get("connections/shop/").status_code == 200
    assert api.post("connections/shop/clone/").status_code == 201
    assert api.patch("connections/shop/", {"description": "broken"}).status_code == 200
    browser = acme.browser("editor")
    assert browser.get(reverse("admin:connections_connection_changelist")).status_code == 200
    assert browser.get(reverse("admin:connections_connection_change", args=[row.pk])).status_code == 200
    mended = api.patch("connections/shop/", {"config": {"path": "shop.sqlite3"}, "tags": []})
    assert (mended.status_code, mended.json()["state"]) == (200, "unchecked")
    assert api.delete("connections/shop/").status_code == 204
    assert Connection.objects.count() == 1
