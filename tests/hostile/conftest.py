from collections.abc import Iterator

import pytest

from connections.runner.supervisor import LocalRunner


@pytest.fixture(scope="module")
def runner() -> Iterator[LocalRunner]:
    """Real workers, as in a deployment."""
    local = LocalRunner(workers=2, share=2, spares=1)
    local.status()
    yield local
    local.close()
