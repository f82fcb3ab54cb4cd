"""Starting without usable keys is refused, by a system check and by a call."""

import base64
import hashlib

import pytest
from django.core.exceptions import ImproperlyConfigured

from connections.sealing.checks import check_keys, require_keys
from connections.sealing.keyring import SAMPLE_KEYS, make_entry

GOOD = make_entry("k1")


def own(key: bytes) -> str:
    return "k1:" + base64.urlsafe_b64encode(key).decode()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (None, "catalog.E001"),
        ("", "catalog.E001"),
        ("no-key-in-here", "catalog.E002"),
        ("k1:c2hvcnQ", "catalog.E003"),
        (f"{GOOD},{GOOD}", "catalog.E004"),
        (own(b"a-secret-key-of-decent-length-0123456789"), "catalog.E005"),
        (own(hashlib.sha256(b"a-secret-key-of-decent-length-0123456789").digest()), "catalog.E005"),
        (SAMPLE_KEYS, "catalog.E006"),
    ],
    ids=["missing", "empty", "no key", "short", "repeated", "the secret key", "its hash", "the sample"],
)
def test_an_unusable_ring_is_an_error_of_its_own_id_and_stops_processes_without_checks(settings, keys, expected):
    settings.SECRET_KEY = "a-secret-key-of-decent-length-0123456789"
    settings.CATALOG_KEYS = keys
    errors = check_keys(None)
    assert [error.id for error in errors] == [expected]
    assert errors[0].is_serious()
    with pytest.raises(ImproperlyConfigured) as caught:
        require_keys()
    if keys:
        assert keys.rpartition(":")[2][:7] not in str(caught.value)


def test_a_deployment_without_the_setting_is_refused(settings):
    del settings.CATALOG_KEYS
    assert [error.id for error in check_keys(None)] == ["catalog.E001"]


def test_a_good_ring_passes(settings):
    settings.CATALOG_KEYS = GOOD
    assert check_keys(None) == []
    require_keys()
