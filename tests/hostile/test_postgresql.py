"""PostgreSQL servers that lie after the login: each costs one preview its time, and nothing else."""

import json
import struct

import pytest

from tests.hostile import postgresql as pg
from tests.hostile.attack import attack
from tests.hostile.liar import Liar, Wire
from tests.hostile.postgresql import QUERY, at

MIB = 2**20


def endless_rows(wire: Wire):
    wire.forever(pg.row([b"x" * 1000]) * 64)


def endless_rows_without_bytes(wire: Wire):
    wire.forever(pg.row([None]) * 4096)


def huge_cell(wire: Wire):
    size = 700 * MIB
    wire.send(b"D" + struct.pack("!iHi", size + 10, 1, size))
    wire.forever(b"x" * 65536)


def huge_cell_that_never_comes(wire: Wire):
    wire.send(b"D" + struct.pack("!iHi", 2**31 - 1, 1, 2**31 - 20))
    wire.silence()


def endless_notices(wire: Wire):
    wire.forever(pg.notice(b"x" * 1000) * 64)


def one_huge_notice(wire: Wire):
    wire.send(b"N" + struct.pack("!i", 1024 * MIB) + b"SNOTICE\0M")
    wire.forever(b"x" * 65536)


def endless_settings(wire: Wire):
    wire.forever(pg.message(b"S", b"TimeZone\0" + b"x" * 1000 + b"\0") * 64)


def negative_length_of_a_message(wire: Wire):
    wire.send(b"D" + struct.pack("!i", -5))
    wire.silence()


def negative_length_of_a_cell(wire: Wire):
    wire.send(pg.message(b"D", struct.pack("!Hi", 1, -7)))
    wire.silence()


def a_cell_longer_than_its_row(wire: Wire):
    wire.send(pg.message(b"D", struct.pack("!Hi", 1, 4000) + b"x"))
    wire.silence()


def more_cells_than_columns(wire: Wire):
    wire.send(pg.row([b"x"] * 900) + pg.complete())


def fewer_cells_than_columns(wire: Wire):
    wire.send(pg.row([]) + pg.complete())


def messages_out_of_order(wire: Wire):
    wire.send(pg.READY + pg.message(b"1") + pg.row([b"x"]) + pg.message(b"2") + pg.complete())


def a_second_welcome(wire: Wire):
    wire.send(pg.WELCOME + pg.authentication(3))


def copy_in(wire: Wire):
    wire.send(pg.message(b"G", struct.pack("!bH", 0, 0)))
    wire.silence()


def copy_out_without_end(wire: Wire):
    wire.send(pg.message(b"H", struct.pack("!bH", 0, 0)))
    wire.forever(pg.message(b"d", b"x" * 1000) * 64)


def unknown_message(wire: Wire):
    wire.send(pg.message(b"?", b"what"))
    wire.silence()


def invalid_utf8(wire: Wire):
    wire.send(pg.row([b"\xff\xfe\x80"]) + pg.complete())


def text_in_an_integer(wire: Wire):
    wire.send(pg.row([b"not a number"]) + pg.complete())


def silence_before_a_row(wire: Wire):
    wire.silence()


def drip_of_a_row(wire: Wire):
    wire.drip(pg.row([b"x" * 1000]))


def reset_in_a_row(wire: Wire):
    wire.send(pg.row([b"x" * 100])[:50])
    wire.reset()


def half_close_in_a_row(wire: Wire):
    wire.send(pg.row([b"x" * 100])[:50])
    wire.half_close()


def error_without_end(wire: Wire):
    wire.send(pg.error(b"XX000", b"x" * 3 * MIB))


def deep_array(wire: Wire):
    wire.send(pg.row([b"{" * 200_000]) + pg.complete())


def json_that_would_end_the_answer(wire: Wire):
    wire.send(pg.row([b'1]],"page":{"forged":true},"rows":[[1']) + pg.complete())


def deep_json(wire: Wire):
    wire.send(pg.row([b"[" * 500_000]) + pg.complete())


def bits_without_end(wire: Wire):
    wire.send(pg.row([b"1" * 900_000]) + pg.complete())


CONTENT = [
    (endless_rows, "deadline"),
    (endless_rows_without_bytes, "deadline"),
    (huge_cell, "too_large"),
    (huge_cell_that_never_comes, "too_large"),
    (endless_notices, "deadline"),
    (one_huge_notice, "too_large"),
    (endless_settings, "deadline"),
    (negative_length_of_a_message, "protocol"),
    (negative_length_of_a_cell, "deadline"),
    (a_cell_longer_than_its_row, "deadline"),
    (more_cells_than_columns, "protocol"),
    (fewer_cells_than_columns, "protocol"),
    (messages_out_of_order, "ok"),  # an early end is an end
    (a_second_welcome, "protocol"),
    (copy_in, "protocol"),
    (copy_out_without_end, "protocol"),
    (unknown_message, "deadline"),
    (invalid_utf8, "protocol"),
    (silence_before_a_row, "deadline"),
    (drip_of_a_row, "deadline"),
    (reset_in_a_row, "unreachable"),
    (half_close_in_a_row, "unreachable"),
    (error_without_end, "query"),
]


@pytest.mark.parametrize(("lie", "code"), CONTENT, ids=[lie.__name__ for lie, _ in CONTENT])
def test_a_lie_after_the_login_costs_one_preview(runner, lie, code):
    with Liar(pg.lying(lie)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert outcome.code == code, outcome.told


def test_a_type_that_its_values_do_not_have_is_a_protocol_error(runner):
    with Liar(pg.lying(text_in_an_integer, [(b"a", pg.INT4)])) as liar:
        assert attack(runner, "postgresql", at(liar.port), QUERY).code == "protocol"


def test_ten_thousand_columns_are_too_many(runner):
    described = [(b"c%d" % number, pg.TEXT) for number in range(10_000)]

    def lie(wire: Wire):
        wire.send(pg.row([b"x"] * 10_000) + pg.complete())

    with Liar(pg.lying(lie, described)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert outcome.code == "too_large", outcome.told


@pytest.mark.parametrize(
    ("lie", "oid", "code"),
    [
        (deep_array, pg.TEXTS, "protocol"),
        (json_that_would_end_the_answer, pg.JSON, "ok"),
        (deep_json, pg.JSON, "ok"),
        (bits_without_end, pg.BITS, "ok"),
    ],
    ids=["deep_array", "json_that_would_end_the_answer", "deep_json", "bits_without_end"],
)
@pytest.mark.parametrize("format_", ["json", "ndjson"])
def test_a_value_breaks_no_answer(runner, lie, oid, code, format_):
    with Liar(pg.lying(lie, [(b"a", oid)])) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY, format=format_)
    assert outcome.code == code, outcome.told
    if code == "ok":
        rows = json.loads(b"[" + outcome.body + b"]" if format_ == "json" else outcome.body)
        assert "forged" not in rows
        assert len(rows) == 1


@pytest.mark.parametrize("rows", [[b"99999", b"me", b"b", b"99999"], [b"99999", b"me", b"d", b"99999"]], ids=str)
def test_a_type_that_is_made_of_itself_does_not_end_the_worker(runner, rows):
    oid, name, kind, other = rows
    row = pg.row([oid, name, kind, other, other, b",", b"t" if kind == b"b" else b"f", None, None])

    def lie(wire: Wire):
        wire.send(pg.row([b"{x}"]) + pg.complete())

    with Liar(pg.lying(lie, [(b"a", 99_999)], types=row)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert outcome.code == "ok", outcome.told


def test_a_catalogue_of_types_without_end_ends_in_time(runner):
    """Each type is said to be made of another one that is not known either."""
    oids = iter(range(100_000, 2**31))

    def types() -> bytes:
        oid = next(oids)
        return pg.row([b"%d" % oid, b"t", b"d", b"0", b"%d" % (oid + 1), b",", b"f", None, None])

    with Liar(pg.lying(invalid_utf8, [(b"a", 100_000)], types=types)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert outcome.code == "deadline", outcome.told


def test_names_without_end_are_too_large(runner):
    def lie(wire: Wire):
        wire.send(pg.row([b"x"] * 3) + pg.complete())

    with Liar(pg.lying(lie, [(b"x" * MIB, pg.TEXT)] * 3)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert outcome.code == "too_large", outcome.told


def test_a_server_that_says_too_much_of_itself_is_not_listened_to(runner):
    welcome = pg.WELCOME.replace(
        pg.message(b"S", b"server_version\0" + b"17.2\0"),
        pg.message(b"S", b"server_version\0" + b"1" * 5 * MIB + b"\0"),
    )

    def honest(wire: Wire):
        wire.send(pg.row([b"1"]) + pg.complete())

    with Liar(pg.lying(honest, welcome=welcome)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port))
        assert outcome.code == "protocol", outcome.told[:500]
        assert len(outcome.told) < 100_000


def test_an_export_of_rows_without_end_is_cut_at_its_budget(runner):
    with Liar(pg.lying(endless_rows)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY, limit=10_000, format="ndjson")
    assert outcome.code == "deadline", outcome.told


def test_the_next_preview_is_none_the_worse(runner):
    def honest(wire: Wire):
        wire.send(pg.row([b"yes"]) + pg.complete())

    with Liar(pg.lying(honest)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert (outcome.code, outcome.size > 0) == ("ok", True)
