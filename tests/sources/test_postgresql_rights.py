"""PostgreSQL, at each version at hand: what a login may do besides reading is found, also where it comes later."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from catalog_project.demo import postgres
from connections.adapters.contract import Step
from connections.adapters.errors import UnsafeRoleError
from connections.adapters.limits import Deadline
from connections.adapters.sql.server import RIGHTS_HOLD
from connections.sources.postgresql import PostgreSQLAdapter
from tests.servers.pausable import PausableServer
from tests.sources.postgresql import adapter_of
from tests.sources.reading import read

PASSWORD = "somebodys-password"


class Place(NamedTuple):
    """A server with a login ``somebody``, which may do nothing yet."""

    server: PausableServer
    tls: str

    def as_owner(self, *texts: str) -> None:
        with postgres.connect(self.server) as owner:
            for text in texts:
                owner.execute(text)

    def login(self, **changes: Any) -> PostgreSQLAdapter:
        return adapter_of(self.server, user="somebody", password=PASSWORD, tls={"mode": self.tls}, **changes)


@pytest.fixture(params=[("postgresql", "disable"), ("postgresql_tls", "require")], ids=["of pip", "of Debian"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    fixture, tls = request.param
    found = Place(request.getfixturevalue(fixture), tls)
    with postgres.connect(found.server) as owner:
        postgres.create_login(owner, "somebody", PASSWORD)
    yield found
    found.as_owner("drop owned by somebody", "drop role somebody")


# Foreign data ------------------------------------------------------------------------------------------------------

WRAPPERS = ["file_fdw", "postgres_fdw", "dblink_fdw"]


@pytest.fixture
def foreign(place: Place) -> Iterator[Place]:
    """The same with the extensions that reach out of the database. dblink's functions are everybody's at first."""
    place.as_owner(
        "create extension file_fdw",
        "create extension postgres_fdw",
        "create extension dblink",
        "do $$ declare f regprocedure; begin for f in select oid from pg_proc where proname like 'dblink%' loop "
        "execute format('revoke execute on function %s from public', f); end loop; end $$",
    )
    yield place
    place.as_owner(*(f"drop extension {name} cascade" for name in ("file_fdw", "postgres_fdw", "dblink")))


def refusal(adapter: PostgreSQLAdapter) -> str:
    """What a preview says that is refused for the login's rights; a check must say the same at its own step."""
    with pytest.raises(UnsafeRoleError) as caught:
        read(adapter, "select 1")
    failed = [step for step in adapter.check(Deadline.after(10)) if isinstance(step, Step) and step.ok is False]
    assert [(str(step.name), step.code) for step in failed] == [("privileges", "unsafe_role")]
    adapter.close()
    return caught.value.message


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("to", ["somebody", "public", "a group"])
def test_whoever_may_use_a_foreign_data_wrapper_is_refused(foreign, wrapper, to):
    name = '"a group"' if to == "a group" else to
    foreign.as_owner('create role "a group"', 'grant "a group" to somebody')
    try:
        foreign.as_owner(f"grant usage on foreign data wrapper {wrapper} to {name}")
        assert f"may use the foreign data wrapper {wrapper}" in refusal(foreign.login())
    finally:
        foreign.as_owner('drop owned by "a group"', 'drop role "a group"')


@pytest.mark.parametrize("name", ["dblink", "dblink_exec", "dblink_open", "dblink_send_query"])
def test_whoever_may_call_dblink_is_refused(foreign, name):
    foreign.as_owner(f"grant execute on function {name}(text, text) to somebody")
    assert f"may call {name}." in refusal(foreign.login())


def test_extensions_that_a_login_may_not_use_are_nothing_against_it(foreign):
    adapter = foreign.login()
    assert read(adapter, "select 1").value == 1
    adapter.close()


# Rights that come later --------------------------------------------------------------------------------------------

FILE = "select pg_read_file('PG_VERSION')"


def test_a_warm_session_is_closed_when_its_login_gained_rights(place):
    adapter = place.login()
    read(adapter, "select 1")
    place.as_owner("grant pg_read_server_files to somebody", "grant execute on function pg_read_file(text) to somebody")
    adapter._judged_at -= RIGHTS_HOLD
    assert not adapter.reset()
    with pytest.raises(UnsafeRoleError, match="pg_read_server_files"):
        read(adapter, FILE)
    adapter.close()


def test_a_session_that_was_looked_at_again_is_as_new_and_stays_warm(place):
    adapter = place.login()
    backend = read(adapter, "select pg_backend_pid(), set_config('my.own', 'kept', false)").value
    adapter._judged_at -= RIGHTS_HOLD
    assert adapter.reset()
    answer = read(adapter, "select pg_backend_pid(), current_setting('my.own', true)")
    assert answer.rows == [[backend, ""]]
    adapter.close()
