"""A catalogue is moved to another database by the commands of docs/operations.md, and leaves a sealed record behind."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.management.conftest import BEFORE, ROOT, Catalogue, create, url_of

FILL = """
import django
django.setup()
from django.contrib.auth import get_user_model
from connections.services import connections, tenancy
from connections.services.connections import Change
person = get_user_model().objects.create_user("ann", email="ann@example.com", password="x")
tenancy.establish("zeta", "Zeta", person)
actor = tenancy.actor_of(person, "zeta")
config = {"host": "db.example.com", "port": 5432, "database": "d", "user": "u"}
row = connections.create(actor, "postgresql", Change(name="W", config=config, secrets={"password": "CANARY-4711"}))
connections.update(actor, row, Change(config={"database": "e"}))
"""
OPEN = """
import django
django.setup()
from django.contrib.auth import get_user_model
from connections.models import Connection, ConnectionSecrets
from connections.services import connections, tenancy, vault
from connections.services.connections import Change
opened = [(row.connection.slug, vault.unseal(row.connection)) for row in ConnectionSecrets.objects.all()]
print("OPENED", len(opened), dict(opened)["w"])
actor = tenancy.actor_of(get_user_model().objects.get(username="ann"), "zeta")
print("VERSION", connections.update(actor, connections.get(actor, "w"), Change(name="Moved")).version)
"""
COUNT = """
import django
django.setup()
from connections.models import Connection, Event, EventSeal
print("COUNTED", Connection.objects.count(), Event.objects.count(), EventSeal.objects.count())
"""


def documented() -> list[list[str]]:
    """The commands of ``manage.py`` by which the docs move a catalogue, in their order."""
    section = (ROOT / "docs" / "operations.md").read_text().split("### Moving to another database")[1]
    [block] = re.findall(r"```sh\n(.*?)```", section.split("\n#")[0], re.S)
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    return [line[1:] for line in lines if line[0] == ".venv/bin/python"]


def ran(catalogue: Catalogue, *command: str) -> str:
    status, text = catalogue.run(BEFORE, *command)
    assert status == 0, text
    return text


@pytest.fixture
def sealed(catalogue: Catalogue) -> Catalogue:
    """A catalogue with secrets, people, versions and sealed events."""
    ran(catalogue, "-c", FILL)
    catalogue.manage(BEFORE, "events", "seal")
    return catalogue


@pytest.fixture
def empty(request: pytest.FixtureRequest, catalogue: Catalogue, tmp_path: Path) -> Catalogue:
    """A database of the other kind, with nothing in it."""
    if catalogue.url.startswith("postgresql"):
        return Catalogue(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    server = request.getfixturevalue("postgresql")
    return Catalogue(url_of(server, create(server)))


def test_what_is_dumped_and_loaded_as_the_docs_say_opens_in_the_new_database(
    sealed: Catalogue, empty: Catalogue, tmp_path: Path
) -> None:
    dump, *rest = documented()
    assert (dump[1], [command[1] for command in rest]) == ("dumpdata", ["migrate", "loaddata"])
    file = str(tmp_path / "catalogue.json")
    ran(sealed, *[file if part == "catalogue.json" else part for part in dump])
    assert "CANARY" not in Path(file).read_text()
    for command in rest:
        ran(empty, *[file if part == "catalogue.json" else part for part in command])
    assert "COUNTED 49 0 0" in ran(empty, "-c", COUNT)
    told = ran(empty, "-c", OPEN)
    assert "OPENED 49 {'password': 'CANARY-4711'}" in told
    assert "VERSION 3" in told
    empty.manage(BEFORE, "keys", "verify")
    empty.manage(BEFORE, "events", "seal")
    for catalogue in (sealed, empty):
        assert "zeta" in catalogue.manage(BEFORE, "events", "verify")


def test_a_dump_with_a_sealed_record_is_refused_whole(sealed: Catalogue, empty: Catalogue, tmp_path: Path) -> None:
    dump, *rest = documented()
    at = dump.index("connections.event") - 1
    whole = [*dump[:at], *dump[at + 4 :]]
    assert not any(part.startswith("connections.event") for part in whole)
    file = str(tmp_path / "catalogue.json")
    ran(sealed, *[file if part == "catalogue.json" else part for part in whole])
    ran(empty, *rest[0])
    status, text = empty.run(BEFORE, "manage.py", "loaddata", file)
    assert status != 0
    assert "Events arrive unsealed" in text
    assert "COUNTED 0 0 0" in ran(empty, "-c", COUNT)
