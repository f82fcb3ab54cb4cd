from collections.abc import Iterator

import pytest

from tests.servers.authority import LOOPBACK, Authority
from tests.servers.http import OrderAPI


@pytest.fixture
def api() -> Iterator[OrderAPI]:
    with OrderAPI() as server:
        yield server


@pytest.fixture
def secure_api(authority: Authority) -> Iterator[OrderAPI]:
    with OrderAPI(authority.server(*LOOPBACK)) as server:
        yield server
