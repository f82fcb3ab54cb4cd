"""MySQL servers that lie after the login: each costs one preview its time, and no file or byte of anything else."""

import struct
from contextlib import closing
from typing import Any

import pytest
from pymysql.connections import Connection
from pymysql.constants import CLIENT

from connections.runner.supervisor import InlineRunner
from tests.hostile import mysql as my
from tests.hostile.attack import SECRET, assert_unsaid, attack
from tests.hostile.liar import Liar, Wire
from tests.hostile.mysql import QUERY, at

MIB = 2**20


COLUMN = [my.column(b"a")]


FIRST_ROW = 4  # its packet's number: after the count, the column and the end of columns


def endless_rows(wire: Wire):
    wire.send(my.head_of(COLUMN))
    number = FIRST_ROW
    while True:
        wire.send(b"".join(my.packet(number + at, my.row([b"x" * 1000])) for at in range(64)))
        number += 64


def endless_empty_rows(wire: Wire):
    wire.send(my.head_of(COLUMN))
    number = FIRST_ROW
    while True:
        wire.send(b"".join(my.packet(number + at, my.row([None])) for at in range(256)))
        number += 256


def huge_cell(wire: Wire):
    """One value in packets of the largest size, each saying that another follows."""
    wire.send(my.head_of(COLUMN))
    number, chunk = FIRST_ROW, b"x" * 65536
    while True:
        wire.send(b"\xff\xff\xff" + bytes([number & 0xFF]))
        for _ in range(my.MOST // len(chunk)):
            wire.send(chunk)
        wire.send(chunk[: my.MOST % len(chunk)])
        number += 1


def huge_cell_that_never_comes(wire: Wire):
    wire.send(my.head_of(COLUMN) + b"\xff\xff\xff" + bytes([FIRST_ROW]) + b"\0\0")
    wire.silence()


def a_cell_longer_than_its_row(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, b"\0\0\xfe" + struct.pack("<Q", 2**63) + b"x"))
    wire.silence()


def a_negative_length(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, b"\0\0\xfe" + struct.pack("<q", -5) + b"x"))
    wire.silence()


def a_row_without_cells(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, b"\0"))
    wire.silence()


def an_empty_packet(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, b""))
    wire.silence()


def packets_out_of_order(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(99, my.row([b"x"])))
    wire.silence()


def invalid_utf8(wire: Wire):
    wire.send(my.result(COLUMN, [my.row([b"\xff\xfe\x80"])]))


def more_columns_than_described(wire: Wire):
    wire.send(my.packet(1, b"\xfc\xff\xff") + my.packet(2, my.column(b"a")) + my.packet(3, my.END))
    wire.silence()


def columns_without_end(wire: Wire):
    wire.send(my.packet(1, b"\xfe" + struct.pack("<Q", 2**62)))
    number = 2
    while True:
        wire.send(b"".join(my.packet(number + at, my.column(b"a")) for at in range(64)))
        number += 64


def no_more_than_ok(wire: Wire):
    wire.send(my.packet(1, my.OK))


def silence_before_a_row(wire: Wire):
    wire.send(my.head_of(COLUMN))
    wire.silence()


def drip_of_a_row(wire: Wire):
    wire.send(my.head_of(COLUMN))
    wire.drip(my.packet(FIRST_ROW, my.row([b"x" * 200])))


def reset_in_a_row(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, my.row([b"x" * 100]))[:50])
    wire.reset()


def half_close_in_a_row(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, my.row([b"x" * 100]))[:50])
    wire.half_close()


def error_that_repeats_the_password(wire: Wire):
    wire.send(my.packet(1, my.error(1105, b"the password was " + SECRET.encode())))


def error_without_end(wire: Wire):
    wire.send(my.packet(1, my.error(1105, b"x" * 3 * MIB)))


CONTENT = [
    (endless_rows, "ok"),
    (endless_empty_rows, "ok"),
    (huge_cell, "too_large"),
    (huge_cell_that_never_comes, "deadline"),
    (a_cell_longer_than_its_row, "protocol"),
    (a_negative_length, "protocol"),
    (a_row_without_cells, "protocol"),
    (an_empty_packet, "protocol"),
    (packets_out_of_order, "protocol"),
    (invalid_utf8, "ok"),
    (more_columns_than_described, "too_large"),
    (columns_without_end, "too_large"),
    (no_more_than_ok, "not_a_query"),
    (silence_before_a_row, "deadline"),
    (drip_of_a_row, "deadline"),
    (reset_in_a_row, "unreachable"),
    (half_close_in_a_row, "unreachable"),
    (error_that_repeats_the_password, "query"),
    (error_without_end, "query"),
]


@pytest.mark.parametrize(("lie", "code"), CONTENT, ids=[lie.__name__ for lie, _ in CONTENT])
def test_a_lie_after_the_login_costs_one_preview(runner, lie, code):
    with Liar(my.lying(lie)) as liar:
        # Half a gigabyte takes its time on a busy machine.
        outcome = attack(runner, "mysql", at(liar.port), QUERY, timeout=15 if lie is huge_cell else 2)
    assert outcome.code == code, outcome.told
    assert_unsaid(liar.heard)


@pytest.mark.parametrize("announced", [10_000, 65_535])
def test_ten_thousand_columns_are_too_many(runner, announced):
    def prepare(wire: Wire):
        wire.send(my.prepared([my.column(b"c")] * announced))

    def lie(wire: Wire):
        wire.send(my.result([my.column(b"c")] * announced, [my.row([b"x"] * announced)]))

    with Liar(my.lying(lie, prepare=prepare)) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY)
    assert outcome.code == "too_large", outcome.told


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "protocol"),
        (b"\0", "protocol"),
        (b"\0" + struct.pack("<IHHxH", 1, 65535, 65535, 9), "too_large"),
        (b"\0" + struct.pack("<IHHxH", 1, 9, 9, 9), "deadline"),  # sense, but not all of it
        (b"\xfb/etc/hostname", "protocol"),
    ],
    ids=repr,
)
def test_a_preparation_that_makes_no_sense_is_refused(runner, said, code):
    def prepare(wire: Wire):
        wire.send(my.packet(1, said))
        wire.silence()

    with Liar(my.lying(endless_rows, prepare=prepare)) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY, timeout=2)
    assert outcome.code == code, outcome.told
    assert_unsaid(liar.heard)


def test_a_server_is_told_that_no_file_is_sent(runner):
    said: list[bytes] = []

    def hear(wire: Wire):
        said.append(my.log_in(wire)[1])

    with Liar(hear) as liar:
        attack(runner, "mysql", at(liar.port), QUERY)
    assert all(not int.from_bytes(each[:4], "little") & CLIENT.LOCAL_FILES for each in said)
    assert said


def test_no_byte_of_a_file_that_could_be_read_leaves_though_files_were_offered(tmp_path, monkeypatch):
    """In this process, which may read it, with a driver that is set to send it: nobody here does as the server asks."""
    connect = Connection.__init__

    def offering(session: Connection, **settings: Any) -> None:
        connect(session, **settings | {"local_infile": True})

    monkeypatch.setattr(Connection, "__init__", offering)
    wanted = tmp_path / "wanted"
    wanted.write_text("CONTENT-OF-A-FILE")

    def ask(wire: Wire):
        wire.send(my.packet(1, b"\xfb" + str(wanted).encode()))
        wire.silence()

    for script, said in ((my.lying(ask), "asked for a file"), (my.lying(ask, prepare=ask), "")):
        with Liar(script) as liar, closing(InlineRunner()) as here:
            outcome = attack(here, "mysql", at(liar.port), QUERY, timeout=1)
        assert outcome.code == "protocol", outcome.told
        assert said in outcome.told
        assert b"CONTENT-OF-A-FILE" not in liar.heard


@pytest.mark.parametrize("where", ["execute", "prepare", "login", "first command"])
def test_no_byte_of_a_file_leaves_when_the_server_asks_for_one(runner, where, tmp_path):
    """The answer to any query may be a request for a file (LOCAL INFILE)."""
    wanted = tmp_path / "wanted"
    wanted.write_text("CONTENT-OF-A-FILE")
    request = b"\xfb" + str(wanted).encode()

    def ask(wire: Wire):
        wire.send(my.packet(1, request))
        wire.silence()

    def in_login(wire: Wire):
        number, _ = my.log_in(wire)
        wire.send(my.packet(number + 1, request))
        wire.silence()

    def in_first_command(wire: Wire):
        number, _ = my.log_in(wire)
        wire.send(my.packet(number + 1, my.OK))
        my.hear(wire)
        ask(wire)

    scripts = {
        "execute": my.lying(ask),
        "prepare": my.lying(ask, prepare=ask),
        "login": in_login,
        "first command": in_first_command,
    }
    with Liar(scripts[where]) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY)
    # PyMySQL does not look at the answer to its first command, and sends nothing: then it is the server's turn.
    assert outcome.code == ("deadline" if where == "first command" else "protocol"), outcome.told
    assert b"CONTENT-OF-A-FILE" not in liar.heard
    assert_unsaid(liar.heard)


def test_a_server_that_says_too_much_of_itself_is_not_listened_to(runner):
    def honest(wire: Wire):
        wire.send(my.result(COLUMN, [my.row([b"1"])]))

    with Liar(my.lying(honest, hello=my.greeting(version=b"8" * 5 * MIB))) as liar:
        outcome = attack(runner, "mysql", at(liar.port))
        assert outcome.code == "protocol", outcome.told[:500]
        assert len(outcome.told) < 100_000


def test_a_server_that_names_another_is_not_followed(runner):
    """MariaDB's redirects: in the welcome, in an error, as a variable of the session."""
    with Liar(lambda wire: wire.silence()) as other:
        place = b"mysql://127.0.0.1:%d/?user=u&ttl=0" % other.port
        tracked = b"\x01" + my.sized(my.sized(b"redirect_url") + my.sized(place))

        def welcoming(wire: Wire):
            number, _ = my.log_in(wire)
            wire.send(my.packet(number + 1, b"\0\0\0\2\x40\0\0" + my.sized(b"Location: " + place) + my.sized(tracked)))
            wire.silence()

        for script in (welcoming, my.asking(my.error(4178, b"Server is redirected to: " + place))):
            with Liar(script) as liar:
                assert attack(runner, "mysql", at(liar.port), QUERY, timeout=1.5).code != "ok"
        assert other.accepted == 0


def test_json_is_not_taken_on_the_servers_word(runner):
    forged = b'1]],"page":{"forged":true},"rows":[[1'

    def lie(wire: Wire):
        wire.send(my.result([my.column(b"a", my.JSON)], [my.row([forged])]))

    with Liar(my.lying(lie, [my.column(b"a", my.JSON)])) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY)
    assert outcome.code == "ok", outcome.told
    assert b'"page":{"forged"' not in outcome.body


def test_the_next_preview_is_none_the_worse(runner):
    def honest(wire: Wire):
        wire.send(my.result(COLUMN, [my.row([b"yes"])]))

    with Liar(my.lying(honest)) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY)
    assert (outcome.code, outcome.body) == ("ok", b'["yes"]'), outcome.told
