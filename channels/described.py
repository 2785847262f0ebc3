"""Models of configuration and API whose keys say what they mean in the texts under them.

pydantic reads such texts itself (`use_attribute_docstrings`), but from the source of every class at every start: a
tenth of what the program needs before it does anything. Here they are read when somebody asks for a schema.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema


class Described(BaseModel):
    """A model whose JSON Schema has the text under each attribute as its description (PEP 258)."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        made = handler(schema)
        properties: dict[str, dict[str, Any]] = handler.resolve_ref_schema(made).get("properties", {})
        for name, text in meanings(cls).items():
            field = cls.model_fields.get(name)
            for key in (name, field.alias if field is not None else None):
                if key in properties:
                    properties[key].setdefault("description", text)
        return made


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Attribute -> the text under it, of the class and of those above it; empty for a class without a source."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            found |= _of_module(cls.__module__).get(cls.__qualname__, {})
    return found


@lru_cache(maxsize=256)
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """Class -> attribute -> text. Nothing where the source did not come along."""
    try:
        source = inspect.getsource(sys.modules[name])
    except (KeyError, OSError, TypeError):
        return {}
    return dict(_of_classes(ast.parse(source).body, ""))


def _of_classes(body: list[ast.stmt], above: str) -> Iterator[tuple[str, dict[str, str]]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield f"{above}{node.name}", dict(_of_attributes(node.body))
            yield from _of_classes(node.body, f"{above}{node.name}.")


def _of_attributes(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node, after in pairwise(body):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        match after:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.target.id, inspect.cleandoc(text)
            case _:
                continue
