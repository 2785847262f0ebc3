"""The OpenAPI document: structurally whole, and about every route that the site answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway.web import openapi
from gateway.web.api import ROUTES
from gateway.web.application import build_site
from gateway.web.frame import Nothing
from tests.gateway.staffed import Site

DOCUMENT = openapi.document(ROUTES)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from _references(child)


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_document_has_the_shape_of_openapi_31() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"].keys() >= {"title", "version"}
    assert DOCUMENT["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, method, operation in _operations():
        assert path.startswith("/api/v1/")
        assert method in ("get", "post")
        assert operation["summary"]
        named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert named == {part.strip("{}") for part in path.split("/") if part.startswith("{")}
        assert all(p["required"] for p in operation["parameters"] if p["in"] == "path")
        assert all(p["schema"] for p in operation["parameters"])
        assert all(status.isdecimal() and answer["description"] for status, answer in operation["responses"].items())
        assert sum(status.startswith("2") for status in operation["responses"]) == 1
    ids = [operation["operationId"] for _, _, operation in _operations()]
    assert len(ids) == len(set(ids))


def test_every_reference_leads_to_a_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for reference in _references(DOCUMENT):
        assert reference.removeprefix("#/components/schemas/") in schemas
    for name, schema in schemas.items():
        assert schema.get("type") in ("object", "string", "integer") or "enum" in schema or "anyOf" in schema, name


def test_every_route_is_described_with_what_it_takes_and_gives() -> None:
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.pattern][route.method.lower()]
        assert ("requestBody" in operation) == (route.writes is not None and route.body is not Nothing)
        assert str(route.status) in operation["responses"]
        queried = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
        assert queried == {f.alias or name for name, f in route.query.model_fields.items()}
        keyed = any(p["name"] == "Idempotency-Key" for p in operation["parameters"])
        assert keyed == (route.writes is not None) == (route.method == "POST")


async def test_what_the_site_answers_below_the_api_is_what_is_described(site: Site) -> None:
    mounted = {
        (route.method.lower(), route.resource.canonical)
        for route in build_site(site.services).router.routes()
        if route.resource and route.resource.canonical.startswith("/api/") and route.method != "HEAD"
    }
    assert mounted == {(method, path) for path, method, _ in _operations()}


async def test_anybody_may_read_the_document(site: Site) -> None:
    status, body = await site.get("/openapi.json")
    assert (status, body) == (200, json.loads(json.dumps(DOCUMENT)))
    assert "class" in body["components"]["schemas"]["TicketItem"]["properties"]
