"""The small language of a described interface: Jinja, sandboxed, for what is sent and for what is read.

A text with `{{ … }}` in it is filled in. One that is nothing but `{{ expression }}` keeps the value's type, so that a
number stays a number and a list a list. What reads an answer is an expression without braces: `answer.Номер`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import ChainableUndefined, StrictUndefined, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import AfterValidator

from gateway.feeds.contract import FeedError

Values: TypeAlias = Mapping[str, Any]
MOST = 1000
"""Templates and expressions that are kept compiled; compiling one takes longer than a call of the store."""
_NOWHERE = object()
_NAMES = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_ALONE = re.compile(r"\A\{\{((?:(?!\{\{|\}\}).)*)\}\}\Z", re.DOTALL)


def _local(at: str | None, zone: str = "UTC", form: str = "%Y-%m-%dT%H:%M:%S") -> str:
    """An instant of ours in a zone and form of the store's; "" for none."""
    return datetime.fromisoformat(at).astimezone(ZoneInfo(zone)).strftime(form) if at else ""


def _environment(undefined: type[Undefined]) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(undefined=undefined, autoescape=False)
    made.filters["local"] = _local
    made.filters["part"] = lambda value: quote(str(value), safe="")
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
def compiled(text: str) -> Callable[[Values], Any]:
    """What fills a template in. Raises TemplateError."""
    if alone := _ALONE.match(text):
        found = _SENT.compile_expression(alone[1], undefined_to_none=False)
        return lambda values: found(**values)
    template = _SENT.from_string(text)
    return lambda values: template.render(**values)


def filled(shape: Any, values: Values) -> Any:
    """`shape`, JSON with templates for texts, filled in. Raises FeedError for a name that there is not."""
    match shape:
        case str():
            found = _walked(_path(shape, alone=True), values)
            return found if found is not _NOWHERE else _guarded(lambda: compiled(shape)(values), shape)
        case Mapping():
            return {key: filled(each, values) for key, each in shape.items()}
        case list() | tuple():
            return [filled(each, values) for each in shape]
        case _:
            return shape


def read(expression: str, values: Values) -> Any:
    """The value, or None where the answer has no such place. Raises FeedError when it cannot be computed."""
    walked = _walked(_path(expression, alone=False), values)
    if walked is not _NOWHERE:
        return walked
    found = _reader(expression)
    return _guarded(lambda: found(**values), expression)


@lru_cache(maxsize=2 * MOST)
def _path(text: str, *, alone: bool) -> tuple[str, ...]:
    """The names of `{{ ticket.subject }}`, or of `answer.id`; () where it is more than a path."""
    inside = _ALONE.match(text)
    inner = text if not alone else inside[1] if inside else ""
    return tuple(inner.strip().split(".")) if _NAMES.fullmatch(inner.strip()) else ()


def _walked(path: tuple[str, ...], values: Values) -> Any:
    """What stands at a path; `_NOWHERE` leaves it to Jinja, which takes ten times as long."""
    found: Any = values
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return _NOWHERE
        found = found[name]
    return found if path else _NOWHERE


@lru_cache(maxsize=MOST)
def _reader(expression: str) -> Callable[..., Any]:
    return _READ.compile_expression(expression, undefined_to_none=True)


def _guarded(compute: Callable[[], Any], text: str) -> Any:
    try:
        found = compute()
        if isinstance(found, StrictUndefined):
            str(found)  # raises, and says what is undefined
        return found
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        # The error's own words may quote what people wrote.
        raise FeedError(f"{text!r} cannot be computed: {type(error).__name__}", again=False) from None
