"""One source through the catalogue: listed, its form, saved, checked and previewed over REST, documented.

Run by other tests in a process of its own, where there is a source more. ``WALK`` says which, as JSON: ``source``,
``config``, ``secrets``, ``files`` (names to texts, in the organisation's folder), ``query``, ``rows``.
"""

from __future__ import annotations

import json
import os

from connections.adapters.registry import registry
from connections.forms import SettingsForm
from connections.management import source_pages
from connections.services import jobs
from tests.catalogue import Tenant

WALK = json.loads(os.environ["WALK"])


def test_a_source_walks_through_the_catalogue(acme: Tenant) -> None:
    api = acme.api("editor")
    source = WALK["source"]
    label = registry[source].label
    root = jobs.files_root(acme.organisation)
    root.mkdir(parents=True, exist_ok=True)
    for name, text in WALK.get("files", {}).items():
        (root / name).write_bytes(bytes.fromhex(text))

    listed = {entry["id"]: entry for entry in api.get("/sources/").json()["results"]}
    assert listed[source]["available"]
    assert listed[source]["label"] == label

    form = str(SettingsForm(registry[source].config_class))
    for part in ("config", "secrets"):
        assert all(f'data-pointer="/{part}/{name}"' in form for name in WALK.get(part, {}))

    body = {"name": "Walk", "source": source, "config": WALK["config"], "secrets": WALK.get("secrets", {})}
    made = api.post("connections/", body)
    assert made.status_code == 201, made.content
    checked = api.post("connections/walk/status/").json()
    assert checked["ok"], checked
    preview = api.post("connections/walk/preview/", {"query": WALK["query"]})
    assert preview.status_code == 200, preview.content
    assert preview.json()["rows"] == WALK["rows"]

    page = source_pages.page(registry[source])
    assert page.startswith(f"# {label}\n")
    assert all(f"`{name}`" in page for name in {**WALK["config"], **WALK.get("secrets", {})})
