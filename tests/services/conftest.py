"""An organisation that may name secrets that are kept elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.catalogue import CANARY, Tenant
from tests.services.referring import allow


@pytest.fixture
def everywhere(acme: Tenant, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """Acme may name its own variables, files and vault paths; the values are there."""
    settings.CATALOG_REFERENCES = ["env:ACME_*", "env:GLOBEX_*", "file:*", "vault:secret/*", "vault:old/*"]
    settings.CATALOG_REFERENCES_DIR = str(tmp_path / "secrets")
    (tmp_path / "secrets" / "acme").mkdir(parents=True)
    (tmp_path / "secrets" / "acme" / "password").write_text(f"{CANARY}\n")
    monkeypatch.setenv("ACME_PASSWORD", CANARY)
    allow(acme, "env:ACME_*", "file:acme/*", "vault:secret/acme/*", "vault:old/acme/*")
    return acme
