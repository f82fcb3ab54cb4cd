"""``manage.py keys`` in real processes: killed in the middle, beside others with the old ring and the new one."""

from __future__ import annotations

import psycopg

from tests.management.conftest import AFTER, BEFORE, NEW, OLD, ORGANISATIONS, Catalogue, create, url_of
from tests.servers.pausable import PausableServer

SPOILING = """
create function spoil() returns trigger language plpgsql as $$
begin new.blob = set_byte(new.blob, 40, get_byte(new.blob, 40) # 1); return new; end $$;
create trigger spoil before update on connections_organisationkey for each row execute function spoil()
"""


def opened_by(catalogue: Catalogue, ring: str) -> str:
    program = "import django; django.setup(); from tests.management.at_work import *; print(read(STEADY, CHANGING))"
    status, text = catalogue.run(ring, "-c", program)
    assert status == 0, text
    return text.strip()


def test_a_rotation_killed_midway_beside_old_and_new_processes_loses_nothing(catalogue: Catalogue):
    ring_keys = "select ring_key, count(*) from connections_organisationkey group by ring_key order by ring_key"
    with catalogue.at_work():
        catalogue.killed(AFTER, "keys", "rotate", "--batch", "1", steps=5)
        catalogue.killed(AFTER, "keys", "rotate", "--batch", "2", steps=4)
        midway = dict(catalogue.ask(ring_keys))
        assert midway["k1"] > 0
        assert midway["k2"] >= 12
        status, text = catalogue.run(AFTER, "manage.py", "keys", "retire", "k1")
        assert (status, "organisation keys need the key k1" in text) == (1, True)
        assert f"no: {midway['k1']} organisation keys need it" in catalogue.manage(AFTER, "keys", "status")
        text = catalogue.manage(AFTER, "keys", "rotate")
        assert f"After: {ORGANISATIONS} under k2" in text
    assert dict(catalogue.ask(ring_keys)) == {"k2": ORGANISATIONS}
    assert "Nothing needs the key k1" in catalogue.manage(AFTER, "keys", "retire", "k1")
    assert "yes: 0 need it" in catalogue.manage(AFTER, "keys", "status")
    assert "need it and are locked" in catalogue.manage(OLD, "keys", "status")
    assert opened_by(catalogue, NEW) == "[]"


def test_a_rekeying_killed_midway_beside_old_and_new_processes_loses_nothing(catalogue: Catalogue):
    versions = "select key_version, count(*) from connections_connectionsecrets group by key_version"
    with catalogue.at_work():
        catalogue.killed(AFTER, "keys", "rekey", "--all", "--batch", "1", steps=9)
        catalogue.killed(AFTER, "keys", "rekey", "--org", "org-20", "--batch", "1", steps=1)
        assert dict(catalogue.ask(versions))[1] > 0
        catalogue.manage(AFTER, "keys", "rekey", "--all")
    assert 1 not in dict(catalogue.ask(versions))
    assert not catalogue.ask("select 1 from connections_organisationkey where version = 1")
    assert opened_by(catalogue, AFTER) == "[]"


def test_a_rotation_whose_writing_is_not_what_is_read_back_keeps_nothing(postgresql: PausableServer):
    catalogue = Catalogue(url_of(postgresql, create(postgresql)))
    catalogue.run(BEFORE, "-m", "tests.management.at_work", "fill", "3")
    with psycopg.connect(catalogue.url, autocommit=True) as owner:
        owner.execute(SPOILING)
    before = catalogue.ask("select id, ring_key, blob from connections_organisationkey order by id")
    status, text = catalogue.run(AFTER, "manage.py", "keys", "rotate")
    assert status == 1
    assert "3 rows of connections_organisationkey were written, and 0 read back as written. Nothing was kept." in text
    assert catalogue.ask("select id, ring_key, blob from connections_organisationkey order by id") == before
    assert not catalogue.ask("select 1 from connections_event where action = 'key.rewrap'")
