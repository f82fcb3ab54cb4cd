"""The OpenAPI 3.1 document, made by drf-spectacular from the table of operations."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema as StockAutoSchema
from drf_spectacular.plumbing import ResolvedComponent

from connections.api import operations, shapes
from connections.api.operations import Operation
from connections.api.problems import MEDIA_TYPE

_IDS = {"GET": "get", "POST": "post", "PATCH": "change", "DELETE": "delete"}


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "connections.api.authentication.APIKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "ck_<prefix>_<secret>"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "connections.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "With the CSRF token."}


class AutoSchema(StockAutoSchema):
    """One operation of the table. A view whose path's name is not in it is left out of the document."""

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Any:
        name = _url_name(self.view)
        wanted = operations.of(name, method)
        if wanted is None:
            return None
        self.registry = registry
        self.path, self.path_regex, self.path_prefix, self.method = path, path_regex, path_prefix, method.upper()
        for component, shape in shapes.COMPONENTS.items():
            found = ResolvedComponent(name=component, type=ResolvedComponent.SCHEMA, schema=shape, object=component)  # type: ignore[no-untyped-call]
            registry.register_on_missing(found)
        operation = {
            "operationId": f"{_IDS[method]}_{name.replace('-', '_')}",
            "summary": wanted.summary,
            "tags": [path.removeprefix("/api/v1/").split("/")[0]],
            "parameters": [*_path_parameters(path), *_query(wanted), *_headers(wanted)],
            "security": self.get_auth(),
            "responses": _responses(wanted),
        }
        if wanted.body is not None:
            content = {"application/json": {"schema": wanted.body}}
            if method == "PATCH" and name == "connection":
                content["application/merge-patch+json"] = {"schema": wanted.body}
            operation["requestBody"] = {"content": content, "required": wanted.body_required}
        return operation


def _url_name(view: Any) -> str:
    """The name of the path that the schema generator is at; it gives each view its own class."""
    from connections.api.urls import NAMES

    return NAMES.get(type(view), "")


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    formats: dict[str, dict[str, Any]] = {
        "member": {"format": "uuid"},
        "key": {"format": "uuid"},
        "version": {"type": "integer", "minimum": 1},
    }
    return [
        {"in": "path", "name": name, "required": True, "schema": {"type": "string", **formats.get(name, {})}}
        for name in names
    ]


def _query(wanted: Operation) -> list[dict[str, Any]]:
    return [
        {"in": "query", "name": name, "schema": shape, **({"required": True} if name == "path" else {})}
        for name, shape in wanted.query.items()
    ]


def _headers(wanted: Operation) -> list[dict[str, Any]]:
    return [{"in": "header", "name": name, "schema": shape} for name, shape in wanted.headers.items()]


def _responses(wanted: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {str(wanted.status): {"description": wanted.summary}}
    if wanted.answer is not None:
        binary = {"type": "string", "contentMediaType": "application/octet-stream"}
        found[str(wanted.status)]["content"] = {
            media_type: {"schema": wanted.answer if media_type == "application/json" else binary}
            for media_type in wanted.media_types
        }
    for status in sorted(set(wanted.errors)):
        content = {MEDIA_TYPE: {"schema": shapes.ref("Problem")}}
        found[str(status)] = {"description": "A problem; its code tells which.", "content": content}
    return found
