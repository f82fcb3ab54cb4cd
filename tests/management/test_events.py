"""``manage.py events``: what an operator sees, and several sealers and sweepers at once."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from connections.models import Event
from connections.services import events
from tests.catalogue import Tenant
from tests.management.conftest import AFTER, Catalogue

EVENTS = """
import django; django.setup()
from datetime import timedelta
from django.utils import timezone
from connections.models import Event, Organisation
from connections.services.sweeping import _first_id
then = timezone.now() - timedelta(hours=1)
for n, organisation in enumerate(Organisation.objects.all()):
    fields = dict(organisation=organisation, actor_kind="user", action="connection.preview", at=then)
    Event.objects.bulk_create([Event(**fields, result="ok", request_id=f"r{k}") for k in range(50)])
    Event.objects.create(**fields, pk=_first_id(then + timedelta(seconds=n)), result="started", request_id="orphan")
"""


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("events", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def sealed(acme: Tenant) -> Tenant:
    run("seal")
    return acme


def test_verify_prints_a_head_that_is_an_anchor_later(sealed: Tenant, tmp_path: Path):
    text = run("verify")
    assert re.search(r"^acme=1:[0-9a-f]{64} ok, \d+ events$", text, re.M)
    (tmp_path / "heads").write_text(text)
    events.record(sealed.actor("admin"), "thing.happen")
    assert ", 1 unsealed since 20" in run("verify", "--anchors", str(tmp_path / "heads"))
    run("seal")
    assert "acme=2:" in run("verify", "--anchors", str(tmp_path / "heads"))
    anchor = text.partition("acme=")[2].split()[0]
    assert "ok" in run("verify", "--chain", "acme", "--anchor", anchor)


@pytest.mark.parametrize("anchor", ["acme=9:" + "0" * 64, "acme=1:" + "0" * 64, "gone=1:" + "0" * 64])
def test_a_chain_that_an_anchor_does_not_fit_ends_with_an_error(sealed: Tenant, anchor: str):
    with pytest.raises(CommandError, match=r"1 of \d chains are not as they were sealed") as caught:
        run("verify", "--anchor", anchor)
    assert caught.value.returncode == 2


def test_what_is_no_anchor_and_no_chain_is_refused(sealed: Tenant):
    for arguments in (("--anchor", "acme"), ("--anchor", "1:00"), ("--chain", "nobody")):
        with pytest.raises(CommandError):
            run("verify", *arguments)


def test_several_sealers_and_sweepers_at_once_do_the_work_once(catalogue: Catalogue):
    status, text = catalogue.run(AFTER, "-c", EVENTS)
    assert status == 0, text
    running = [catalogue.start(AFTER, "manage.py", "events", verb) for verb in ("seal", "sweep", "seal", "sweep")]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert "events sealed" in catalogue.manage(AFTER, "events", "seal")
    ((ended,),) = catalogue.ask("select count(*) from connections_event where code = 'worker_crashed'")
    ((organisations,),) = catalogue.ask("select count(*) from connections_organisation")
    assert ended == organisations
    text = catalogue.manage(AFTER, "events", "verify")
    assert len(re.findall(" ok, 52 events$", text, re.M)) == organisations


def test_flush_does_not_empty_the_record(catalogue: Catalogue):
    assert catalogue.run(AFTER, "-c", EVENTS)[0] == 0
    catalogue.manage(AFTER, "events", "seal")
    before = catalogue.ask("select count(*) from connections_event")
    status, text = catalogue.run(AFTER, "manage.py", "flush", "--noinput")
    assert status == 1
    assert "couldn't be flushed" in text
    assert catalogue.ask("select count(*) from connections_event") == before
    assert catalogue.ask("select count(*) from connections_organisation") != [(0,)]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_chain_is_written_out_and_the_record_says_so(acme: Tenant, globex: Tenant, form: str):
    events.record(globex.actor("admin"), "thing.happen", label="Secret plans")
    text = run("export", "--chain", "acme", "--format", form)
    own = Event.objects.filter(organisation=acme.organisation)
    assert len(text.splitlines()) == own.count() + (form == "csv")
    assert "Secret plans" not in text
    told = own.get(action="record.export")
    assert (told.actor_kind, told.object_label, told.detail) == ("system", "acme", {"format": form})
    assert str(told.pk) in text


def test_the_platforms_chain_is_written_out_too(acme: Tenant):
    events.not_theirs([acme.actor("admin")], "connection.get", {"connection": "somewhere"})
    actions = [json.loads(line)["action"] for line in run("export", "--chain", "@platform").splitlines()]
    assert actions == ["record.export", "access.denied"]


def test_what_is_no_chain_is_not_written_out(acme: Tenant):
    with pytest.raises(CommandError, match="There is no chain nobody"):
        run("export", "--chain", "nobody")
