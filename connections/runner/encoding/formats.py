"""The formats by name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

from connections.adapters.contract import Column
from connections.adapters.errors import InvalidError
from connections.runner.encoding.encoder import Encoder
from connections.runner.encoding.lines import NDJSON
from connections.runner.encoding.separated import CSV
from connections.runner.encoding.text import JSONRows, TextEncoder
from connections.runner.encoding.weighing import require_memory

TEXTS: dict[str, type[TextEncoder]] = {"json": JSONRows, "ndjson": NDJSON, "csv": CSV}

_FOR_ARROW: Final = 128 * 1024 * 1024
"""What loading it may take: the libraries that come with it end a process that cannot have it."""


def encoder_for(form: str, columns: Sequence[Column], arguments: dict[str, Any]) -> Encoder:
    """An encoder of ``form`` for rows of ``columns``. Raises ``InvalidError`` for a format there is not."""
    if form in TEXTS:
        return TEXTS[form](columns, arguments)
    if form in ("arrow", "parquet"):
        if "pyarrow" not in sys.modules:
            require_memory(_FOR_ARROW)
        from connections.runner.encoding import columnar  # pyarrow: 0.2 s and 100 MB, for those who ask

        return columnar.FORMATS[form](columns, arguments)
    raise InvalidError(f"There is no format {form!r}.", field="/format")
