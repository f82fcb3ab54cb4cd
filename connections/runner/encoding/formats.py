"""The formats by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connections.adapters.contract import Column
from connections.adapters.errors import InvalidError
from connections.runner.encoding.encoder import Encoder
from connections.runner.encoding.lines import NDJSON
from connections.runner.encoding.separated import CSV
from connections.runner.encoding.text import JSONRows, TextEncoder

TEXTS: dict[str, type[TextEncoder]] = {"json": JSONRows, "ndjson": NDJSON, "csv": CSV}


def encoder_for(form: str, columns: Sequence[Column], arguments: dict[str, Any]) -> Encoder:
    """An encoder of ``form`` for rows of ``columns``. Raises ``InvalidError`` for a format there is not."""
    if form in TEXTS:
        return TEXTS[form](columns, arguments)
    if form in ("arrow", "parquet"):
        from connections.runner.encoding import columnar  # pyarrow: 0.2 s and 100 MB, for those who ask

        return columnar.FORMATS[form](columns, arguments)
    raise InvalidError(f"There is no format {form!r}.", field="/format")
