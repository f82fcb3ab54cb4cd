"""What a process has loaded: a registry without sources, sources without drivers, a web process without either's."""

from __future__ import annotations

import pytest

from connections.testing import fresh
from tests.testing.plugged import python

SHOW = "\nimport sys; print(*sorted(name for name in sys.modules))"
# What the catalogue's own tables may be kept with. Django REST framework loads it, whatever database is in use.
OWN = {"psycopg"}
DJANGO = ("django", "rest_framework")


def loaded(code: str) -> set[str]:
    """The modules that ``code`` leaves loaded in a fresh process."""
    done = python("-c", code + SHOW)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_registry_imports_no_source() -> None:
    names = loaded("from connections.adapters.registry import registry; list(registry)")
    assert [name for name in names if name.startswith("connections.sources.")] == []


def test_asking_for_one_source_imports_that_one() -> None:
    names = loaded("from connections.adapters.registry import registry; registry['sqlite']")
    sources = {name.split(".")[2] for name in names if name.startswith("connections.sources.")}
    assert sources == {"sqlite"}


def test_importing_every_source_imports_no_driver() -> None:
    names = loaded("from connections.adapters.registry import registry; assert len(list(registry.healthy())) > 4")
    assert names.isdisjoint(fresh.DRIVERS)


@pytest.mark.parametrize("package", ["connections.adapters.registry", "connections.runner.supervisor"])
def test_adapters_sources_and_the_runner_know_no_django(package: str) -> None:
    names = loaded(f"import {package}\nfrom connections.adapters.registry import registry\nlist(registry.healthy())")
    assert names.isdisjoint(DJANGO)


def test_the_web_process_has_loaded_no_driver_but_its_databases() -> None:
    names = loaded("import catalog_project.wsgi\nfrom django.urls import get_resolver\nget_resolver().url_patterns")
    assert "connections.api.urls" in names
    assert names & set(fresh.DRIVERS) <= OWN


def test_listing_the_sources_loads_no_driver() -> None:
    code = """
import catalog_project.wsgi
from connections.services import sources
for entry in sources.summaries():
    sources.detail(entry["id"])
"""
    assert loaded(code) & set(fresh.DRIVERS) <= OWN
