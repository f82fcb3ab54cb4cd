"""``manage.py organisation create`` makes a place that its administrator can use at once."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from connections.models import Connection, Event, Membership, Organisation
from connections.services import connections, tenancy
from connections.services.connections import Change

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> Any:
    return get_user_model()._default_manager.create_user("ann", password="a long word")


def create(slug: str, name: str = "Acme", admin: str = "ann") -> str:
    out = StringIO()
    call_command("organisation", "create", slug, name=name, admin=admin, stdout=out)
    return out.getvalue()


def test_the_administrator_can_save_a_connection_with_a_secret(person: Any):
    assert "ann is its administrator" in create("acme")
    actor = tenancy.actor_of(person, "acme")
    config = {"host": "db.example.com", "database": "sales", "user": "reader"}
    connections.create(actor, "postgresql", Change(name="Sales", config=config, secrets={"password": "hunter2 pass"}))
    assert Connection.objects.get().secrets_generation == 1


def test_the_administrator_may_enter_the_admin_and_is_no_superuser(person: Any):
    create("acme")
    person.refresh_from_db()
    assert (person.is_staff, person.is_superuser) == (True, False)
    assert Membership.objects.get().role == "admin"


def test_it_is_on_record(person: Any):
    create("acme")
    found = Event.objects.order_by("at", "id").values_list("action", "actor_kind", "organisation__slug")
    assert list(found) == [("organisation.create", "system", "acme"), ("member.add", "system", "acme")]


@pytest.mark.parametrize(
    ("slug", "name", "admin", "complaint"),
    [
        ("a/../b", "Acme", "ann", "slug"),
        ("acme", "", "ann", "blank"),
        ("acme", "Acme", "nobody", "There is no active user nobody"),
    ],
)
def test_what_cannot_be_one_is_refused_and_nothing_is_made(
    person: Any, slug: str, name: str, admin: str, complaint: str
):
    with pytest.raises(CommandError, match=complaint):
        create(slug, name, admin)
    assert not Organisation.objects.exists()
    assert not Event.objects.exists()


def test_a_taken_slug_is_refused_and_changes_nothing(person: Any):
    create("acme")
    with pytest.raises(CommandError, match="There is an organisation acme already"):
        create("acme", "Another")
    assert Organisation.objects.get().name == "Acme"
