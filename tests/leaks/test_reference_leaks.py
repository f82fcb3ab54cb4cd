"""What a reference stands for is in nothing that comes out and nothing that stays, though every secret is looked up."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from connections.adapters import schema
from connections.adapters.registry import registry
from connections.adapters.schema import Nested
from connections.services import connections, drafts
from tests.catalogue import Tenant
from tests.leaks.canaries import Canaries, variants
from tests.leaks.test_api_leaks import SOURCES, drive, look_at_logs, look_at_rest

pytestmark = pytest.mark.django_db(transaction=True)


def in_files(folder: Path, secrets: Nested) -> Nested:
    """References to files that hold these secrets, nested like them."""
    found: Nested = {}
    for path in schema.paths(secrets):
        name = "-".join(path)
        (folder / name).write_text(schema.get(secrets, path))
        schema.put(found, path, {"ref": f"file:{name}"})
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_no_value_of_a_reference_comes_out_or_stays_behind(
    acme: Tenant,
    source: str,
    settings: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings.CATALOG_REFERENCES, settings.CATALOG_REFERENCES_DIR = ["file:*"], str(tmp_path)
    acme.organisation.references = ["file:*"]
    acme.organisation.save()
    canaries = Canaries()
    adapter = registry[source]
    with caplog.at_level(logging.NOTSET):
        for config, secrets in variants(adapter.config_class, canaries):
            slug = drive(acme, canaries, source, config, in_files(tmp_path, secrets))
            assert slug is not None
            row = connections.get(acme.actor(), slug)
            whole = drafts.settings_of(adapter, row)
            assert all(schema.get(whole, path) == schema.get(secrets, path) for path in schema.paths(secrets))
            canaries.look_at("a draft", drafts.changed(adapter, row, {}, {}))
    look_at_rest(canaries)
    look_at_logs(canaries, caplog, capfd)
