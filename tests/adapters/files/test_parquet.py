"""Parquet: exact values, and files that are made to burst."""

from __future__ import annotations

import datetime
import struct
import uuid
from decimal import Decimal

import pyarrow
import pyarrow.parquet
import pytest

from connections.adapters.errors import AdapterError, InvalidError, QueryError, TooLargeError
from connections.adapters.files.readers import parquet
from connections.adapters.limits import Deadline


def write(folder, name, table, **options):
    pyarrow.parquet.write_table(table, folder.path / name, **options)


def array(values, kind):
    return pyarrow.array(values, kind)


DAY = datetime.date(2024, 1, 1)
MAP = pyarrow.map_(pyarrow.string(), pyarrow.int8())
STRUCT = pyarrow.struct({"d": pyarrow.date32(), "l": pyarrow.list_(pyarrow.decimal128(5, 1))})
CASES = [
    ("boolean", array([True, None], pyarrow.bool_()), [True, None]),
    ("integer", array([2**64 - 1, 0], pyarrow.uint64()), [2**64 - 1, 0]),
    ("float", array([float("nan"), float("-inf")], pyarrow.float64()), ["NaN", "-Infinity"]),
    ("float", array([0.5, None], pyarrow.float32()), [0.5, None]),
    ("decimal", array([Decimal("1.50"), Decimal("0E-2")], pyarrow.decimal128(38, 2)), ["1.50", "0.00"]),
    ("decimal", array([Decimal("1" * 70)], pyarrow.decimal256(76, 0)), ["1" * 70]),
    ("string", array(["é", None], pyarrow.string()), ["é", None]),
    ("string", array(["é", ""], pyarrow.large_string()), ["é", ""]),
    ("binary", array([b"\xff", None], pyarrow.binary()), [b"\xff", None]),
    ("binary", array([b"ab", None], pyarrow.binary(2)), [b"ab", None]),
    ("date", array([0, -719163], pyarrow.int32()).view(pyarrow.date32()), ["1970-01-01", "0001-12-31 BC"]),
    ("date", array([2932897, -735400], pyarrow.int32()).view(pyarrow.date32()), ["10000-01-01", "0045-07-18 BC"]),
    ("time", array([500_000, 86_399_999_999], pyarrow.time64("us")), ["00:00:00.5", "23:59:59.999999"]),
    ("time", array([36_672_000], pyarrow.time32("ms")), ["10:11:12"]),
    ("timestamp", array([1709201472000001], pyarrow.timestamp("us")), ["2024-02-29T10:11:12.000001"]),
    ("timestamp", array([-1], pyarrow.timestamp("ns")), ["1969-12-31T23:59:59.999999999"]),
    ("timestamptz", array([1709201472000], pyarrow.timestamp("ms", "Europe/Berlin")), ["2024-02-29T10:11:12Z"]),
    ("interval", array([90_061_000_001, -5, 0], pyarrow.duration("us")), ["P1DT1H1M1.000001S", "PT-0.000005S", "PT0S"]),
    ("array", array([[1, None], None, []], pyarrow.list_(pyarrow.int64())), [[1, None], None, []]),
    ("array", array([[("k", 1)], None], MAP), [[{"key": "k", "value": 1}], None]),
    ("struct", array([{"d": DAY, "l": [Decimal("1.0")]}, None], STRUCT), [{"d": "2024-01-01", "l": ["1.0"]}, None]),
    ("string", array(["a", "b", "a", None], pyarrow.string()).dictionary_encode(), ["a", "b", "a", None]),
    ("string", pyarrow.nulls(2), [None, None]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "values", "wire"), CASES, ids=[f"{case[0]} {case[1].type}" for case in CASES])
def test_every_type_has_an_exact_wire_value(folder, kind, values, wire):
    write(folder, "t.parquet", pyarrow.table({"c": values}))
    answer = folder.read("t.parquet")
    assert answer.types == [kind]
    assert [row[0] for row in answer.rows] == wire
    assert [row[0] for row in folder.read("t.parquet", offset=1).rows] == wire[1:]


def test_a_uuid_is_a_uuid(folder):
    value = uuid.uuid4()
    storage = array([value.bytes, None], pyarrow.binary(16))
    write(folder, "u.parquet", pyarrow.table({"c": pyarrow.ExtensionArray.from_storage(pyarrow.uuid(), storage)}))
    answer = folder.read("u.parquet")
    assert (answer.types, answer.rows) == (["uuid"], [(str(value),), (None,)])


def test_pages_meet_across_row_groups_and_the_total_is_the_footers(folder):
    write(folder, "p.parquet", pyarrow.table({"n": range(5000), "s": ["x"] * 5000}), row_group_size=700)
    found = []
    for offset in range(0, 5000, 1000):
        found += folder.read("p.parquet", offset=offset, limit=999).rows
    assert found == [(n, "x") for n in range(5000)]
    assert folder.read("p.parquet", limit=0, count=True).total == 5000
    assert folder.read("p.parquet", offset=6000).rows == []


def test_two_columns_of_one_name_stay_two(folder):
    table = pyarrow.Table.from_arrays([array([1], pyarrow.int8()), array(["x"], pyarrow.string())], names=["a", "a"])
    write(folder, "d.parquet", table)
    answer = folder.read("d.parquet")
    assert (answer.names, answer.rows) == (["a", "a"], [(1, "x")])


def test_no_columns_and_no_rows_are_read(folder):
    write(folder, "e.parquet", pyarrow.table({"a": array([], pyarrow.int8())}))
    assert folder.read("e.parquet", count=True).total == 0


def test_options_mean_nothing_for_parquet(folder):
    write(folder, "o.parquet", pyarrow.table({"a": [1]}))
    with pytest.raises(InvalidError, match="types"):
        folder.read("o.parquet", types="text")


@pytest.mark.parametrize("codec", ["zstd", "snappy", "gzip"])
def test_a_column_that_unpacks_to_a_thousandfold_is_refused(folder, codec):
    table = pyarrow.table({"a": array(["x" * 1000] * 200_000, pyarrow.string())})
    write(folder, "b.parquet", table, compression=codec, use_dictionary=False, data_page_size=1 << 30)
    if codec == "snappy":  # it packs at most twentyfold, so nothing here bursts
        assert folder.read("b.parquet", limit=1).rows[0] == ("x" * 1000,)
        return
    with pytest.raises(TooLargeError, match="unpacks from"):
        folder.read("b.parquet")


def test_big_cells_of_a_dictionary_come_in_small_batches(folder):
    write(folder, "d.parquet", pyarrow.table({"a": ["x" * 1_000_000] * 400}))
    assert (folder.path / "d.parquet").stat().st_size < 100_000
    with (folder.path / "d.parquet").open("rb") as file:
        batches = list(parquet.read(file, Deadline.after(10)).rows(0, 100))
    assert max(map(len, batches)) <= 2
    assert sum(map(len, batches)) == 100


def test_broken_files_are_errors_in_our_words(folder):
    write(folder, "whole.parquet", pyarrow.table({"n": range(1000), "s": [str(n) for n in range(1000)]}))
    whole = (folder.path / "whole.parquet").read_bytes()
    footer = struct.unpack("<I", whole[-8:-4])[0]
    broken = {
        "short": b"PAR1",
        "text": b"a,b\n1,2\n3,4\n5,6\n",
        "cut": whole[: len(whole) // 2],
        "negative": whole[:-8] + struct.pack("<i", -1) + b"PAR1",
        "long": whole[:-8] + struct.pack("<I", footer + 10**6) + b"PAR1",
        "encrypted": b"PARE" + whole[4:-4] + b"PARE",
        "scrambled footer": whole[: -8 - footer] + b"\xff" * footer + whole[-8:],
        "scrambled pages": whole[:4] + b"\xff" * (len(whole) - 12 - footer) + whole[-8 - footer :],
    }
    for name, content in broken.items():
        folder.write("broken.parquet", content)
        with pytest.raises(QueryError) as caught:
            folder.read("broken.parquet")
        assert "broken.parquet" in caught.value.message, name
        assert "Arrow" not in caught.value.message.replace("broken.parquet", ""), name


def test_a_flipped_byte_anywhere_is_read_or_refused_in_our_words(folder):
    write(folder, "whole.parquet", pyarrow.table({"n": range(100), "s": ["x"] * 100}), compression="zstd")
    whole = (folder.path / "whole.parquet").read_bytes()
    for at in range(4, len(whole), 3):
        folder.write("flipped.parquet", whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        refused = refusal(folder, "flipped.parquet")
        if refused is not None:
            assert isinstance(refused, QueryError | TooLargeError), at
            assert refused.message.startswith("flipped.parquet: "), at


def refusal(folder, name):
    """The error that reading a file ends in; None when it is read."""
    try:
        folder.read(name)
    except AdapterError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("values", "bounded"),
    [
        (array([0, None, 1709201472000001], pyarrow.timestamp("us")), True),
        (array([0, 253402300800000000], pyarrow.timestamp("us")), False),
        (array([0], pyarrow.timestamp("ns")), False),
        (array([DAY], pyarrow.date32()), True),
        (array([0, 2932897], pyarrow.int32()).view(pyarrow.date32()), False),
        (array([None], pyarrow.timestamp("us")), True),
        (array([1], pyarrow.int8()), False),
    ],
)
def test_statistics_tell_whether_moments_stay_within_the_calendar(folder, values, bounded):
    write(folder, "m.parquet", pyarrow.table({"c": values}), row_group_size=1)
    assert folder.read("m.parquet").columns[0].bounded is bounded
    write(folder, "m.parquet", pyarrow.table({"c": values}), write_statistics=False)
    assert folder.read("m.parquet").columns[0].bounded is False


def test_integers_beyond_64_bits_tell_their_digits(folder):
    write(
        folder,
        "u.parquet",
        pyarrow.table({"c": array([2**64 - 1], pyarrow.uint64()), "d": array([1], pyarrow.int64())}),
    )
    assert [column.precision for column in folder.read("u.parquet").columns] == [20, None]
    folder.write("u.csv", "c,d\n12345678901234567890,1\n")
    assert [column.precision for column in folder.read("u.csv").columns] == [38, None]
