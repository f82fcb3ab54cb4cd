import pytest
from pydantic import ValidationError

from connections.adapters.errors import InvalidError
from connections.adapters.http.addresses import header_name, plain_base_url, relative_path
from connections.adapters.http.binding import bind
from connections.adapters.http.config import HTTPConfig
from connections.adapters.http.paging import beneath
from connections.adapters.http.query import HTTPQuery
from connections.adapters.schema import endpoint, secret_paths, split

BASE = "https://api.example.com/v1"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://API.Example.com:443/v1/", BASE),
        ("http://example.com:80", "http://example.com"),
        ("https://example.com:8443/a/b", "https://example.com:8443/a/b"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_a_base_url_has_one_spelling(written, meant):
    assert plain_base_url(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "api.example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "http+unix://%2frun%2fdocker.sock/",
        "https://user:pw@example.com",
        "https://example.com?key=1",
        "https://example.com#x",
        "https://example.com/..",
        "https://example.com/%2e%2e/x",
        "https://example.com//x",
        "https://example.com/a;b",
        "https://example.com\\@evil.example/",
        "https://example.com, evil.example/",
        "https://exa mple.com",
        "https://example.com\t.evil.example",
        "http://127.1",
        "http://2130706433",
        "http://0x7f000001",
        "http://[fe80::1%25lo]/",
        "https://example.com:0",
        "https://example.com:99999",
        "https://bücher.example",
        "https://",
    ],
)
def test_a_base_url_that_could_mean_another_place_is_refused(written):
    with pytest.raises(ValidationError) as caught:
        HTTPConfig.model_validate({"base_url": written})
    assert caught.value.errors()[0]["loc"] == ("base_url",)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "a/../b",
        "%2e%2e/x",
        "//evil.example/",
        "/\\evil",
        "a;b",
        "a?b",
        "a#b",
        "a//b",
        "a/./b",
        "a\nb",
        "a\x00b",
        "%",
    ],
)
def test_a_path_cannot_leave_the_base(path):
    with pytest.raises(ValidationError):
        HTTPQuery.model_validate({"path": path})
    with pytest.raises(ValidationError):
        HTTPConfig.model_validate({"base_url": BASE, "status_path": path})


def test_a_path_is_encoded_as_the_text_that_it_is():
    assert relative_path("/a b/é/{{7*7}}/") == "a%20b/%C3%A9/%7B%7B7*7%7D%7D/"
    assert bind(HTTPQuery.model_validate({"path": "/"}), {}, BASE).url == f"{BASE}/"
    assert bind(HTTPQuery.model_validate({}), {}, BASE).url == BASE


@pytest.mark.parametrize(
    "value", ["..", ".", "", "a/b", "a\\b", "%2e%2e", "a?b", "a#b", "a;b", "a\nb", None, [1], "\ud800"]
)
def test_a_parameter_in_the_path_is_one_plain_segment(value):
    query = HTTPQuery.model_validate({"path": ["orders", {"$parameter": "id"}]})
    assert bind(query, {"id": "a b@é"}, BASE).url == f"{BASE}/orders/a%20b@%C3%A9"
    with pytest.raises(InvalidError) as caught:
        bind(query, {"id": value}, BASE)
    assert caught.value.field == "/parameters/id"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Host",
            "authorization",
            "Proxy-Authorization",
            "Connection",
            "Transfer-Encoding",
            "Content-Length",
            "Cookie",
        ),
        *(
            "X-Forwarded-For",
            "x_forwarded_host",
            "X-WEBAUTH-USER",
            "X-HTTP-Method-Override",
            "Forwarded",
            "TE",
            "Upgrade",
        ),
        *("", "a b", "a:b", "a\r\nb", "é"),
    ],
)
def test_headers_that_are_the_clients_own_are_refused(name):
    with pytest.raises(ValueError):
        header_name(name)
    with pytest.raises(ValidationError):
        HTTPConfig.model_validate({"base_url": BASE, "headers": {name: "x"}})
    with pytest.raises(ValidationError):
        HTTPConfig.model_validate({"base_url": BASE, "auth": {"kind": "header", "name": name, "value": "x"}})


def test_header_values_hold_no_line_break_and_are_not_repeated():
    for settings in (
        {"headers": {"X-A": "CANARY\r\nX-B: 1"}},
        {"auth": {"kind": "bearer", "token": "CANARY\nx"}},
        {"auth": {"kind": "header", "name": "X-Key", "value": "CANARY\x00"}},
    ):
        with pytest.raises(ValidationError) as caught:
            HTTPConfig.model_validate({"base_url": BASE, **settings})
        assert "CANARY" not in str(caught.value)


def test_where_secrets_go_is_base_url_login_headers_tls_and_redirects():
    config, secrets = split(
        HTTPConfig.model_validate(
            {"base_url": BASE, "auth": {"kind": "basic", "user": "u", "password": "p"}, "headers": {"X-A": "1"}}
        )
    )
    assert set(endpoint(HTTPConfig, config)) == {"base_url", "auth", "headers", "tls", "follow_redirects"}
    assert endpoint(HTTPConfig, config)["auth"] == {"kind": "basic"}
    assert secrets == {"auth": {"password": "p"}}
    assert ("auth", "password") in secret_paths(HTTPConfig, config)


def test_a_pasted_url_becomes_base_url_and_login():
    found = HTTPConfig.parse_url("https://us%40er:p%3Aw%2F@api.example.com:8443/v1/")
    assert found == {
        "base_url": "https://api.example.com:8443/v1",
        "auth": {"kind": "basic", "user": "us@er", "password": "p:w/"},
    }
    assert HTTPConfig.parse_url("https://api.example.com") == {"base_url": "https://api.example.com"}
    for wrong in ("postgresql://CANARY@h", "https://CANARY:x@h?key=1", "https://u:CANARY@h/..", "https://u:CANARY@[::"):
        with pytest.raises(ValueError) as caught:
            HTTPConfig.parse_url(wrong)
        assert "CANARY" not in str(caught.value)


def test_https_without_verification_has_to_be_said_as_http():
    with pytest.raises(ValidationError):
        HTTPConfig.model_validate({"base_url": BASE, "tls": {"mode": "disable"}})


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1/next",
        "https://api.example.com:8443/v1/next",
        "https://evil.example/v1/next",
        "https://api.example.com.evil.example/v1",
        "https://api.example.com@evil.example/v1",
        "https://api.example.com/v2",
        "https://api.example.com/v10",
        "https://api.example.com/v1/../v2",
        "https://api.example.com/v1/%2e%2e/v2",
        "https://api.example.com/v1/a%2f..%2fb",
        "https://api.example.com/v1//x",
        "https://api.example.com/v1\\x",
        "https://api.example.com/v1/x#y",
        "https://api.example.com/v1/ x",
        "//api.example.com/v1/x",
    ],
)
def test_a_link_that_leads_away_is_not_beneath_the_base(url):
    assert beneath(BASE, f"{BASE}/next?page=2&q=//..%2f")
    assert beneath(BASE, f"{BASE}?page=2")
    assert not beneath(BASE, url)
