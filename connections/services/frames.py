"""A query's rows as a pandas DataFrame, for Python people: exact, with Arrow types."""

from __future__ import annotations

import io
from datetime import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connections.models import Connection
from connections.services import budgets, orders, queries, walls
from connections.services.actor import Actor

if TYPE_CHECKING:
    import pandas
    import pyarrow


def read(
    connection: Connection,
    query: dict[str, Any],
    *,
    actor: Actor,
    parameters: dict[str, Any] | None = None,
    limit: int | None = None,
    timeout: float | None = None,
) -> pandas.DataFrame:
    """The rows of ``query`` as a DataFrame with Arrow dtypes, at most ``limit`` (the export maximum unless given).

    Integers stay integers beside nulls, decimals keep every digit. A date or timestamp column that holds infinity,
    BC or a year over 9999, and a decimal column that holds NaN or more than 76 digits, stay text. A repeated column
    ``c`` becomes ``c_2``. ``timeout`` is in seconds. Raises as a preview does.
    """
    import pandas as pd
    import pyarrow.ipc

    most = int(budgets.limit(actor.organisation, "export_rows"))
    request = orders.Request(
        query=query,
        parameters=parameters or {},
        limit=most if limit is None else limit,
        timeout=timeout,
        format="arrow",
    )
    with walls.inside(actor.organisation_id):
        stream = queries.read(actor, connection, request)
        body = io.BytesIO(b"".join(stream.chunks()))
    table = pyarrow.ipc.open_stream(body).read_all()
    columns = [_typed(table.column(at), column["type"]) for at, column in enumerate(stream.columns)]
    names = _distinct([column["name"] for column in stream.columns])
    return pyarrow.Table.from_arrays(columns, names=names).to_pandas(types_mapper=pd.ArrowDtype)


def _typed(column: pyarrow.ChunkedArray, type_: str) -> pyarrow.ChunkedArray:
    """A text column as what it is, when every value fits; else as it came."""
    import pyarrow as pa

    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return column
    targets = {
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"),
    }
    try:
        if type_ == "decimal":
            values = [None if text is None else Decimal(text) for text in column.to_pylist()]
            return pa.chunked_array([pa.array(values)]) if any(value is not None for value in values) else column
        if type_ == "time":  # Arrow casts no text to a time
            times = [None if text is None else time.fromisoformat(text) for text in column.to_pylist()]
            return pa.chunked_array([pa.array(times, pa.time64("us"))])
        return column.cast(targets[type_]) if type_ in targets else column
    except (ValueError, TypeError, ArithmeticError):  # NaN, infinity, or out of the type's range
        return column


def _distinct(names: list[str]) -> list[str]:
    """Names with the second ``c`` as ``c_2``, passing over names that are taken."""
    found: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in found or (number > 1 and candidate in names):
            number += 1
            candidate = f"{name}_{number}"
        found.append(candidate)
    return found
