"""Who the far side is, as the client finds out over real TLS."""

from typing import Any

import pytest

from connections.adapters import tls
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError, InvalidError, TLSError
from tests.adapters.http.support import Preview, answering, check, connect
from tests.servers.authority import LOOPBACK, Authority
from tests.servers.http import TOKEN, OrderAPI, RawServer
from tests.servers.tls import loose_ssl, old_context


def test_a_trusted_certificate_is_accepted_and_told(secure_api, authority):
    adapter = connect(secure_api.url, tls={"ca": authority.certificate})
    assert Preview(adapter, {"path": "me"}).rows == [["reader"]]
    steps, error = check(adapter)
    assert error is None
    detail = next(step.detail for step in steps if step.name == "tls")
    assert detail is not None
    assert detail.startswith("TLSv1.3")
    assert "expires 20" in detail
    assert adapter.notices() == []


@pytest.mark.parametrize(
    ("names", "days", "trusted", "words"),
    [
        (LOOPBACK, 1, False, "unable to get local issuer|self.signed"),
        (("elsewhere.example",), 1, True, "mismatch"),
        (LOOPBACK, -1, True, "expired"),
    ],
)
def test_a_certificate_that_is_unknown_expired_or_anothers_is_refused(authority, names, days, trusted, words):
    ca = (authority if trusted else Authority("Another")).certificate
    with OrderAPI(authority.server(*names, days=days)) as api:
        for read in (lambda a: Preview(a, {"path": "me"}), lambda a: raising(check(a)[1])):
            with pytest.raises(TLSError, match=words) as caught:
                read(connect(api.url, tls={"ca": ca}, auth={"kind": "bearer", "token": TOKEN}))
            assert caught.value.step == "tls"
        assert api.seen == []


def raising(error: AdapterError | None) -> None:
    if error is not None:
        raise error


def test_without_verification_a_notice_says_so(authority):
    with OrderAPI(authority.server("elsewhere.example")) as api:
        adapter = connect(api.url, tls={"mode": "require"})
        assert Preview(adapter, {"path": "me"}).rows == [["reader"]]
        assert [notice.code for notice in adapter.notices()] == ["tls_unverified"]


def test_a_name_is_checked_though_the_address_is_pinned(authority):
    policy = EgressPolicy(loopback=True, resolver=lambda host, port: ["127.0.0.1"])
    with OrderAPI(authority.server("api.example")) as api:
        settings: dict[str, Any] = {"tls": {"ca": authority.certificate}, "egress": policy}
        good = connect(f"https://api.example:{api.port}/v1", **settings)
        assert Preview(good, {"path": "me"}).rows == [["reader"]]
        with pytest.raises(TLSError, match="mismatch"):
            Preview(connect(f"https://other.example:{api.port}/v1", **settings), {"path": "me"})


def test_a_client_certificate_is_shown_where_it_is_asked_for(authority, tmp_path):
    client = authority.client("reader")
    mine = {"certificate": client.certificate, "key": client.key}
    with OrderAPI(authority.server(*LOOPBACK), client_authority=authority.certificate) as api:
        adapter = connect(api.url, tls={"ca": authority.certificate, **mine})
        assert Preview(adapter, {"path": "me"}).rows == [["reader"]]
        with pytest.raises(TLSError, match="client certificate") as caught:
            Preview(connect(api.url, tls={"ca": authority.certificate}), {"path": "me"})
        assert caught.value.field == "/secrets/tls/certificate"
        with pytest.raises((TLSError, InvalidError)) as broken:
            Preview(connect(api.url, tls={"ca": authority.certificate, **mine, "key": "CANARY"}), {"path": "me"})
        assert "CANARY" not in str(broken.value)


def test_https_to_a_server_without_tls_is_a_tls_error(api):
    with pytest.raises(TLSError):
        Preview(connect(api.url.replace("http:", "https:")), {"path": "me"})


def test_old_tls_is_refused_though_the_library_would_speak_it(authority, monkeypatch):
    monkeypatch.setattr(tls, "ssl", loose_ssl)
    context = old_context(authority.server(*LOOPBACK))
    with RawServer(answering(b""), context) as server, pytest.raises(TLSError):
        Preview(connect(server.url, tls={"ca": authority.certificate}), {})
