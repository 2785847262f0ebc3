"""The small language of a described interface: Jinja, sandboxed, for what is sent and for what is read.

A text with `{{ … }}` in it is filled in. One that is nothing but `{{ expression }}` keeps the value's type, so that a
number stays a number and a list a list. What reads an answer is an expression without braces: `answer.Номер`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import ChainableUndefined, StrictUndefined, TemplateError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import AfterValidator

from gateway.feeds.contract import FeedError

Values: TypeAlias = Mapping[str, Any]
Filling: TypeAlias = Callable[[Values], Any]
"""Fills in what was described."""
MOST = 1000
"""Templates and expressions that are kept compiled; compiling one takes longer than a call of the store."""
_NOWHERE = object()
_NAMES = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_ALONE = re.compile(r"\A\{\{((?:(?!\{\{|\}\}).)*)\}\}\Z", re.DOTALL)


def _local(at: str | None, zone: str = "UTC", form: str = "%Y-%m-%dT%H:%M:%S") -> str:
    """An instant of ours in a zone and form of the store's; "" for none."""
    return datetime.fromisoformat(at).astimezone(ZoneInfo(zone)).strftime(form) if at else ""


_FILTERS: Mapping[str, Callable[..., Any]] = {
    "local": _local, "part": lambda value: quote(str(value), safe=""),
}  # fmt: skip


def _environment(undefined: type[Undefined]) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(undefined=undefined, autoescape=False)
    made.filters.update(_FILTERS)
    return made


_SENT = _environment(StrictUndefined)
"""A name that there is not is a mistake of the description."""
_READ = _environment(ChainableUndefined)
"""A place that an answer does not have is nothing special."""


def checked(text: str) -> str:
    try:
        compiled(text)
    except TemplateError as error:
        raise ValueError(f"is no template: {error.message}") from None
    return text


def _expression(text: str) -> str:
    try:
        _READ.compile_expression(text, undefined_to_none=True)
    except TemplateError as error:
        raise ValueError(f"is no expression: {error.message}") from None
    return text


Template: TypeAlias = Annotated[str, AfterValidator(checked)]
"""Text with `{{ … }}`."""
Expression: TypeAlias = Annotated[str, AfterValidator(_expression)]
"""`answer.id`, `item.Код`."""


@lru_cache(maxsize=MOST)
def compiled(text: str) -> Filling:
    """What fills a template in. Raises TemplateError."""
    if alone := _ALONE.match(text):
        found = _SENT.compile_expression(alone[1], undefined_to_none=False)
        return lambda values: found(**values)
    template = _SENT.from_string(text)
    return lambda values: template.render(**values)


def filling(shape: Any) -> Filling:
    """What fills `shape`, JSON with templates for texts, in: made once, used for each ticket. It raises FeedError for a
    name that there is not. Raises TemplateError."""
    match shape:
        case str():
            return _text(shape)
        case Mapping():
            parts = [(key, filling(each)) for key, each in shape.items()]
            return lambda values: {key: part(values) for key, part in parts}
        case list() | tuple():
            each_of = [filling(each) for each in shape]
            return lambda values: [part(values) for part in each_of]
        case _:
            return lambda _: shape


def _text(text: str) -> Filling:
    parts = _parts(text)
    if parts is None:
        return lambda values: _guarded(compiled(text), values, text)
    if all(isinstance(part, str) for part in parts):
        whole = "".join(map(str, parts))
        return lambda _: whole
    alone = _ALONE.match(text) is not None

    def fill(values: Values) -> Any:
        found = [part if isinstance(part, str) else part.value(values) for part in parts]
        if _NOWHERE in found:
            return compiled(text)(values)  # which says what is wrong
        return found[0] if alone else "".join(map(str, found))

    def walk(values: Values) -> Any:
        found = _walked(path, values)
        return found if found is not _NOWHERE else _guarded(fill, values, text)

    path = parts[0].path if isinstance(parts[0], _Part) and not parts[0].filters else ()
    return walk if alone and path else lambda values: _guarded(fill, values, text)


@dataclass(frozen=True, slots=True)
class _Part:
    """A value by its path, and what is done with it."""

    path: tuple[str, ...]
    filters: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...]

    def value(self, values: Values) -> Any:
        found = _walked(self.path, values)
        for apply, given in self.filters if found is not _NOWHERE else ():
            found = apply(found, *given)
        return found


def _parts(text: str) -> Sequence[str | _Part] | None:
    """A template that is nothing but texts, paths and filters of ours; None for more, which is for Jinja: it needs ten
    times as long. Raises TemplateError."""
    found: list[str | _Part] = []
    for node in _SENT.parse(text).body:
        if not isinstance(node, nodes.Output):
            return None
        for each in node.nodes:
            part = each.data if isinstance(each, nodes.TemplateData) else _part(each)
            if part is None:
                return None
            found.append(part)
    return found


def _part(node: nodes.Node) -> _Part | None:
    filters: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
    while isinstance(node, nodes.Filter) and node.name in _FILTERS and node.node is not None:
        if node.kwargs or node.dyn_args or node.dyn_kwargs or not all(isinstance(n, nodes.Const) for n in node.args):
            return None
        filters.insert(0, (_FILTERS[node.name], tuple(each.as_const() for each in node.args)))
        node = node.node
    names: list[str] = []
    while isinstance(node, nodes.Getattr):
        names.insert(0, node.attr)
        node = node.node
    return _Part((node.name, *names), tuple(filters)) if isinstance(node, nodes.Name) else None


def read(expression: str, values: Values) -> Any:
    """The value, or None where the answer has no such place. Raises FeedError when it cannot be computed."""
    return _reader(expression)(values)


@lru_cache(maxsize=MOST)
def _reader(expression: str) -> Filling:
    inner = expression.strip()
    path = tuple(inner.split(".")) if _NAMES.fullmatch(inner) else ()
    computed: list[Filling] = []

    def compute(values: Values) -> Any:
        if not computed:  # most never need Jinja
            found = _READ.compile_expression(expression, undefined_to_none=True)
            computed.append(lambda values: found(**values))
        return _guarded(computed[0], values, expression)

    def walk(values: Values) -> Any:
        walked = _walked(path, values)
        if walked is not _NOWHERE:
            return walked
        return None if _is_absent(path, values) else compute(values)

    return walk if path else compute


def _walked(path: tuple[str, ...], values: Values) -> Any:
    """What stands at a path; `_NOWHERE` leaves it to Jinja, which takes ten times as long."""
    found: Any = values
    for name in path:
        if type(found) is not dict and not isinstance(found, Mapping):
            return _NOWHERE
        found = found.get(name, _NOWHERE)
    return found if path else _NOWHERE


def _is_absent(path: tuple[str, ...], values: Values) -> bool:
    """Does the path end where JSON has nothing? What is no plain JSON object is left to Jinja."""
    found: Any = values
    for depth, name in enumerate(path):
        if type(found) is not dict or hasattr(dict, name):
            return False
        if name not in found:
            return depth > 0
        found = found[name]
    return False


def _guarded(compute: Filling, values: Values, text: str) -> Any:
    try:
        found = compute(values)
        if isinstance(found, StrictUndefined):
            str(found)  # raises, and says what is undefined
        return found
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        # The error's own words may quote what people wrote.
        raise FeedError(f"{text!r} cannot be computed: {type(error).__name__}", again=False) from None
