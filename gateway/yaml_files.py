"""YAML 1.2 files with the place of every value, checked by pydantic models.

A plain scalar means what it looks like: `no`, `18:00`, `2026-01-01`, `+380…` and `007` are text,
because reading them as a number or a date would change them silently.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Key: TypeAlias = str | int
Loc: TypeAlias = tuple[Key, ...]
Place: TypeAlias = tuple[int, int]
"""Line and column, both from 1."""
M = TypeVar("M", bound=BaseModel)

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 50
GOOD_PART_ROUNDS = 5
"""How often faulty values are left out until the rest is good."""

_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)")
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SECRET = re.compile(r"token|secret|password|passwd|key|auth", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One fault of a configuration file. `line` and `column` count from 1; 0 when there is no place."""

    file: str
    line: int
    column: int
    key: str
    """Dotted path of the value, `contracts.acme.offices[0].zone`; "" for the file itself."""
    message: str
    """What is wrong and what would be right."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: "
        return f"{where}{self.key}: {self.message}" if self.key else f"{where}{self.message}"


@dataclass(slots=True, kw_only=True)
class Document:
    """A file as plain values (None, bool, int, float, str, list, dict) with the place of each."""

    file: str
    data: Any = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    keys: dict[tuple[str, ...], Place] = field(default_factory=dict)
    values: dict[tuple[str, ...], Place] = field(default_factory=dict)

    def place(self, loc: Sequence[Key], *, of_key: bool = False) -> Place:
        """Where `loc` stands, or its nearest ancestor that does; (0, 0) for an empty file."""
        path = tuple(map(str, loc))
        first, second = (self.keys, self.values) if of_key else (self.values, self.keys)
        while True:
            found = first.get(path) or second.get(path)
            if found or not path:
                return found or (0, 0)
            path = path[:-1]

    def known(self, loc: Sequence[Key]) -> bool:
        """True when `loc` stands in the file."""
        return tuple(map(str, loc)) in self.values

    def text(self, loc: Sequence[Key], *more: Key) -> str:
        """The value at `loc` as it was written, "" when there is none."""
        found = self.data
        for part in (*loc, *more):
            found = (
                found.get(part) if isinstance(found, dict) else found[int(part)] if isinstance(found, list) else None
            )
        return "" if found is None else str(found)

    def problem(self, loc: Sequence[Key], message: str, *, of_key: bool = False) -> Problem:
        """A fault at `loc`; added to `problems` and returned."""
        line, column = self.place(loc, of_key=of_key)
        found = Problem(file=self.file, line=line, column=column, key=self.dotted(loc), message=message)
        self.problems.append(found)
        return found

    def dotted(self, loc: Sequence[Key]) -> str:
        """("rules", 0, "set") -> "rules[0].set"; a number that is a key stands after a dot."""
        out, here = "", self.data
        for part in loc:
            if isinstance(here, list) and isinstance(part, int):
                out, here = f"{out}[{part}]", here[part] if part < len(here) else None
            else:
                out = f"{out}.{part}" if out else str(part)
                here = here.get(part) if isinstance(here, dict) else None
        return out


# -- reading ------------------------------------------------------------------------------


def read(path: Path) -> Document:
    """Read one file. Never raises for what is in it: faults are in `problems`. An absent file is a fault too."""
    document = Document(file=str(path))
    try:
        content = path.read_bytes()
    except OSError as error:
        document.problem((), f"cannot be read: {error.strerror or error}")
        return document
    if len(content) > MAX_BYTES:
        document.problem((), f"is {len(content)} bytes; a configuration file has at most {MAX_BYTES}")
        return document
    try:
        return parse(content.decode("utf-8-sig"), file=str(path))
    except UnicodeDecodeError as error:
        document.problem((), f"is not UTF-8 (byte {error.start}); save it as UTF-8")
        return document


def parse(text: str, *, file: str = "<text>") -> Document:
    """Read YAML text; see `read`."""
    document = Document(file=file)
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        said = "; ".join(part for part in (error.context, error.problem) if part)
        document.problems.append(
            Problem(file=file, line=line, column=column, key="", message=f"is not valid YAML: {said}")
        )
        return document
    except (YAMLError, RecursionError) as error:
        said = str(error).splitlines()[0] if str(error) else "nested too deeply"
        document.problem((), f"is not valid YAML: {said}")
        return document
    if node is not None:
        document.data = _value(node, (), (), document)
        if document.data is None:
            document.data = {}
    return document


def scalar(text: str) -> bool | int | float | str | None:
    """What a plain (unquoted) scalar means: YAML 1.2 core words and decimal numbers without a plus or leading zero."""
    if text in _WORDS:
        word: bool | None = _WORDS[text]
        return word
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _mark(node: Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _value(node: Node, loc: Loc, above: tuple[int, ...], document: Document) -> Any:
    document.values[tuple(map(str, loc))] = _mark(node)
    if id(node) in above or len(above) >= MAX_DEPTH:
        document.problem(loc, "refers to itself or is nested too deeply")
        return None
    above = (*above, id(node))
    match node:
        case MappingNode():
            return _mapping(node, loc, above, document)
        case SequenceNode():
            return [_value(item, (*loc, n), above, document) for n, item in enumerate(node.value)]
        case ScalarNode():
            return _scalar(node, loc, document)
        case _:
            raise AssertionError(node)


def _scalar(node: ScalarNode, loc: Loc, document: Document) -> Any:
    tag = str(node.tag)
    if not tag.startswith("tag:yaml.org,2002:"):
        document.problem(loc, f"has the tag {tag}; tags are not used here, write the plain value")
    return scalar(node.value) if node.style is None else str(node.value)


def _mapping(node: MappingNode, loc: Loc, above: tuple[int, ...], document: Document) -> dict[Key, Any]:
    out: dict[Key, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, ScalarNode):
            document.problem(loc, "has a key that is not a plain word")
            continue
        plain = scalar(key_node.value) if key_node.style is None else key_node.value
        key: Key = plain if isinstance(plain, int) and not isinstance(plain, bool) else str(key_node.value)
        if key in out:
            line, column = _mark(key_node)
            said = f"stands twice (first in line {document.place((*loc, key), of_key=True)[0]}); keep one of them"
            document.problems.append(
                Problem(file=document.file, line=line, column=column, key=document.dotted((*loc, key)), message=said)
            )
            continue
        document.keys[tuple(map(str, (*loc, key)))] = _mark(key_node)
        out[key] = _value(value_node, (*loc, key), above, document)
    return out


# -- checking -----------------------------------------------------------------------------


def load(path: Path, model: type[M]) -> tuple[M | None, list[Problem]]:
    """Read and check one file: the value, or None beside every problem found (at least one)."""
    return check(read(path), model)


def check(document: Document, model: type[M]) -> tuple[M | None, list[Problem]]:
    """Check a document against a model. Problems of reading and of the model together, in the order of the file."""
    value = None
    if not document.problems or document.data:
        try:
            value = model.model_validate(document.data)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                _refuse(document, model, details)
    problems = sorted(document.problems)
    return (None if problems else value), problems


def good_part(document: Document, model: type[M]) -> tuple[M | None, frozenset[Loc]]:
    """What a model takes of a faulty document: the rest can be looked at for faults of another kind at once.

    Returns the value of what is left, None when that is nothing, and the places that were left out.
    """
    data, cut = copy.deepcopy(document.data), set[Loc]()
    for _ in range(GOOD_PART_ROUNDS):
        try:
            return model.model_validate(data), frozenset(cut)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                if place := _leave_out(data, details):
                    cut.add(place)
    return None, frozenset(cut)


def branch(name: str) -> str:
    """The tag of a branch of a union: pydantic puts it into the place of an error, and no key of a file looks so."""
    return f"<{name}>"


def _place(details: ErrorDetails) -> Loc:
    """Where in the file an error is. One about the choice of a branch is about the key that chooses."""
    loc = tuple(part for part in details["loc"] if part != "[key]" and not _is_branch(part))
    chosen_by = details.get("ctx", {}).get("discriminator") if details["type"] == "union_tag_invalid" else None
    return (*loc, str(chosen_by).removesuffix("()")) if chosen_by else loc


def _is_branch(part: Key) -> bool:
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


def _leave_out(data: Any, details: ErrorDetails) -> Loc | None:
    """Take the innermost named value that an error is about out of `data`; None when nothing can be taken out."""
    loc = _place(details)
    # What is missing makes the block around it useless, and nobody knows what a block of no kind means.
    loc = loc[:-1] if details["type"] in ("missing", "union_tag_invalid") else loc
    while loc:
        above = _at(data, loc[:-1])
        # An item of a list stays: the places of those behind it must remain what they are.
        if isinstance(above, dict) and loc[-1] in above:
            del above[loc[-1]]
            return loc
        loc = loc[:-1]
    return None


def _at(data: Any, loc: Loc) -> Any:
    for part in loc:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _refuse(document: Document, model: type[BaseModel], details: ErrorDetails) -> None:
    loc = _place(details)
    known = 0
    while known < len(loc) and document.known(loc[: known + 1]):
        known += 1
    # what follows a known path is the name of a missing key, or pydantic's name for a branch of a union
    shown = loc[: known + 1] if details["type"] == "missing" else loc[:known]
    unknown = details["type"] == "extra_forbidden"
    message = _unknown(model, details["loc"]) if unknown else _said(details, loc)
    problem = document.problem(shown, message, of_key=unknown or "[key]" in details["loc"])
    if document.problems.count(problem) > 1:
        document.problems.pop()


def _said(details: ErrorDetails, loc: Loc) -> str:
    got = details.get("input")
    secret = any(isinstance(part, str) and _SECRET.search(part) for part in loc)
    shown = "" if secret or isinstance(got, dict | list) else f" (got {str(got)[:40]!r})"
    match details["type"]:
        case "missing":
            return "is missing; add it"
        case "string_type" if isinstance(got, bool | int | float):
            return f'should be text{shown}; put it in quotes: "…"'
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"should be a block of keys{shown}"
        case "list_type" | "tuple_type":
            return f"should be a list{shown}; write - before each item, or [a, b]"
        case "union_tag_invalid":
            known = re.sub(r"[<>']", "", str(details["ctx"]["expected_tags"]))
            return f"should be one of: {known}{re.sub('[<>]', '', shown)}"
        case "value_error":
            return str(details["msg"]).removeprefix("Value error, ")
        case _:
            text = str(details["msg"]).removeprefix("Input ").removeprefix("Value ")
            return f"{text[:1].lower()}{text[1:]}{shown}"


def _unknown(model: type[BaseModel], loc: Loc) -> str:
    names = sorted(
        info.alias or name for inner in _models_at(model, loc[:-1]) for name, info in inner.model_fields.items()
    )
    near = difflib.get_close_matches(str(loc[-1]), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}"
    return f"is not a known key; {hint}" if names else "is not a known key"


def _models_at(model: type[BaseModel], loc: Loc) -> list[type[BaseModel]]:
    here: list[Any] = [model]
    for part in loc:
        here = [inner for item in here for inner in _step(item, part)]
    return [inner for item in here for inner in _models(item)]


def _step(annotation: Any, part: Key) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        inside, *marks = get_args(annotation)
        if _is_branch(part) and Tag(str(part)) in marks:
            yield inside
        else:
            yield from _step(inside, part)
        return
    for model in _models(annotation, deep=False):
        for name, info in model.model_fields.items():
            if part in (name, info.alias):
                made = getattr(model, "MADE", {}).get(name)
                yield made() if made is not None else info.annotation
        return
    for inner in get_args(annotation):
        # every branch of a union takes the same step; of a dict or list the step leads to its values
        yield from _step(inner, part) if get_origin(annotation) in (Union, UnionType) else (inner,)


def _models(annotation: Any, *, deep: bool = True) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for inner in get_args(annotation) for model in _models(inner)] if deep else []
