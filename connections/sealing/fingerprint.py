"""The fingerprint of an endpoint: where a connection's secrets go."""

import hashlib
from collections.abc import Mapping
from typing import Any

from connections.sealing.canonical import canonical_json


def endpoint_fingerprint(source: str, schema_version: int, values: Mapping[str, Any]) -> str:
    """Return 64 hex digits that change when the secrets would go elsewhere.

    ``values`` are the endpoint fields of the config, as JSON values. The source and its schema version are
    part of it: the same fields mean another place to another source, or after an upgrade of the schema.
    """
    return hashlib.sha256(canonical_json(["catalog-endpoint-1", source, schema_version, values])).hexdigest()
