"""PostgreSQL over TLS: what is verified, and what each refusal says."""

import pytest

from connections.adapters.contract import Step
from connections.adapters.errors import AdapterError, TLSError
from connections.adapters.limits import Deadline
from tests.servers.authority import Authority
from tests.sources.postgresql import adapter_of
from tests.sources.reading import read


def tls(authority: Authority, mode: str = "verify-full") -> dict[str, str]:
    return {"mode": mode, "ca": authority.certificate}


def refused(adapter) -> AdapterError:
    """The error of a preview, after making sure that a check finds the same at its step `tls`."""
    with pytest.raises(AdapterError) as caught:
        read(adapter, "select 1")
    found = list(adapter.check(Deadline.after(10)))
    failed = [item for item in found if isinstance(item, Step) and item.ok is False]
    assert [(str(step.name), step.code) for step in failed] == [("tls", caught.value.code)]
    adapter.close()
    return caught.value


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_trusted_certificate_is_accepted(postgresql_tls, authority, host, mode):
    adapter = adapter_of(postgresql_tls, host=host, tls=tls(authority, mode))
    assert read(adapter, "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()").rows == [
        [True, "TLSv1.3"]
    ]
    adapter.close()


def test_the_tls_step_tells_version_and_expiry(postgresql_tls, authority):
    adapter = adapter_of(postgresql_tls, host="localhost", tls=tls(authority))
    steps = {str(step.name): step for step in adapter.check(Deadline.after(10)) if isinstance(step, Step)}
    assert all(step.ok for step in steps.values())
    assert "TLSv1.3" in (steps["tls"].detail or "")
    assert "expires 20" in (steps["tls"].detail or "")
    assert [notice.code for notice in adapter.notices()] == []
    adapter.close()


def test_an_unknown_authority_is_refused(postgresql_tls):
    error = refused(adapter_of(postgresql_tls, host="localhost", tls={"mode": "verify-full"}))
    assert isinstance(error, TLSError)
    assert isinstance(refused(adapter_of(postgresql_tls, host="localhost", tls={"mode": "verify-ca"})), TLSError)


def test_another_authority_is_refused(postgresql_tls):
    assert refused(adapter_of(postgresql_tls, host="localhost", tls=tls(Authority()))).field == "/config/tls"


def test_a_certificate_for_another_name_is_refused_unless_only_the_authority_counts(postgresql_wrong_name, authority):
    assert isinstance(refused(adapter_of(postgresql_wrong_name, host="localhost", tls=tls(authority))), TLSError)
    adapter = adapter_of(postgresql_wrong_name, host="localhost", tls=tls(authority, "verify-ca"))
    assert read(adapter, "select 1").value == 1
    adapter.close()


def test_an_expired_certificate_is_refused(postgresql_expired, authority):
    assert isinstance(refused(adapter_of(postgresql_expired, host="localhost", tls=tls(authority))), TLSError)


def test_a_ca_that_is_no_certificate_is_said(postgresql_tls):
    error = refused(adapter_of(postgresql_tls, host="localhost", tls={"mode": "verify-full", "ca": "not a PEM"}))
    assert isinstance(error, TLSError)


def test_a_server_that_wants_tls_says_so(postgresql_tls):
    adapter = adapter_of(postgresql_tls, tls={"mode": "disable"})
    with pytest.raises(TLSError) as caught:
        read(adapter, "select 1")
    assert "TLS" in (caught.value.hint or "")
    adapter.close()


def test_certificate_files_are_gone_after_the_login(postgresql_tls, authority):
    adapter = adapter_of(postgresql_tls, host="localhost", tls=tls(authority))
    read(adapter, "select 1")
    assert list(adapter.scratch().iterdir()) == []
    adapter.close()


def test_xml_comes_as_its_text(postgresql_tls, authority):
    adapter = adapter_of(postgresql_tls, host="localhost", tls=tls(authority))
    answer = read(adapter, "select '<a b=\"1\"/>'::xml")
    assert (answer.types, answer.columns[0].native_type, answer.value) == (["string"], "xml", '<a b="1"/>')
    adapter.close()
