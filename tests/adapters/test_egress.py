"""Which addresses an adapter may reach: every spelling of every closed one, and the attempt that decides."""

import ipaddress
import socket
import threading
import time

import pytest

from connections.adapters import addresses
from connections.adapters.egress import MAX_ADDRESSES, EgressPolicy, Opening, require_host
from connections.adapters.errors import AdapterError, EgressDeniedError, InvalidError, UnreachableError
from connections.adapters.limits import Deadline
from connections.sources.http_api import HTTPAPIAdapter
from connections.sources.mysql import MySQLAdapter
from connections.sources.postgresql import PostgreSQLAdapter

CLOSED_V4 = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
    "168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
CLOSED_V6 = [
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::808:808", "64:ff9b:1::a9fe:a9fe", "100::1", "2001::1",
    "2001:0:7f00:1::", "2001:db8::1", "2001:10::1", "2001:20::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1",
    "5f00::1", "fc00::1", "fd00:ec2::254", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "ff0e::1", "4000::1",
]  # fmt: skip
OPEN = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1"]
EVERYTHING = tuple(Opening.parse(text) for text in ("0.0.0.0/0", "::/0"))

SPELLINGS = [
    "2130706433", "017700000001", "0177.0.0.1", "0x7f000001", "0x7f.0.0.1", "0X7F.1", "127.1", "127.0.1", "0", "00",
    "1", "127.0.0.01", "127.0.0.1.", "127.0.0.0x1", "①②⑦.⓪.⓪.①", "１２７.0.0.1", "127。0。0。1", "127．0．0．1",
    "127.0.0.1%00.example.com", "127.0.0.1 .example.com", "[::1]", "::1", "[::1%lo]", "fe80::1%eth0", "[::ffff:7f00:1]",
    "::ffff:127.0.0.1", "0:0:0:0:0:ffff:7f00:0001", "[127.0.0.1]", "%31%32%37.0.0.1", "127%2e0%2e0%2e1",
    "good.example#@127.0.0.1", "good.example\\@127.0.0.1", "user@127.0.0.1", "user:secret@127.0.0.1", "127.0.0.1:80",
    "127.0.0.1/x", "127.0.0.1?x", "127.0.0.1#x", "http://127.0.0.1", "//127.0.0.1", "127.0.0.1\t", "\n127.0.0.1",
    "127.0.0.1\r\nHost: x", "127.0.0.1\x00", " 127.0.0.1", "169.254.169.254.", "0xa9fea9fe", "2852039166",
    "0251.0376.0251.0376", "[fd00:ec2::254]",
    "a" * 254, ".", "..", "-", "a..b", "*", "_", "", " ", "localhost,127.0.0.1", "h1,h2", "h1;h2", "h1 h2",
    "/run/postgresql", "/var/run/mysqld/mysqld.sock", "@abstract", "./socket", "a,/run/x", "unix:/x", "http+unix://x",
    "localhost\\SQLEXPRESS", "jdbc:postgresql://127.0.0.1", "mongodb+srv://x", "(DESCRIPTION=(ADDRESS=(HOST=x)))",
    "{127.0.0.1}", "$HOME", "${jndi:ldap://x}", "{{7*7}}", "host=evil", "x?host=/tmp", "h'", 'h"', "h`", "пример.рф",
]  # fmt: skip
NAMES = ["localhost", "LOCALHOST", "LOCALHOST.", "localhost.localdomain", "xn--e1afmkfd.example", "evil.example"]


def inside(host: str, port: int) -> list[str]:
    """A resolver that finds loopback behind every name."""
    return ["127.0.0.1"]


@pytest.fixture
def listener():
    """A port of loopback, and a count of who came."""
    came: list[object] = []
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:

        def accept() -> None:
            while True:
                try:
                    came.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)


def assert_unrepeated(entered: str, said: str) -> None:
    """What was entered, perhaps with a password in it, is in no error."""
    assert entered not in said


@pytest.mark.parametrize("text", CLOSED_V4 + CLOSED_V6)
def test_a_closed_address_is_denied(text):
    with pytest.raises(EgressDeniedError):
        EgressPolicy().judge(ipaddress.ip_address(text), 5432)


@pytest.mark.parametrize("text", OPEN)
def test_a_public_address_is_allowed(text):
    EgressPolicy().judge(ipaddress.ip_address(text), 5432)


@pytest.mark.parametrize("spelling", SPELLINGS + NAMES)
def test_no_spelling_of_a_closed_place_is_connected_to(listener, spelling):
    port, came = listener
    with pytest.raises((EgressDeniedError, InvalidError)):
        EgressPolicy(resolver=inside).connect(spelling, port, Deadline.after(5))
    assert came == []


@pytest.mark.parametrize("kind", [PostgreSQLAdapter, MySQLAdapter, HTTPAPIAdapter])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_settings_take_plain_hosts_only(kind, spelling):
    settings = {"host": spelling, "database": "d", "user": "u"}
    if kind is HTTPAPIAdapter:
        settings = {"base_url": f"http://{spelling}"}
    try:
        config = kind.config_class.model_validate(settings)
    except ValueError as refused:
        if len(spelling) > 4:
            assert_unrepeated(spelling, str(refused))
        return
    # What is left is an address or a name in its standard spelling, for the judge.
    host = config.base_url.removeprefix("http://").split("/")[0] if kind is HTTPAPIAdapter else config.host
    if kind is HTTPAPIAdapter and host.rsplit(":", 1)[-1].isdigit() and not host.endswith("]"):
        host = host.rsplit(":", 1)[0]
    with pytest.raises((EgressDeniedError, InvalidError)):
        EgressPolicy(resolver=inside).reach(host, 80, Deadline.after(5))


@pytest.mark.parametrize(
    "host", ["db.example.com", "db.example.com.", "a_b.example", "10.1.2.3", "xn--bcher-kva.example"]
)
def test_plain_hosts_are_taken(host):
    assert require_host(host) == host


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "::1", "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192",
     "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "fe80::1", "0.0.0.0", "::",
     "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
     "64:ff9b:1::7f00:1", "2002:a9fe:a9fe::1", "2002:7f00:1::1", "::127.0.0.1"],
)  # fmt: skip
def test_no_allow_list_opens_loopback_or_metadata(text):
    with pytest.raises(EgressDeniedError):
        EgressPolicy(openings=EVERYTHING).judge(ipaddress.ip_address(text), 80)


def test_an_allow_list_opens_its_network_and_port_and_no_other():
    policy = EgressPolicy(openings=(Opening.parse("10.1.0.0/16:5432"), Opening.parse("[fd00:1::/32]:5432")))
    policy.judge(ipaddress.ip_address("10.1.2.3"), 5432)
    policy.judge(ipaddress.ip_address("fd00:1::5"), 5432)
    for text, port in (("10.1.2.3", 22), ("10.2.0.1", 5432), ("fd00:2::5", 5432), ("fd00:1::5", 80)):
        with pytest.raises(EgressDeniedError):
            policy.judge(ipaddress.ip_address(text), port)


def test_our_own_services_are_closed_though_their_network_is_open():
    own = (Opening.parse("10.0.0.5/32:5432"), Opening.parse("8.8.4.4/32"))
    policy = EgressPolicy(openings=EVERYTHING, own=own, loopback=True, own_names=("catalogue.example",))
    for text, port in (("10.0.0.5", 5432), ("8.8.4.4", 443), ("::ffff:10.0.0.5", 5432), ("64:ff9b::a00:5", 5432)):
        with pytest.raises(EgressDeniedError):
            policy.judge(ipaddress.ip_address(text), port)
    policy.judge(ipaddress.ip_address("10.0.0.5"), 3306)
    for name in ("catalogue.example", "Catalogue.Example", "CATALOGUE.example."):
        with pytest.raises(EgressDeniedError):
            policy.reach(name, 443, Deadline.after(5))


def test_this_hosts_own_addresses_are_loopback_by_another_name():
    """What listens on every address of the host (databases, metrics, ourselves) is not reached from inside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        own = ipaddress.ip_address(probe.getsockname()[0])
    with pytest.raises(EgressDeniedError):
        EgressPolicy(openings=EVERYTHING).judge(own, 8000)
    EgressPolicy(loopback=True).judge(own, 8000)
    everybody = ipaddress.ip_address("255.255.255.255")  # can be bound, too
    assert not EgressPolicy(openings=EVERYTHING, loopback=True).allows(everybody, 8000)
    assert not addresses.is_this_host(ipaddress.ip_address("8.8.8.8"))


def test_a_policy_means_the_same_on_the_other_side_of_a_pipe():
    policy = EgressPolicy(EVERYTHING, (Opening.parse("10.0.0.5/32:5432"),), ("catalogue.example",), loopback=True)
    assert EgressPolicy.from_dict(policy.as_dict()) == policy


# Names ---------------------------------------------------------------------------------------------------------


def test_one_closed_address_closes_a_name():
    policy = EgressPolicy(resolver=lambda host, port: ["8.8.8.8", "2606:4700::1", "10.0.0.1"])
    with pytest.raises(EgressDeniedError, match=r"10\.0\.0\.1"):
        policy.reach("mixed.example", 80, Deadline.after(5))


def test_the_connection_goes_to_the_address_that_was_judged(listener):
    """A name that rebinds: its first answer is judged and connected to, the second is never asked for."""
    port, _ = listener
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    policy = EgressPolicy(loopback=True, resolver=rebinding)
    with policy.connect("rebind.example", port, Deadline.after(5)) as connected:
        assert connected.getpeername()[0] == "127.0.0.1"
    assert asked == ["rebind.example"]


def test_each_attempt_is_judged_anew():
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])
    policy = EgressPolicy(resolver=lambda host, port: next(answers))
    assert policy.reach("flip.example", 80, Deadline.after(5)) == [ipaddress.ip_address("8.8.8.8")]
    with pytest.raises(EgressDeniedError):
        policy.reach("flip.example", 80, Deadline.after(5))


def test_a_name_with_many_addresses_is_cut_and_none_of_the_rest_is_used():
    many = [f"8.8.{n >> 8}.{n & 255}" for n in range(1000)] + ["127.0.0.1"]
    found = EgressPolicy(resolver=lambda host, port: many).reach("many.example", 80, Deadline.after(5))
    assert [str(address) for address in found] == many[:MAX_ADDRESSES]


@pytest.mark.parametrize("answer", [["fe80::1%eth0"], ["not an address"], [""], []])
def test_an_answer_that_is_no_address_leads_nowhere(answer):
    with pytest.raises((UnreachableError, InvalidError)):
        EgressPolicy(loopback=True, resolver=lambda host, port: answer).reach("odd.example", 80, Deadline.after(5))


def test_a_resolver_that_does_not_answer_ends_at_the_deadline():
    def slow(host: str, port: int) -> list[str]:
        time.sleep(5)
        return ["8.8.8.8"]

    policy = EgressPolicy(resolver=slow)
    started = time.monotonic()
    with pytest.raises(AdapterError) as caught:
        policy.connect("slow.example", 80, Deadline.after(0.5))
    assert time.monotonic() - started < 1
    assert caught.value.code in {"deadline", "unreachable"}


def test_a_name_over_253_characters_is_not_looked_up():
    asked: list[str] = []

    def remembering(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["8.8.8.8"]

    policy = EgressPolicy(resolver=remembering)
    for host in (".".join(["a" * 60] * 5), "a" * 64 + ".example"):
        with pytest.raises(InvalidError):
            policy.reach(host, 80, Deadline.after(5))
    assert asked == []
