"""docs/settings.md, made from the models: `python -m gateway.settings_text > docs/settings.md` (make docs)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from channels.durations import show_duration, show_size
from gateway.schemas import SCHEMAS

HEAD = """# Settings

Made from the models by `make docs`; a test keeps it true. `gateway check` names every fault of your files with line and
column, and `gateway schema --into DIR` writes JSON Schemas that editors complete and check with (for the YAML language
server: a first line `# yaml-language-server: $schema=DIR/gateway.schema.json`).

Files are YAML 1.2: `no`, `18:00` and `+380…` are text. Durations have a unit (`30s`, `15m`, `2h`, `180d`, `1h 30m`),
sizes too (`256KB`, `50MB`). Secrets never stand in a file: `env:NAME` or `file:PATH`. Later wins: the file, the
environment (`GATEWAY__SMTP__PORT=0`), the command line (`--set smtp.port=0`).
"""

Schema = Mapping[str, Any]


def text() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, make in SCHEMAS.items():
        schema = make()
        parts.append(f"\n## {name}\n\n{_said(schema)}\n" if schema.get("description") else f"\n## {name}\n")
        parts.append("\n| key | type | default | meaning |\n|---|---|---|---|\n")
        parts += [f"| `{key}` | {kind} | {default} | {said} |\n" for key, kind, default, said in _rows(schema)]
    return "".join(parts)


def _rows(schema: Schema) -> Iterator[tuple[str, str, str, str]]:
    yield from _below(schema, schema.get("$defs", {}), "", ())


def _below(
    schema: Schema, defs: Mapping[str, Schema], prefix: str, above: tuple[str, ...]
) -> Iterator[tuple[str, str, str, str]]:
    for name, given in schema.get("properties", {}).items():
        key = f"{prefix}{name}"
        below = given.get("additionalProperties")
        if isinstance(below, Mapping) and (choices := below.get("oneOf", ())):
            yield from _chosen(choices, defs, f"{key}.<name>", above)
            continue
        inner, step, named = _inner(given, defs)
        if inner is not None and named not in above:
            if step or given.get("description"):
                yield f"{key}{step}", "block", "", _said(given) or _said(inner)
            yield from _below(inner, defs, f"{key}{step}.", (*above, named))
        else:
            yield key, _kind(given, defs), _default(given), _said(given)


def _chosen(
    choices: Sequence[Schema], defs: Mapping[str, Schema], key: str, above: tuple[str, ...]
) -> Iterator[tuple[str, str, str, str]]:
    """The keys of each kind of block, one kind after the other; `provider` or `kind` says which one it is."""
    for choice in choices:
        name = choice["$ref"].rpartition("/")[2]
        inner = defs[name]
        said = next(one for one in ("provider", "kind") if one in inner["properties"])
        kind = inner["properties"][said].get("const", name)
        yield key, "block", "", f"With `{said}: {kind}`: {_said(inner)}"
        yield from _below(inner, defs, f"{key}.", (*above, name))


def _inner(given: Schema, defs: Mapping[str, Schema]) -> tuple[Schema | None, str, str]:
    """The block that a value is made of, how to get there (`.<name>`, `[]`), and the block's name."""
    if "properties" in given:
        return given, "", str(given.get("title", ""))
    for choice in (given, *given.get("anyOf", ())):
        if "$ref" in choice:
            name = choice["$ref"].rpartition("/")[2]
            # A block that a text may stand for.
            found = next(
                (one for one in defs.get(name, {}).get("anyOf", ()) if "properties" in one), defs.get(name, {})
            )
            if "properties" in found:
                return found, "", name
        named = next(iter(choice.get("patternProperties", {}).values()), None)
        for below, step in (
            (choice.get("additionalProperties"), ".<name>"), (named, ".<name>"), (choice.get("items"), "[]"),
        ):  # fmt: skip
            if isinstance(below, Mapping):
                found_below, more, name = _inner(below, defs)
                if found_below is not None:
                    return found_below, step + more, name
    return None, "", ""


def _kind(given: Schema, defs: Mapping[str, Schema]) -> str:
    if "$ref" in given:
        return _kind(defs.get(given["$ref"].rpartition("/")[2], {}), defs)
    if "enum" in given:
        return ", ".join(f"`{value}`" for value in given["enum"])
    if "const" in given:
        return f"`{given['const']}`"
    if "anyOf" in given:
        kinds = dict.fromkeys(_kind(choice, defs) for choice in given["anyOf"] if choice.get("type") != "null")
        return " or ".join(kinds)
    if given.get("type") == "array":
        return f"list of {_kind(given.get('items', {}), defs)}"
    if given.get("type") == "object":
        return f"name: {_kind(given.get('additionalProperties') or {}, defs)}"
    return "duration" if "examples" in given and "15m" in given["examples"] else str(given.get("type", "any"))


def _default(given: Schema) -> str:
    if "default" not in given or given["default"] in (None, "", [], {}):
        return ""
    value = given["default"]
    if _kind(given, {}) == "duration":
        return f"`{show_duration(TypeAdapter(timedelta).validate_python(value))}`"
    if _kind(given, {}) == "integer or string":
        return f"`{show_size(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _said(given: Schema) -> str:
    return " ".join(str(given.get("description", "")).split()).replace("|", "\\|")


if __name__ == "__main__":
    print(text(), end="")  # noqa: T201 - this is its output
