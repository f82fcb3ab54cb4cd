"""What every test shares: the real servers, and the rule that CI skips nothing."""

import os
import sys
from collections.abc import Generator
from importlib.util import find_spec

import pytest

pytest_plugins = ["tests.servers.fixtures", "connections.testing.plugin"]
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

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
