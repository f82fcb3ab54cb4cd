"""Secrets in files beneath the deployment's folder, as container platforms mount them. Read at use."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from connections.adapters.errors import AdapterError
from connections.adapters.files.beneath import open_beneath
from connections.services.references.missing import Missing

MAX_BYTES = 64 * 1024


def look_up(name: str, until: float) -> str:
    """The text of the file ``name``, without the line end after its last line. Raises ``Missing``.

    A link is followed where it stays beneath the folder: Kubernetes mounts secrets as links to a folder that it swaps.
    """
    if not settings.CATALOG_REFERENCES_DIR:
        raise Missing("files: CATALOG_REFERENCES_DIR is not set")
    root = Path(os.path.realpath(settings.CATALOG_REFERENCES_DIR))
    place = "the deployment's folder of references"
    try:
        real = Path(os.path.realpath(root / name)).relative_to(root)
        opened = open_beneath(root, str(real))
    except (AdapterError, ValueError, OSError):
        raise Missing(f"{place}: no readable file {name}") from None
    with os.fdopen(opened, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Missing(f"{place}: the file {name} is over {MAX_BYTES // 1024} KB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Missing(f"{place}: the file {name} is no UTF-8 text") from None
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
