from collections.abc import Iterator
from pathlib import Path

import pytest

from connections.adapters import tls
from connections.runner.supervisor import LocalRunner
from connections.sources.postgresql import login
from tests.servers.authority import Authority


@pytest.fixture(scope="module")
def runner() -> Iterator[LocalRunner]:
    """Real workers, as in a deployment."""
    local = LocalRunner(workers=2, share=2, spares=1)
    local.status()
    yield local
    local.close()


@pytest.fixture
def public_authority(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The tests' authority in the place of the system's, in this process: it signs for everybody."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(authority.certificate)
    for module in (tls, login):
        monkeypatch.setattr(module, "system_authorities", lambda: str(bundle))
    return authority
