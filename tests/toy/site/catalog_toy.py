"""A source that does what its query says, to itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr

from connections.adapters.base import Adapter, Check
from connections.adapters.config import Config, Query
from connections.adapters.contract import (
    Category,
    Column,
    ColumnType,
    Description,
    Notice,
    Result,
    Row,
    Server,
    StepName,
    Table,
)
from connections.adapters.errors import AdapterError, AuthenticationError, QueryError, UnreachableError
from connections.adapters.limits import Deadline
from connections.adapters.values import BigInt, JSONText

WIRE: list[tuple[Column, list[Any]]] = [
    (Column("boolean", ColumnType.BOOLEAN), [True, False]),
    (Column("integer", ColumnType.INTEGER), [1, -(2**63)]),
    (Column("huge", ColumnType.INTEGER, precision=40), [BigInt(2**100), BigInt(-(2**100))]),
    (Column("float", ColumnType.FLOAT), [0.1, "NaN"]),
    (Column("wide", ColumnType.FLOAT), [1e300, "-Infinity"]),
    (
        Column("decimal", ColumnType.DECIMAL, precision=40, scale=2),
        ["12345678901234567890123456789012345678.90", "-0.01"],
    ),
    (Column("loose", ColumnType.DECIMAL), ["1.50", "NaN"]),
    (Column("string", ColumnType.STRING), ['é "quoted", 𝄞\n', ""]),
    (Column("formula", ColumnType.STRING), ["=1+1", "-5"]),
    (Column("nul", ColumnType.STRING), ["a\x00b", "\t"]),
    (Column("date", ColumnType.DATE, bounded=True), ["2024-02-29", "1900-01-01"]),
    (Column("ancient", ColumnType.DATE), ["0044-03-15 BC", "-infinity"]),
    (Column("time", ColumnType.TIME), ["10:11:12.5", "24:00:00"]),
    (Column("timetz", ColumnType.TIMETZ), ["10:11:12+05:30", "10:11:12-08:00"]),
    (Column("timestamp", ColumnType.TIMESTAMP, bounded=True), ["2024-02-29T10:11:12.000001", "2024-02-29T10:11:12"]),
    (
        Column("timestamptz", ColumnType.TIMESTAMPTZ, bounded=True),
        ["2024-02-29T10:11:12.000001Z", "1969-12-31T23:59:59Z"],
    ),
    (Column("interval", ColumnType.INTERVAL), ["P1Y2M3DT4H5M6.5S", "PT0S"]),
    (Column("uuid", ColumnType.UUID), ["7d444840-9dc0-11d1-b245-5ffdce74fad2", "00000000-0000-0000-0000-000000000000"]),
    (Column("binary", ColumnType.BINARY), [b"\x00\xff", b""]),
    (Column("json", ColumnType.JSON), [JSONText('{"a": 1.10,\n "a": [null]}'), JSONText('"text"')]),
    (Column("array", ColumnType.ARRAY), [[1, None, [b"\x01", BigInt(2**70)]], []]),
    (Column("struct", ColumnType.STRUCT), [{"k": JSONText("[1,\n2]")}, {}]),
]

ODD = {
    "surrogate": "lone \ud800 half",
    "unmarked": 2**90,
    "nan": float("nan"),
    "deep": None,
}

NESTED: dict[str, tuple[Callable[[int], Any], ColumnType]] = {
    "integers": (lambda n: list(range(n)), ColumnType.ARRAY),
    "nulls": (lambda n: [None] * n, ColumnType.ARRAY),
    "lists": (lambda n: [[number] for number in range(n)], ColumnType.ARRAY),
    "members": (lambda n: {str(number): number for number in range(n)}, ColumnType.STRUCT),
    "within": (lambda n: {"a": [{"b": list(range(n))}]}, ColumnType.STRUCT),
    "undeclared": (lambda n: list(range(n)), ColumnType.JSON),
    "one text": (lambda n: ["x" * 1000] * n, ColumnType.ARRAY),
    "digits": (lambda n: [BigInt(10**10_000)] * (n // 10_000), ColumnType.ARRAY),
    "binary": (lambda n: [bytes(n)], ColumnType.ARRAY),
    "signs": (lambda n: "\1" * n, ColumnType.STRING),
    "document": (lambda n: JSONText("[" + "1," * n + "1]"), ColumnType.JSON),
}


class ToyConfig(Config):
    name: str = "toy"
    password: SecretStr | None = None
    resets: bool = True
    fails: str | None = Field(None, description="The step that a check fails at.")
    hangs: str | None = Field(None, description="The step that a check hangs at.")


class ToyQuery(Query):
    do: Literal[
        "count", "wire", "odd", "wide", "cells", "repeat", "nothing", "nested", "self", "sleep", "spin", "allocate",
        "hoard", "exit", "abort", "grandchild", "fail", "bug",
    ]  # fmt: skip
    n: int = 1
    batch: int = 100
    seconds: float = 0
    text: str = ""


class ToyAdapter(Adapter[ToyConfig, ToyQuery]):
    """Itself."""

    id = "toy"
    label = "Toy"
    category = Category.DATABASE
    config_class = ToyConfig
    query_class = ToyQuery
    needs_network = False
    takes_parameters = True

    connected = 0

    def connect(self, deadline: Deadline) -> None:
        self.connected = self.connected or time.monotonic_ns()

    def checks(self) -> list[Check]:
        return [Check(name, self._step(name)) for name in (StepName.RESOLVE, StepName.CONNECT, StepName.AUTHENTICATE)]

    def _step(self, name: StepName) -> Any:
        def action(deadline: Deadline) -> str | None:
            if self.config.hangs == name:
                time.sleep(60)
            if self.config.fails == "crash" and name is StepName.CONNECT:
                os._exit(7)
            if self.config.fails == name:
                raise AuthenticationError("The toy rejected the password.", step=name, field="/secrets/password")
            self.connect(deadline)
            return f"{name} is fine"

        return action

    def rows(
        self, query: ToyQuery, parameters: dict[str, Any], *, limit: int, offset: int, count: bool, deadline: Deadline
    ) -> Result:
        columns, rows = getattr(self, f"_do_{query.do}")(query, parameters)
        left = _slice(rows, offset, limit + 1)
        total = query.n if count else None
        return Result(columns, _batches(left, query.batch), total, [Notice("toy", "It is a toy.")] if count else [])

    def translate(self, exc: Exception) -> AdapterError | None:
        return QueryError(str(exc)) if isinstance(exc, ZeroDivisionError) else None

    def reset(self) -> bool:
        return self.config.resets

    def server(self) -> Server | None:
        return Server("Toy", "1.0")

    def notices(self) -> list[Notice]:
        return [Notice("role_can_write", "Toys are for writing.")]

    def list_tables(self, deadline: Deadline) -> Iterator[Table]:
        for number in reversed(range(25)):  # not by path: the runner sorts
            yield Table(("main", f"t{number:02}"), "table")

    def describe_table(self, path: tuple[str, ...], deadline: Deadline) -> Description:
        if path[-1] != "t00":
            raise QueryError(f"There is no table {'.'.join(path)}.")
        return Description((Column("id", ColumnType.INTEGER),), ("id",))

    # What a query may ask for ----------------------------------------------------------------------------------

    def _do_count(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        columns = (Column("n", ColumnType.INTEGER), Column("word", ColumnType.STRING))
        return columns, ((number, query.text) for number in range(query.n))

    def _do_wire(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        columns = tuple(column for column, _ in WIRE)
        rows: list[Row] = [tuple(values[at] for _, values in WIRE) for at in (0, 1)]
        return columns, iter([*rows, (None,) * len(WIRE)])

    def _do_odd(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        value: Any = ODD[query.text]
        if query.text == "deep":
            value = []
            for _ in range(2000):
                value = [value]
        kind = {"unmarked": ColumnType.INTEGER, "nan": ColumnType.FLOAT, "deep": ColumnType.ARRAY}
        return (Column("odd", kind.get(query.text, ColumnType.STRING)),), iter([(value,), (None,)])

    def _do_wide(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        return tuple(Column(f"c{at}", ColumnType.INTEGER) for at in range(query.n)), iter([tuple(range(query.n))])

    def _do_cells(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        """Every third row has a cell of ``n`` bytes."""
        columns = (Column("n", ColumnType.INTEGER), Column("body", ColumnType.STRING))
        return columns, ((at, "x" * (query.n if at % 3 == 2 else 3)) for at in range(9))

    def _do_nested(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        """A value that holds ``n`` others, between two short ones; ``batch`` MiB are held beside it."""
        self._beside = bytearray(query.batch << 20)
        made, kind = NESTED[query.text]
        columns = (Column("n", ColumnType.INTEGER), Column("held", kind))
        return columns, ((at, made(query.n if at == 1 else 1)) for at in range(3))

    def _do_repeat(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        names = ("c", "c", "c_2", "=c")
        return tuple(Column(name, ColumnType.INTEGER) for name in names), iter([(1, 2, 3, 4)])

    def _do_self(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        password = self.config.password.get_secret_value() if self.config.password else None
        found = {
            "pid": os.getpid(),
            "cwd": str(Path.cwd()),
            "environ": dict(os.environ),
            "name": self.config.name,
            "password": password,
            "connected": self.connected,
            "parameters": parameters,
            "modules": [name for name in ("django", "pyarrow", "psycopg") if name in sys.modules],
            "open_files": sorted(_open_files()),
        }
        return (Column("self", ColumnType.STRUCT),), iter([(found,)])

    def _do_sleep(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        time.sleep(query.seconds)
        return self._do_count(query, parameters)

    def _do_spin(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        """Hold the interpreter's lock in C code for about a minute."""
        return str(7**20_000_000), iter([])

    def _do_allocate(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        columns, _ = self._do_count(query, parameters)
        return columns, iter([(len(bytearray(query.n)), "")])

    def _do_hoard(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        """Small pieces until nothing is left, as a list of rows would."""
        kept = []
        for number in range(query.n):
            kept.append(bytearray(4096))
            kept[-1][0] = number % 256
        return self._do_count(query, parameters)

    def _do_exit(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        os._exit(query.n)

    def _do_abort(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        os.abort()

    def _do_grandchild(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        """Start two processes that outlive this one if they can: one in its group, one in a session of its own."""
        pids = [
            subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(600)"], start_new_session=apart).pid
            for apart in (False, True)
        ]
        Path(query.text).write_text(" ".join(map(str, pids)))
        time.sleep(query.seconds)
        return self._do_count(query, parameters)

    def _do_fail(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        if query.text == "unreachable":
            raise UnreachableError("The toy is away.")
        if query.text == "later":
            columns, rows = self._do_count(query, parameters)
            return columns, _then_fail(rows)
        return 1 // 0

    def _do_bug(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        raise KeyError(f"with {query.text} in its text")

    def _do_nothing(self, query: ToyQuery, parameters: dict[str, Any]) -> Any:
        return self._do_count(query, parameters)[0], iter([])


def _open_files() -> Iterator[str]:
    for fd in Path("/proc/self/fd").glob("*"):
        try:
            yield str(fd.readlink())
        except FileNotFoundError:  # the one that listed the others
            continue


def _then_fail(rows: Iterator[Row]) -> Iterator[Row]:
    yield from rows
    raise ZeroDivisionError("division by zero")


def _slice(rows: Iterator[Row], offset: int, length: int) -> Iterator[Row]:
    for at, row in enumerate(rows):
        if at >= offset + length:
            return
        if at >= offset:
            yield row


def _batches(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


adapter = ToyAdapter
