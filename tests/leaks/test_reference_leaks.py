"""What a reference stands for is in nothing that comes out and nothing that stays, though every secret is looked up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from connections.adapters import schema
from connections.adapters.registry import registry
from connections.adapters.schema import Nested
from connections.services import connections, drafts
from connections.testing.leaks import NOWHERE, Hunt
from connections.testing.leaks.doors import Doors
from connections.testing.leaks.samples import secret_paths, variants

SOURCES = sorted(adapter.id for adapter in registry.healthy() if secret_paths(adapter.config_class))


def in_files(folder: Path, secrets: Nested) -> Nested:
    """References to files that hold these secrets, nested like them. The files look old: the hunt is for new ones."""
    found: Nested = {}
    for path in schema.paths(secrets):
        file = folder / "-".join(path)
        file.write_text(schema.get(secrets, path))
        os.utime(file, (0, 0))
        schema.put(found, path, {"ref": f"file:{file.name}"})
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_no_value_of_a_reference_comes_out_or_stays_behind(
    leak_hunt: Hunt, source: str, settings: Any, tmp_path: Path
) -> None:
    settings.CATALOG_REFERENCES, settings.CATALOG_REFERENCES_DIR = ["file:*"], str(tmp_path)
    leak_hunt.tenant.organisation.references = ["file:*"]
    leak_hunt.tenant.organisation.save()
    adapter = registry[source]
    for config, secrets in variants(adapter.config_class, leak_hunt.canaries, NOWHERE):
        places = in_files(tmp_path, secrets)
        slug = Doors(leak_hunt.tenant, leak_hunt.canaries, adapter, config, places, {"sql": "select 1"}).api()
        assert slug is not None
        row = connections.get(leak_hunt.tenant.actor, slug)
        whole = drafts.settings_of(adapter, row)
        assert all(schema.get(whole, path) == schema.get(secrets, path) for path in schema.paths(secrets))
        leak_hunt.canaries.look_at("a draft", drafts.changed(adapter, row, {}, {}))
    leak_hunt.look()
