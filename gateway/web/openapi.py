"""The OpenAPI 3.1 document of the API, made from the same table as its routing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

from pydantic import TypeAdapter

from gateway.web.frame import ApiModel, Nothing, Route

_ERRORS = {
    "401": "No token, or one that is unknown, expired or revoked.",
    "403": "The token may not do this.",
    "404": "There is no such thing, or not for this token.",
    "409": "Not in the present state; `detail` says what to do first.",
    "422": "The request does not fit; `errors` says where.",
    "503": "Nothing can be stored now; ask again.",
}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"at": {"type": "string"}, "problem": {"type": "string"}},
            },
        },
    },
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Repeat a request with the same key and get the same answer, and one effect (kept for 7 days).",
    "schema": {"type": "string", "maxLength": 128},
}


@cache
def text(routes: Sequence[Route]) -> str:
    """The document as JSON."""
    return json.dumps(document(routes), ensure_ascii=False)


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The document as plain data."""
    refs, schemas = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.pattern, {})[route.method.lower()] = _operation(route, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Intake gateway",
            "version": version("intake-gateway"),
            "description": "Tickets of a support desk. Times are RFC 3339 in UTC; pages go by opaque cursors.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "gw_<prefix>_<secret>"}},
            "schemas": {**schemas, "Problem": _PROBLEM},
        },
    }


Mode = Literal["validation", "serialization"]
Refs = dict[tuple[type[ApiModel], Mode], dict[str, Any]]


def _schemas(routes: Sequence[Route]) -> tuple[Refs, dict[str, Any]]:
    asked: set[tuple[type[ApiModel], Mode]] = set()
    for route in routes:
        if route.writes and route.body is not Nothing:
            asked.add((route.body, "validation"))
        if route.answer is not None:
            asked.add((route.answer, "serialization"))
    ordered = sorted(asked, key=lambda item: (item[0].__name__, item[1]))
    found, shared = TypeAdapter.json_schemas(
        [(model, mode, TypeAdapter(model)) for model, mode in ordered], ref_template="#/components/schemas/{model}"
    )
    return {(model, mode): found[(model, mode)] for model, mode in ordered}, shared.get("$defs", {})


def _operation(route: Route, refs: Refs) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": f"Scope: {route.scope or 'none'}.",
        "parameters": _parameters(route),
        "responses": {str(route.status): _success(route, refs), **_errors(route)},
    }
    if route.scope is None:
        operation["security"] = []
    if route.writes and route.body is not Nothing:
        schema = refs[(route.body, "validation")]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _operation_id(route: Route) -> str:
    words = re.findall(r"[a-z]+", route.path.replace(".json", ""))
    return "_".join((route.method.lower(), *words))


def _success(route: Route, refs: Refs) -> dict[str, Any]:
    if route.answer is None:
        kind = "application/json" if route.scope is None else "application/octet-stream"
        return {"description": route.summary, "content": {kind: {"schema": {}}}}
    schema = refs[(route.answer, "serialization")]
    return {"description": route.summary, "content": {"application/json": {"schema": schema}}}


def _errors(route: Route) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    known = ("503",) if route.scope is None else tuple(_ERRORS)
    return {
        status: {"description": _ERRORS[status], "content": {"application/problem+json": {"schema": schema}}}
        for status in known
    }


def _parameters(route: Route) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, **_described(name)}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    schema = TypeAdapter(route.query).json_schema()
    in_query = [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": {key: value for key, value in field.items() if key != "description"},
            **({"description": field["description"]} if "description" in field else {}),
        }
        for name, field in schema.get("properties", {}).items()
    ]
    return [*in_path, *in_query, *([_KEY] if route.writes else [])]


def _described(name: str) -> dict[str, str]:
    return {"description": "Number or id of the ticket."} if name == "ticket" else {"description": "Id."}
