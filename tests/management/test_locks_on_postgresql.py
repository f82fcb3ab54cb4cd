"""Whoever writes secrets takes locks in one order, on a real PostgreSQL: connections, keys, organisation, secrets."""

from __future__ import annotations

import pytest

from tests.evolving import SITE
from tests.management.conftest import AFTER, BEFORE, Catalogue, create, url_of
from tests.management.contending import FIRST, SECOND
from tests.servers.pausable import PausableServer

PROGRAM = ("-m", "tests.management.contending")


@pytest.fixture(scope="module")
def template(postgresql: PausableServer) -> str:
    """A database whose connections are of an earlier version of their source."""
    name = create(postgresql)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", SITE)
        patch.setenv("EVOLVING_VERSION", "1")
        status, text = Catalogue(url_of(postgresql, name)).run(BEFORE, *PROGRAM, "fill")
    assert status == 0, text
    return name


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_no_two_that_write_secrets_are_in_a_deadlock(
    postgresql: PausableServer, template: str, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", SITE)
    monkeypatch.setenv("EVOLVING_VERSION", "3")
    catalogue = Catalogue(url_of(postgresql, create(postgresql, template)))
    status, text = catalogue.run(AFTER, *PROGRAM, first, second)
    assert (status, text.strip()) == (0, "ok")
