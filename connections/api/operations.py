"""What each operation takes and answers: the OpenAPI document is made from this table."""

from __future__ import annotations

from dataclasses import dataclass, field

from connections.api import shapes
from connections.api.shapes import Shape, obj, page, ref, whole
from connections.services import exporting

EVERY = (400, 401, 404, 405, 406)
MEMBER = (*EVERY, 403)
BODY = (413, 415)
CHANGE = (*MEMBER, *BODY, 409)
AWAY = (502, 503)
SOURCE = (409, 422, 424, 429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Operation:
    """``query`` gives each query parameter's schema; ``errors`` the statuses of the problems it may answer."""

    summary: str
    answer: Shape | None = None
    status: int = 200
    body: Shape | None = None
    body_required: bool = True
    query: dict[str, Shape] = field(default_factory=dict)
    headers: dict[str, Shape] = field(default_factory=dict)
    errors: tuple[int, ...] = MEMBER
    media_types: tuple[str, ...] = ("application/json",)


PAGES: dict[str, Shape] = {
    "cursor": {"type": "string"},
    "page_size": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
}
FILTER: Shape = {"type": "string", "maxLength": 200}
CHECK_FIRST: dict[str, Shape] = {"check": {"type": "string", "enum": ["true", "false"]}}
IF_MATCH: dict[str, Shape] = {"If-Match": {"type": "string"}}
VERSION: Shape = {"type": "integer"}
READ: dict[str, Shape] = {
    "query": shapes.QUERY,
    "parameters": shapes.PARAMETERS,
    "limit": {"type": "integer", "minimum": 0, "maximum": 1_000_000, "default": 100},
    "offset": {"type": "integer", "minimum": 0, "default": 0},
    "count": {"type": "boolean", "default": False},
    "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 60},
}
FORMATS = ("json", "csv", "ndjson", "arrow", "parquet")
EXPORTS = (
    "text/csv",
    "application/x-ndjson",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
)

OPERATIONS: dict[str, dict[str, Operation]] = {
    "sources": {"GET": Operation("List the sources", whole(ref("Source")), errors=(401, 405, 406))},
    "source": {"GET": Operation("One source with its schemas", ref("SourceDetail"), errors=(401, 404, 405, 406))},
    "parse-url": {
        "POST": Operation(
            "Read a connection URL into settings",
            obj(("config", "secrets"), config=shapes.FREE, secrets=shapes.listed(shapes.TEXT)),
            body=obj(("url",), url=shapes.URL),
            errors=(*EVERY, 403, *BODY),
        )
    },
    "organisations": {"GET": Operation("Your organisations", whole(ref("Organisation")), errors=(401, 405, 406))},
    "organisation": {
        "GET": Operation("One organisation and your role", ref("OwnOrganisation")),
        "PATCH": Operation(
            "Decide what the organisation itself decides",
            ref("OwnOrganisation"),
            body=obj((), accepts_unsafe_roles=shapes.FLAG),
            errors=CHANGE,
        ),
    },
    "connections": {
        "GET": Operation(
            "List connections",
            page(ref("Connection")),
            query={
                **PAGES,
                "source": FILTER,
                "tag": FILTER,
                "environment": FILTER,
                "q": FILTER,
                "state": {
                    "type": "string",
                    "enum": ["locked", "invalid", "unavailable", "paused", "unchecked", "ready"],
                },
                "status": {"type": "string", "enum": ["ok", "failed", "unknown"]},
                "expiring": {"type": "integer", "minimum": 0, "maximum": 3650},
            },
        ),
        "POST": Operation(
            "Create a connection",
            ref("OneConnection"),
            201,
            obj(
                ("name", "source"),
                name=shapes.NAME,
                source=shapes.TEXT,
                slug={"type": "string", "pattern": "^[a-z0-9_-]{1,80}$"},
                config=shapes.CONFIG,
                secrets=shapes.SECRETS,
                expiries=shapes.EXPIRIES,
                probe=shapes.PROBE,
                url=shapes.URL,
                **shapes.PLAIN,
            ),
            query=CHECK_FIRST,
            errors=(*CHANGE, *SOURCE),
        ),
    },
    "connection": {
        "GET": Operation("One connection", ref("OneConnection")),
        "PATCH": Operation(
            "Change a connection",
            ref("OneConnection"),
            body=obj(
                (),
                name=shapes.NAME,
                config=shapes.CONFIG,
                secrets=shapes.SECRETS,
                expiries=shapes.EXPIRIES,
                probe=shapes.PROBE,
                version=VERSION,
                **shapes.PLAIN,
            ),
            query=CHECK_FIRST,
            headers=IF_MATCH,
            errors=(*CHANGE, 412, *SOURCE),
        ),
        "DELETE": Operation(
            "Delete a connection",
            status=204,
            body=obj((), version=VERSION),
            body_required=False,
            headers=IF_MATCH,
            errors=(*CHANGE, 412),
        ),
    },
    "test": {
        "POST": Operation(
            "Check settings that are not saved",
            ref("Check"),
            body=obj(
                (),
                source=shapes.TEXT,
                connection=shapes.TEXT,
                config=shapes.CONFIG,
                secrets=shapes.SECRETS,
                url=shapes.URL,
            ),
            errors=(*CHANGE, *SOURCE),
        )
    },
    "status": {
        "GET": Operation("The last check", ref("Check")),
        "POST": Operation("Check now", ref("Check"), body=obj(), body_required=False, errors=(*CHANGE, *SOURCE)),
    },
    "status-history": {"GET": Operation("Earlier checks, newest first", page(ref("Check")), query=PAGES)},
    "preview": {
        "POST": Operation(
            "The first rows of a query",
            ref("Preview"),
            body=obj(("query",), **READ),
            query={
                "format": {"type": "string", "enum": list(FORMATS)},
                "integers": {"type": "string", "enum": ["number", "string"]},
                "formulas": {"type": "string", "enum": ["escape", "keep"]},
            },
            errors=(*CHANGE, *SOURCE),
            media_types=("application/json", *EXPORTS),
        )
    },
    "cancel": {"DELETE": Operation("Cancel a running preview", status=204)},
    "describe": {
        "POST": Operation(
            "The columns of a query",
            ref("Description"),
            body=obj(("query",), query=shapes.QUERY, parameters=shapes.PARAMETERS),
            errors=(*CHANGE, *SOURCE),
        )
    },
    "tables": {
        "GET": Operation(
            "What can be read", page(ref("Table")), query={**PAGES, "q": FILTER}, errors=(*MEMBER, *SOURCE)
        )
    },
    "columns": {
        "GET": Operation(
            "The columns of a table",
            ref("Description"),
            query={"path": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 8}},
            errors=(*MEMBER, *SOURCE),
        )
    },
    "pause": {
        "POST": Operation(
            "Stop all use of a connection",
            ref("OneConnection"),
            body=obj((), reason={"type": "string", "maxLength": 500}),
            errors=CHANGE,
        )
    },
    "resume": {
        "POST": Operation("Allow use again", ref("OneConnection"), body=obj(), body_required=False, errors=CHANGE)
    },
    "clone": {
        "POST": Operation(
            "Copy a connection without its secrets",
            ref("OneConnection"),
            201,
            obj((), name=shapes.NAME),
            body_required=False,
            errors=CHANGE,
        )
    },
    "revisions": {"GET": Operation("Earlier settings, newest first", page(ref("Revision")), query=PAGES)},
    "restore": {
        "POST": Operation(
            "Give a connection the settings of an earlier version",
            ref("OneConnection"),
            body=obj((), secrets=shapes.SECRETS, version=VERSION),
            body_required=False,
            headers=IF_MATCH,
            errors=(*CHANGE, 412, *AWAY),
        )
    },
    "stage": {
        "POST": Operation(
            "Enter new secrets beside the current ones, and test them",
            ref("Staged"),
            body=obj(("secrets",), secrets=shapes.SECRETS, version=VERSION),
            headers=IF_MATCH,
            errors=(*CHANGE, 412, *SOURCE),
        ),
        "DELETE": Operation(
            "Forget the pending secrets",
            status=204,
            body=obj((), version=VERSION),
            body_required=False,
            headers=IF_MATCH,
            errors=(*CHANGE, 412),
        ),
    },
    "promote": {
        "POST": Operation(
            "Make the pending secrets the current ones",
            ref("OneConnection"),
            body=obj((), version=VERSION),
            body_required=False,
            headers=IF_MATCH,
            errors=(*CHANGE, 412, *SOURCE),
        )
    },
    "rollback": {
        "POST": Operation(
            "Take the previous secrets back",
            ref("OneConnection"),
            body=obj((), version=VERSION),
            body_required=False,
            headers=IF_MATCH,
            errors=(*CHANGE, 412, *AWAY),
        )
    },
    "members": {
        "GET": Operation("List members", page(ref("Member")), query=PAGES),
        "POST": Operation(
            "Add a member",
            ref("Invitation"),
            201,
            obj(("email", "role"), email={"type": "string", "format": "email"}, role=shapes.ROLE),
            errors=CHANGE,
        ),
    },
    "member": {
        "PATCH": Operation(
            "Change a member's role", ref("Member"), body=obj(("role",), role=shapes.ROLE), errors=CHANGE
        ),
        "DELETE": Operation("Remove a member", status=204, errors=(*MEMBER, 409)),
    },
    "api-keys": {
        "GET": Operation("List API keys", page(ref("Key")), query=PAGES),
        "POST": Operation(
            "Make an API key; it is shown this once",
            ref("NewKey"),
            201,
            obj(
                ("name", "role"),
                name=shapes.NAME,
                role=shapes.ROLE,
                expires_at=shapes.MAYBE_MOMENT,
                connections=shapes.REACH,
            ),
            errors=CHANGE,
        ),
    },
    "api-key": {"DELETE": Operation("Revoke an API key", status=204)},
    "events": {
        "GET": Operation(
            "The record, newest first: a page of it, or all of it as a file",
            page(ref("Event")),
            query={**PAGES, "format": {"type": "string", "enum": ["json", *exporting.FORMATS]}},
            errors=(*MEMBER, 429),
            media_types=("application/json", *exporting.FORMATS.values()),
        )
    },
}


def of(url_name: str, method: str) -> Operation | None:
    """The operation of a path's name and a method, if it is part of the contract."""
    return OPERATIONS.get(url_name, {}).get(method)
