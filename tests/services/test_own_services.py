"""The catalogue's own services cannot be a source, whatever an organisation is allowed."""

import ipaddress
from typing import Any

import pytest

from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import EgressDeniedError
from connections.adapters.limits import Deadline
from connections.services import jobs, own

pytestmark = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")


@pytest.fixture
def deployed(settings: Any, acme: Any) -> Any:
    """A deployment with a database, caches and a name, whose organisation may reach every network."""
    settings.ALLOWED_HOSTS = ["catalogue.example", ".example.org", "8.8.4.4", "localhost", "127.0.0.1", "*"]
    settings.CATALOG_EGRESS_OWN = ["10.9.9.9/32"]
    settings.CACHES = {"default": {"BACKEND": "x", "LOCATION": "redis://:password@10.0.0.6:6380/1"}}
    settings.DATABASES = {
        **settings.DATABASES,
        "catalogue": {"ENGINE": "django.db.backends.postgresql", "HOST": "10.0.0.5", "PORT": ""},
        "archive": {"ENGINE": "django.db.backends.postgresql", "HOST": "/run/postgresql", "PORT": "5433"},
    }
    acme.organisation.egress = ["0.0.0.0/0", "::/0"]
    return EgressPolicy.from_dict(jobs.egress(jobs.terms(acme.organisation).openings))


@pytest.mark.parametrize(
    ("address", "port"),
    [("10.0.0.5", 5432), ("10.0.0.6", 6380), ("10.9.9.9", 1), ("8.8.4.4", 443), ("127.0.0.1", 5433)],
)
def test_where_the_catalogue_keeps_its_data_is_closed(deployed, address, port):
    with pytest.raises(EgressDeniedError):
        deployed.judge(ipaddress.ip_address(address), port)


def test_other_ports_and_hosts_stay_open(deployed):
    deployed.judge(ipaddress.ip_address("10.0.0.5"), 3306)
    deployed.judge(ipaddress.ip_address("10.0.0.7"), 5432)


def test_its_own_name_is_no_source_and_other_names_are(deployed):
    with pytest.raises(EgressDeniedError):
        deployed.reach("Catalogue.example.", 443, Deadline.after(5))
    assert own.look().names == ("catalogue.example",)


def test_no_password_of_an_own_service_is_in_the_policy(deployed):
    assert "password" not in str(deployed.as_dict())


def test_members_cannot_open_networks(acme):
    """Only the platform sets what an organisation may reach: no field of the API's takes it."""
    answer = acme.api("admin")("PATCH", "", {"egress": ["0.0.0.0/0"]})
    assert answer.status_code in (400, 404, 405)
    acme.organisation.refresh_from_db()
    assert acme.organisation.egress == []
