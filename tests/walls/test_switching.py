"""Row security is switched on and off by an operator, and a wall that is none is told of loudly."""

from __future__ import annotations

from pathlib import Path

from tests.walls.conftest import Walled

LOOK = """
import django; django.setup()
from django.core.management import CommandError, call_command
from django.test import Client
try:
    call_command("check", databases=["default"])
    print("CHECKED")
except CommandError as exc:
    print("REFUSED", exc)
answer = Client().get("/readyz")
print(answer.status_code, answer.json()["database"])
"""


RECORDED = """
import django; django.setup()
from connections.models import Event
from connections.services import walls
walls.work_for_platform()
rows = Event.objects.filter(action__startswith="rowsecurity.").order_by("at", "pk")
print([(row.action, row.organisation_id, row.actor_label, row.result) for row in rows])
"""


def look(walled: Walled, setting: str, url: str = "") -> str:
    """What the system check and ``/readyz`` say."""
    return walled.run("-c", LOOK, url=url, setting=setting)[1]


def switch(walled: Walled, verb: str, setting: str, url: str = "") -> tuple[int, str]:
    return walled.run("manage.py", "rowsecurity", verb, url=url, setting=setting)


def test_the_wall_is_put_up_and_taken_down_and_settings_that_differ_are_told(walled: Walled) -> None:
    assert walled.run("manage.py", "migrate", "-v0", setting="off") == (0, "")
    told = look(walled, "off")
    assert "CHECKED" in told
    assert "'in_force': False" in told

    status, told = switch(walled, "enable", "off")
    assert status != 0
    assert "CATALOG_ROW_SECURITY is off" in told
    told = look(walled, "on")
    assert "REFUSED" in told
    assert "no wall stands around connections_apikey" in told
    assert "rowsecurity enable" in told
    assert "\n503 " in told, "a process that is to have a second wall is not ready before the wall stands"
    assert "no wall stands around connections_apikey" in told.partition("\n503 ")[2]

    status, told = switch(walled, "enable", "on")
    assert status == 0, told
    assert "tables are walled, 0 are not" in told
    told = look(walled, "on")
    assert "CHECKED" in told
    assert "\n200 " in told
    assert "'in_force': True" in told

    told = look(walled, "off")
    assert "nothing will be found" in told
    assert "\n503 " in told
    told = look(walled, "on", url=walled.superuser_url)
    assert "REFUSED" in told
    assert "\n503 " in told
    assert "passes every wall: it has superuser" in told
    assert "'in_force': False" in told
    assert switch(walled, "status", "on", url=walled.superuser_url)[0] == 1

    assert switch(walled, "disable", "on")[0] == 0
    told = look(walled, "off")
    assert "CHECKED" in told
    assert "'in_force': False" in told
    recorded = [(f"rowsecurity.{verb}", None, "terminal", "ok") for verb in ("enable", "disable")]
    assert str(recorded) in walled.run("-c", RECORDED, setting="off")[1]


def test_only_postgresql_has_the_wall(walled: Walled, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalogue.sqlite3"
    told = look(walled, "on", url=url)
    assert "the database has no row security" in told
    assert "\n503 " in told
    status, told = switch(walled, "enable", "on", url=url)
    assert status != 0
    assert "not in PostgreSQL" in told
