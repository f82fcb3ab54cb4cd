"""Rows whose counters were edited to the last number that a column holds."""

from __future__ import annotations

import pytest

from connections.models import Connection, ConnectionSecrets, OrganisationKey
from connections.services import connections, vault
from connections.services.counters import LAST
from tests.catalogue import CANARY, Tenant
from tests.services.test_rings_that_do_not_fit import AGAIN, PATH, make, said, stored


def test_rekeying_goes_on_beside_a_secret_that_names_the_last_version(acme: Tenant, globex: Tenant):
    make(acme)
    make(acme, "Other")
    make(globex)
    ConnectionSecrets.objects.filter(connection__slug="warehouse", organisation=acme.organisation).update(
        key_version=LAST
    )
    for arguments in (("--org", "acme"), ("--all",), ("--all", "--dry-run")):
        text, failure = said("keys", "rekey", *arguments)
        assert "1 do not open and were left as they are" in text
        assert failure == "Left as they are, or in part: acme."
    assert stored(acme, "other") == stored(globex) == {"password": CANARY}
    assert vault.problem(connections.get(acme.actor(), "warehouse"))
    assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 200
    assert stored(acme) == {"password": "again"}


def test_rekeying_goes_on_beside_an_organisation_whose_key_has_the_last_version(acme: Tenant, globex: Tenant):
    make(acme)
    make(globex)
    OrganisationKey.objects.filter(organisation=acme.organisation).update(version=LAST)
    text, failure = said("keys", "rekey", "--all")
    assert "acme was left as it is" in text
    assert failure == "Left as they are, or in part: acme."
    assert stored(globex) == {"password": CANARY}
    answer = acme.api("editor")("PATCH", PATH, AGAIN)
    assert (answer.status_code, answer.json()["code"]) == (409, "locked")


@pytest.mark.parametrize("column", ["version", "access_version", "secrets_generation", "staged_generation"])
def test_a_connection_with_a_counter_at_its_end_says_so_and_can_be_deleted(acme: Tenant, column: str):
    row = make(acme)
    Connection.objects.filter(pk=row.pk).update(**{column: LAST})
    if column == "secrets_generation":
        ConnectionSecrets.objects.update(generation=LAST)
    answer = acme.api("editor")("PATCH", PATH, AGAIN)
    assert (answer.status_code, answer.json()["code"]) == (409, "locked")
    assert "Clone" in answer.json()["hint"]
    if column != "access_version":  # staging tells of no change of rights
        assert acme.api("editor")("POST", f"{PATH}secrets/stage/", AGAIN).status_code == 409
    if column == "version":
        assert acme.api("editor")("POST", f"{PATH}pause/", {"reason": "x"}).status_code == 409
        assert acme.api("editor")("PATCH", PATH, {"name": "Other"}).status_code == 409
    assert acme.api("editor")("GET", PATH).status_code == 200
    assert acme.api("editor")("POST", f"{PATH}clone/", {"name": "Copy"}).status_code == 201
    assert acme.api("editor")("DELETE", PATH).status_code == 204
