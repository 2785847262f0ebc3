"""What costs the tests most and is always the same, done once a process: reading the shipped YAML and texts.

Every gateway inside a test process reads `config/`. The two parsers are pure: the same text gives the same tree, and
nobody changes it. Programs that `tests.ready` starts have this, too; the gateway has not.
"""

from __future__ import annotations

from functools import lru_cache
from types import CodeType
from typing import Any

from jinja2 import Environment
from ruamel.yaml import YAML
from ruamel.yaml.nodes import Node

KEPT = 4000


def parse_once() -> None:
    """From now on in this process; a fault is told anew each time."""
    _compose_once()
    _compile_once()


def _compose_once() -> None:
    compose = YAML.compose

    @lru_cache(maxsize=256)
    def composed(typ: tuple[str, ...], pure: bool, text: str) -> Node | None:
        found: Node | None = compose(YAML(typ=list(typ), pure=pure), text)
        return found

    def remembered(self: YAML, stream: Any) -> Any:
        return composed(tuple(self.typ), self.pure, stream) if isinstance(stream, str) else compose(self, stream)

    setattr(YAML, "compose", remembered)  # noqa: B010 - mypy forbids the plain assignment


def _compile_once() -> None:
    compiled = Environment.compile
    kept: dict[tuple[Any, ...], CodeType] = {}

    def remembered(self: Environment, source: Any, name: str | None = None, filename: str | None = None) -> Any:
        options = (type(self), self.autoescape, self.lstrip_blocks, self.trim_blocks, self.keep_trailing_newline)
        key = (*options, self.undefined, self.finalize, source, name, filename)
        if not isinstance(source, str) or self.extensions:
            return compiled(self, source, name, filename)
        if key not in kept and len(kept) < KEPT:
            kept[key] = compiled(self, source, name, filename)
        return kept[key] if key in kept else compiled(self, source, name, filename)

    setattr(Environment, "compile", remembered)  # noqa: B010
