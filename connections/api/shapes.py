"""JSON Schemas of what the API takes and gives, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

Shape = dict[str, Any]


def ref(name: str) -> Shape:
    return {"$ref": f"#/components/schemas/{name}"}


def obj(required: tuple[str, ...] = (), **members: Shape) -> Shape:
    """An object with these members and no others."""
    return {"type": "object", "properties": members, "required": list(required), "additionalProperties": False}


def listed(item: Shape) -> Shape:
    return {"type": "array", "items": item}


def page(item: Shape) -> Shape:
    """One page of a list by cursor."""
    link = {"type": ["string", "null"], "format": "uri"}
    return obj(("results", "next", "previous"), results=listed(item), next=link, previous=link)


def whole(item: Shape) -> Shape:
    """A list that comes whole."""
    return obj(("results",), results=listed(item))


TEXT: Shape = {"type": "string"}
MAYBE_TEXT: Shape = {"type": ["string", "null"]}
FLAG: Shape = {"type": "boolean"}
COUNT: Shape = {"type": "integer", "minimum": 0}
NUMBER: Shape = {"type": "number"}
MOMENT: Shape = {"type": "string", "format": "date-time"}
MAYBE_MOMENT: Shape = {"type": ["string", "null"], "format": "date-time"}
REACH: Shape = {
    "type": ["array", "null"],
    "items": {"type": "string"},
    "minItems": 1,
    "maxItems": 500,
    "description": "Slugs of the only connections that the key is to reach; null or absent for all.",
}
FREE: Shape = {"type": "object"}
ROLE: Shape = {"type": "string", "enum": ["viewer", "analyst", "editor", "admin"]}
NAME: Shape = {"type": "string", "minLength": 1, "maxLength": 200}
TAGS: Shape = {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 64}, "maxItems": 50}
SECRETS: Shape = {
    "type": "object",
    "writeOnly": True,
    "description": "Nested like config. A member absent keeps its secret, a text sets it, null clears it. An object "
    '{"ref": "env:NAME"}, {"ref": "file:name"} or {"ref": "vault:path#key"} says where it is kept instead.',
}
CONFIG: Shape = {"type": "object", "description": "Settings by the source's config_schema, without its secrets."}
PLAIN: dict[str, Shape] = {
    "description": {"type": "string", "maxLength": 10_000},
    "tags": TAGS,
    "environment": {"type": "string", "maxLength": 64},
}
URL: Shape = {"type": "string", "minLength": 1, "maxLength": 8192, "writeOnly": True}
PROBE: Shape = {
    "type": ["object", "null"],
    "description": "A query that new secrets must be able to run, by the source's query_schema; null removes it.",
}
QUERY: Shape = {"type": "object", "description": "By the source's query_schema; SQL sources take sql or table."}
PARAMETERS: Shape = {"type": "object", "description": "Values by name, bound by the driver."}
NOTICES = listed(obj(("code", "message"), code=TEXT, message=TEXT))
WARNINGS = listed(
    obj(
        ("code", "message"),
        code=TEXT,
        message=TEXT,
        field=TEXT,
        expires_at=MOMENT,
        within_days={"type": "integer", "enum": [1, 7, 30]},
    )
)
EXPIRIES: Shape = {
    "type": "object",
    "description": "When secrets end, by hand: dates or moments, nested like secrets. A member absent keeps its date, "
    "null takes it away. A secret that is set anew loses the date of the one before.",
}

_STEP = obj(
    ("name", "ok"),
    name=TEXT,
    ok={"type": ["boolean", "null"]},
    ms=NUMBER,
    detail=TEXT,
    code=TEXT,
)
_SOURCE: dict[str, Shape] = {
    "id": TEXT,
    "label": TEXT,
    "category": {"type": "string", "enum": ["database", "warehouse", "document", "files", "application"]},
    "available": FLAG,
    "install": MAYBE_TEXT,
    "capabilities": listed(TEXT),
    "docs_url": MAYBE_TEXT,
}
_KEY: dict[str, Shape] = {
    "id": TEXT,
    "name": TEXT,
    "role": ROLE,
    "prefix": TEXT,
    "connections": {
        "type": ["array", "null"],
        "items": TEXT,
        "description": "Slugs of the only connections that it reaches; null for all.",
    },
    "expires_at": MAYBE_MOMENT,
    "last_used_at": MAYBE_MOMENT,
}
_ORGANISATION: dict[str, Shape] = {"slug": TEXT, "name": TEXT, "created_at": MOMENT}
_COLUMN = obj(
    ("name", "type", "native_type", "nullable"),
    name=TEXT,
    type=TEXT,
    native_type=MAYBE_TEXT,
    nullable={"type": ["boolean", "null"]},
)
_PENDING = obj(
    ("secrets", "staged_at", "tested_at", "ok", "code"),
    secrets=listed(TEXT),
    staged_at=MOMENT,
    tested_at=MAYBE_MOMENT,
    ok={"type": ["boolean", "null"]},
    code=MAYBE_TEXT,
)
_ROTATION = obj(
    ("pending", "previous"),
    pending={"anyOf": [_PENDING, {"type": "null"}]},
    previous={"anyOf": [obj(("until",), until=MOMENT), {"type": "null"}]},
)
_CONNECTION: dict[str, Shape] = {
    "id": TEXT,
    "slug": TEXT,
    "name": TEXT,
    "source": TEXT,
    **PLAIN,
    "config": FREE,
    "secrets": {
        "type": "object",
        "description": "Each secret as {set, updated_at}, nested like config. Where it is known when it ends, also "
        "expires_at and expiries: [{at, from}], by its own account or by hand. Where it is kept elsewhere, also ref.",
    },
    "secrets_expire_at": MAYBE_MOMENT,
    "rotation": _ROTATION,
    "probe": {"type": ["object", "null"], "description": "A query that new secrets must be able to run."},
    "state": {"type": "string", "enum": ["locked", "invalid", "unavailable", "paused", "unchecked", "ready"]},
    "paused": {"anyOf": [obj(("at", "reason"), at=MOMENT, reason=TEXT), {"type": "null"}]},
    "version": COUNT,
    "schema_version": COUNT,
    "status": {
        "anyOf": [obj(("ok", "checked_at"), ok={"type": ["boolean", "null"]}, checked_at=MOMENT), {"type": "null"}]
    },
    "warnings": WARNINGS,
    "managed_by": MAYBE_TEXT,
    "created_at": MOMENT,
    "updated_at": MOMENT,
}
_USE = obj(("count", "last_used_at", "last_used_by"), count=COUNT, last_used_at=MOMENT, last_used_by=TEXT)
_REVISION = obj(
    ("version", "made_at", "made_by", "schema_version", "config"),
    version=COUNT,
    made_at=MOMENT,
    made_by=MAYBE_TEXT,
    schema_version=COUNT,
    config=FREE,
)
_CHECK: dict[str, Shape] = {
    "ok": {"type": ["boolean", "null"]},
    "code": MAYBE_TEXT,
    "message": MAYBE_TEXT,
    "field": MAYBE_TEXT,
    "hint": MAYBE_TEXT,
    "fixable_by": MAYBE_TEXT,
    "transient": FLAG,
    "steps": listed(_STEP),
    "server": {"anyOf": [obj(("product", "version"), product=TEXT, version=TEXT), {"type": "null"}]},
    "warnings": NOTICES,
    "checked_at": MOMENT,
    "duration_ms": NUMBER,
    "site": TEXT,
}
_PROBLEM: dict[str, Shape] = {
    "type": TEXT,
    "title": TEXT,
    "status": COUNT,
    "code": TEXT,
    "detail": TEXT,
    "errors": listed(obj(("pointer", "code", "detail"), pointer=TEXT, code=TEXT, detail=TEXT)),
    "transient": FLAG,
    "hint": MAYBE_TEXT,
    "request_id": TEXT,
}
_PREVIEW: dict[str, Shape] = {
    "columns": listed(_COLUMN),
    "rows": listed({"type": "array"}),
    "page": obj(
        ("offset", "limit", "returned", "has_more", "total"),
        offset=COUNT,
        limit=COUNT,
        returned=COUNT,
        has_more=FLAG,
        total={"type": ["integer", "null"]},
    ),
    "truncated": {"type": ["object", "null"]},
    "stats": FREE,
    "warnings": NOTICES,
    "connection": obj(("slug", "version"), slug=TEXT, version=COUNT),
    "request_id": TEXT,
}
_EVENT: dict[str, Shape] = {
    "id": TEXT,
    "at": MOMENT,
    "actor": FREE,
    "action": TEXT,
    "object": {"type": ["object", "null"]},
    "result": TEXT,
    "code": MAYBE_TEXT,
    "changes": FREE,
    "detail": FREE,
    "request_id": MAYBE_TEXT,
    "ip": MAYBE_TEXT,
}
_TABLE = obj(("path", "name", "kind", "comment"), path=listed(TEXT), name=TEXT, kind=TEXT, comment=MAYBE_TEXT)

COMPONENTS: dict[str, Shape] = {
    "Source": obj(tuple(_SOURCE), **_SOURCE),
    "SourceDetail": obj((*_SOURCE, "config_schema", "query_schema"), **_SOURCE, config_schema=FREE, query_schema=FREE),
    "Organisation": obj(tuple(_ORGANISATION), **_ORGANISATION),
    "OwnOrganisation": obj(
        (*_ORGANISATION, "role", "accepts_unsafe_roles"), **_ORGANISATION, role=ROLE, accepts_unsafe_roles=FLAG
    ),
    "Connection": obj(tuple(_CONNECTION), **_CONNECTION),
    "OneConnection": obj((*_CONNECTION, "use"), **_CONNECTION, use={"anyOf": [_USE, {"type": "null"}]}),
    "Staged": obj(
        (*_CONNECTION, "use", "check"),
        **_CONNECTION,
        use={"anyOf": [_USE, {"type": "null"}]},
        check={"anyOf": [ref("Check"), {"type": "null"}]},
    ),
    "Revision": _REVISION,
    "Check": obj(tuple(_CHECK), **_CHECK),
    "Preview": obj(tuple(name for name in _PREVIEW if name != "warnings"), **_PREVIEW),
    "Description": obj(("columns", "primary_key"), columns=listed(_COLUMN), primary_key=listed(TEXT)),
    "Table": _TABLE,
    "Member": obj(("id", "user", "email", "role"), id=TEXT, user=TEXT, email=TEXT, role=ROLE),
    "Invitation": obj(("email", "role"), email=TEXT, role=ROLE),
    "Key": obj(tuple(_KEY), **_KEY),
    "NewKey": obj((*_KEY, "key"), **_KEY, key=TEXT),
    "Event": obj(tuple(_EVENT), **_EVENT),
    "Problem": {**obj(tuple(_PROBLEM), **_PROBLEM), "additionalProperties": True},
}
