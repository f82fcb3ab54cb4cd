"""What every test shares: the real servers, and the rule that CI skips nothing."""

import os
import sys
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

pytest_plugins = ["tests.servers.fixtures", "connections.testing.plugin", "connections.testing.leaks"]
if "connections.runner.supervisor" in sys.modules or find_spec("connections.runner.supervisor"):
    pytest_plugins.append("tests.catalogue")

CI = os.environ.get("CI") == "true"


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that gives the skip's reason. An expected failure is no skip."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: skipped, and CI allows no skip. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if CI:
        refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if CI:
        refuse_skip(report)
    return report


def pytest_configure() -> None:
    """Hash passwords fast: tests make many people, and guess none of their passwords."""
    from django.conf import settings

    from connections.services import walls

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    walls.work_for_platform()  # what a test does itself; each request that it makes starts with nobody's rows


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """SQLite's tests are on a file, as users' catalogues are: in memory, tables are locked by their readers."""
    from django.db import connection

    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(tmp_path_factory.mktemp("catalogue") / "tests.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """As pytest-django's. With row security on, PostgreSQL's wall stands around the tests' tables too.

    Tests that commit end with an empty database, the record included, as nobody else can have it.
    """
    from django.apps import apps
    from django.conf import settings
    from django.db import connection

    from connections.models import row_security
    from connections.testing.emptying import emptied_with_the_rest

    if settings.CATALOG_ROW_SECURITY:
        with django_db_blocker.unblock():
            row_security.build(connection, apps)
    with emptied_with_the_rest():
        yield


@pytest.fixture(autouse=True)
def _for_the_platform(django_db_blocker: Any) -> None:
    """What an earlier test worked for is over."""
    from connections.services import walls

    with django_db_blocker.unblock():
        walls.leave()
