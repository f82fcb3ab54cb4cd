"""What a source's author tells the suite: the far side, queries of known rows, and what does not apply."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import getattr_static
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from connections.adapters.base import Adapter
from connections.adapters.contract import Environment, Result
from connections.adapters.egress import EgressPolicy
from connections.adapters.limits import Deadline
from connections.adapters.registry import registry

Settings = dict[str, Any]
AdapterClass = type[Adapter[Any, Any]]
Test = TypeVar("Test", bound=Callable[..., None])

ROWS = 25
"""Rows of ``ordered_query``."""
SECONDS = 20.0
"""How long anything healthy may take."""
SPECIAL = "p@s:s/w?#r%41 [d];{e}'f\"g\\"
"""Every character that some driver, URL or connection string has been known to read as syntax."""
UNICODE_NAME = 'Größe "中" `я` 5%'
UNICODE_TEXT = "naïve Ω 漢字 😀 \u202e"

TOPICS = {
    "docs_url": "the vendor's documentation",
    "driver": "a third-party driver",
    "network": "a host and a port",
    "wrong_password": "a login that can be rejected",
    "missing_database": "a database, folder or the like that can be missing",
    "forbidden_query": "an object that the login may not read",
    "writing_query": "a query that would write",
    "slow_query": "a query that takes longer than anybody waits",
    "endless_query": "a query whose rows never end",
    "unicode_query": "names in any language",
    "duplicate_names_query": "two columns of one name",
    "empty_query": "columns without rows",
    "tables": "a list of what can be read",
    "unicode_table": "tables with any name",
    "parameters": "values that a caller sends beside the query",
    "special_password": "a password, key or token",
    "special_user": "a user name",
    "session": "a session that a query can change",
    "running": "a count of what runs at the server",
}
"""What a source may lack. Its conformance class says which in ``not_applicable``, and why."""


def about(topic: str) -> Callable[[Test], Test]:
    """Mark a test as being about one topic, so that a source without it does not have the test."""

    def mark(test: Test) -> Test:
        test.topic = topic  # type: ignore[attr-defined]
        return test

    return mark


def owed(what: str, topic: str | None = None) -> Any:
    """A fixture that the subclass gives, unless it lacks ``topic``. Each test that wants it fails until then."""

    def missing(self: Any, request: pytest.FixtureRequest) -> None:
        pytest.fail(f"{type(self).__name__} does not give the fixture {request.fixturename}: {what}", pytrace=False)

    made = pytest.fixture(missing)
    OWED.append((made, what, topic))
    return made


OWED: list[tuple[Any, str, str | None]] = []
"""The fixtures that subclasses give, what each is, and the topic that it is for."""


class Subject:
    """The source under test. Subclasses set the class variables and override the fixtures."""

    source: ClassVar[str]
    steps: ClassVar[tuple[str, ...]] = ()
    """The steps that a healthy check walks, in order."""
    endpoint_fields: ClassVar[tuple[str, ...]] = ()
    """The settings that decide where secrets go, as dotted paths in the order of the schema."""
    not_applicable: ClassVar[Mapping[str, str]] = {}
    """Topics that this source lacks, each with the reason."""
    special_user_text: ClassVar[str] = SPECIAL
    """What a user name may be at its strangest, where the source forbids some of the characters."""

    settings = owed("settings (config and secrets in one dict) that work.")
    ordered_query = owed(f"a query of exactly {ROWS} rows, in order; the first column of each is 1, 2, … {ROWS}.")
    bad_query = owed("a query that fits the schema and that the source rejects.")
    nulls_query = owed("a query whose first row is null in every column: one column of each type.")
    empty_query = owed("a query of at least one column and no rows.", "empty_query")
    duplicate_names_query = owed(
        "a query of one row with two columns of one name and the values 1 and 2.", "duplicate_names_query"
    )
    unicode_query = owed(
        "a query of one row and one column: the name is UNICODE_NAME, the value UNICODE_TEXT.", "unicode_query"
    )
    unicode_table = owed("the path of a table whose name is UNICODE_NAME.", "unicode_table")
    wrong_password = owed("the settings with a password (key, token) that is wrong.", "wrong_password")
    missing_database = owed("the settings with a database (folder, …) that does not exist.", "missing_database")
    forbidden_query = owed("a query of an object that the login may not read.", "forbidden_query")
    writing_query = owed("a query that would change something at the source.", "writing_query")
    slow_query = owed("a query that does not answer within a minute.", "slow_query")
    endless_query = owed("a query whose rows never end, so that whoever reads on would never return.", "endless_query")
    table_path = owed(f"the path of a table with the rows of ordered_query, {ROWS} of them.", "tables")
    parameter_query = owed(
        "a query that answers one row and one column: the text given as parameter `value`.", "parameters"
    )
    log_in_with_password = owed(
        "a function from a password to settings whose login has it at the server.", "special_password"
    )
    log_in_with_user = owed("a function from a user name to settings whose login has it at the server.", "special_user")
    session_queries = owed("two queries: one changes the session, the other's rows show it.", "session")
    running = owed("a function that counts how many of slow_query run at the server now.", "running")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        unknown = set(cls.not_applicable) - set(TOPICS)
        if unknown:
            raise TypeError(f"{cls.__name__}.not_applicable names {sorted(unknown)}; the topics are {sorted(TOPICS)}.")
        for name in dir(cls):
            if getattr(getattr(cls, name), "topic", None) in cls.not_applicable:
                setattr(cls, name, None)  # pytest collects functions only

    def at(self, settings: Settings, host: str, port: int) -> Settings:
        """``settings`` with another far side, and a connect timeout of a second."""
        return {**settings, "host": host, "port": port, "connect_timeout": 1}

    @pytest.fixture
    def root(self) -> Path | None:
        """The organisation's folder, for sources that read files."""
        return None

    @pytest.fixture
    def environment(self, root: Path | None, tmp_path: Path) -> Environment:
        scratch = tmp_path / "scratch"
        scratch.mkdir(mode=0o700)
        return Environment(EgressPolicy(loopback=True), root=root, scratch=scratch)

    @pytest.fixture
    def adapter(self, settings: Settings, environment: Environment) -> Iterator[Adapter[Any, Any]]:
        with self.open(settings, environment) as adapter:
            yield adapter

    @classmethod
    def still_owed(cls) -> list[str]:
        """The fixtures that this class has to give and does not, each with what it is."""
        found = []
        for fixture, what, topic in OWED:
            name = next(name for name, value in vars(Subject).items() if value is fixture)
            if topic not in cls.not_applicable and getattr_static(cls, name) is fixture:
                found.append(f"{name}: {what}")
        return found

    # What the tests use ----------------------------------------------------------------------------------------

    @classmethod
    def adapter_class(cls) -> AdapterClass:
        return registry[cls.source]

    @contextmanager
    def open(self, settings: Settings, environment: Environment) -> Iterator[Adapter[Any, Any]]:
        """An adapter for ``settings``, closed at the end."""
        kind = self.adapter_class()
        adapter = kind(kind.config_class.model_validate(settings), environment)
        try:
            yield adapter
        finally:
            adapter.close()


def start(
    adapter: Adapter[Any, Any],
    query: Settings,
    *,
    limit: int = 100,
    offset: int = 0,
    count: bool = False,
    parameters: Settings | None = None,
    seconds: float = SECONDS,
) -> Result:
    """The result of ``query``, its rows not yet fetched."""
    return adapter.read(
        type(adapter).query_class.model_validate(query),
        parameters or {},
        limit=limit,
        offset=offset,
        count=count,
        deadline=Deadline.after(seconds),
    )


def read(adapter: Adapter[Any, Any], query: Settings, **options: Any) -> list[list[Any]]:
    """All rows of ``query`` that the adapter gives, the one over the limit among them."""
    return [list(row) for batch in start(adapter, query, **options).batches for row in batch]


def until(true: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for ``true``, at most ``seconds``."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"This was not so within {seconds} s."
        time.sleep(0.05)
