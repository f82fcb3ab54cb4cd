"""Where the client goes, and where it does not: judged addresses, and redirects."""

from typing import Any

import pytest

from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import EgressDeniedError, InvalidError, ProtocolError, TLSError
from tests.adapters.http.support import Preview, closed_port, connect, once
from tests.servers.http import OrderAPI, Reply

# Egress -------------------------------------------------------------------------------------------------------------


def test_an_address_that_may_not_be_reached_gets_no_packet(api):
    with pytest.raises(EgressDeniedError) as caught:
        Preview(connect(api.url, egress=EgressPolicy()), {})
    assert caught.value.field == "/config/base_url"
    assert api.seen == []


def test_every_address_of_a_name_is_judged_at_every_connection(api):
    answers = [["127.0.0.1"], ["127.0.0.1", "169.254.169.254"]]
    asked = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    adapter = once(f"http://api.example:{api.port}/v1", egress=EgressPolicy(loopback=True, resolver=resolver))
    assert Preview(adapter, {"path": "all"}, limit=1).rows
    assert api.seen[0].headers["host"] == f"api.example:{api.port}"
    adapter.close()
    with pytest.raises(EgressDeniedError):
        Preview(adapter, {"path": "all"})
    assert len(api.seen) == 1


def test_proxies_netrc_and_certificates_of_the_environment_are_not_used(secure_api, authority, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ambient password CANARY")
    (tmp_path / "ca.pem").write_text(authority.certificate)
    proxy = f"http://127.0.0.1:{closed_port()}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    with pytest.raises(TLSError):
        Preview(connect(secure_api.url), {"path": "me"})
    assert Preview(connect(secure_api.url, tls={"ca": authority.certificate}), {"path": "me"}).rows == [["reader"]]
    assert "authorization" not in secure_api.seen[0].headers


def test_cookies_are_not_kept(api):
    api.routes["/v1/x"] = lambda seen: Reply.json([1], Set_Cookie="session=1; Path=/")
    adapter = connect(api.url)
    for _ in range(2):
        Preview(adapter, {"path": "x"})
        assert adapter.reset()
    assert "cookie" not in api.seen[1].headers


def test_a_connection_is_used_again_and_one_that_ended_is_not(api):
    adapter = connect(api.url)
    for _ in range(3):
        Preview(adapter, {"path": "all"})
    assert api.connections == 1
    Preview(adapter, {"path": "lines"}, limit=1)
    Preview(adapter, {"path": "all"})
    assert api.connections <= 2
    adapter.close()
    adapter.close()
    assert not adapter.reset()


# Redirects ----------------------------------------------------------------------------------------------------------

LOGIN: dict[str, Any] = {
    "auth": {"kind": "header", "name": "X-API-Key", "value": "CANARY"},
    "headers": {"X-Tenant": "CANARY"},
}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed_unless_asked(api, status):
    api.routes["/v1/x"] = lambda seen: Reply(status, b"", {"Location": f"{api.url}/all"})
    with pytest.raises(ProtocolError, match="redirects") as caught:
        Preview(connect(api.url), {"path": "x"})
    assert caught.value.field == "/config/base_url"
    assert len(api.seen) == 1
    assert len(Preview(connect(api.url, follow_redirects=True), {"path": "x"}).rows) == 40


def test_a_redirect_elsewhere_takes_no_login_along(api):
    with OrderAPI() as other:  # another port is another origin
        api.routes["/v1/x"] = lambda seen: Reply(302, b"", {"Location": f"{other.url}/all", "Set-Cookie": "a=1"})
        adapter = connect(api.url, follow_redirects=True, **LOGIN)
        assert len(Preview(adapter, {"path": "x", "params": {"q": "1"}}).rows) == 40
        assert api.seen[0].headers["x-api-key"] == "CANARY"
        assert "CANARY" not in repr(other.seen)
        assert "cookie" not in other.seen[0].headers
        assert Preview(adapter, {"path": "all"}).rows
        assert api.seen[-1].headers["x-tenant"] == "CANARY"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/x",
        "http://2130706433/",
        "http://[::ffff:169.254.169.254]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user:pw@127.0.0.1/",
        "http://",
        "http://exa mple/",
        "",
    ],
)
def test_redirects_lead_to_judged_http_addresses_only(api, location):
    api.routes["/v1/x"] = lambda seen: Reply(302, b"", {"Location": location})
    with pytest.raises((EgressDeniedError, ProtocolError, InvalidError)):
        Preview(connect(api.url, follow_redirects=True, **LOGIN), {"path": "x"})


def test_redirects_end_do_not_lose_tls_and_do_not_repeat_a_post(api, secure_api, authority):
    api.routes["/v1/x"] = lambda seen: Reply(302, b"", {"Location": "/v1/x"})
    with pytest.raises(ProtocolError, match="five"):
        Preview(connect(api.url, follow_redirects=True), {"path": "x"})
    assert len(api.seen) == 6
    api.routes["/v1/x"] = lambda seen: Reply(307, b"", {"Location": "/v1/all"})
    with pytest.raises(ProtocolError, match="POST"):
        Preview(connect(api.url, follow_redirects=True, allow_post=True), {"path": "x", "method": "POST"})
    secure_api.routes["/v1/x"] = lambda seen: Reply(302, b"", {"Location": f"{api.url}/all"})
    with pytest.raises(ProtocolError, match="without TLS"):
        Preview(connect(secure_api.url, follow_redirects=True, tls={"ca": authority.certificate}), {"path": "x"})
