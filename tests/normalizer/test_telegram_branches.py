"""Each branch of the Telegram parser is needed: turned round, or taken away, it makes some case come out otherwise."""

from __future__ import annotations

import ast
import importlib
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import normalizer
from gateway.explain import raw_of
from normalizer import telegram_acts, telegram_kinds, telegram_media, telegram_place, telegram_rich, telegram_text
from normalizer.message import Event, RawMessage
from tests.normalizer.telegram_cases import AT, CASES, NAMES, shown, wanted

FOLDER = Path(normalizer.__path__[0])
MODULES = sorted(path.stem for path in FOLDER.glob("telegram*.py"))
BODIES = {name: ((CASES / f"{name}.update").read_bytes(), wanted(name)) for name in NAMES}
SAME = frozenset(
    {
        "telegram_rich: without value is None",  # what is not there costs nothing of what may be read
        "telegram_rich: without self.left < 0",  # no case is that long; test_telegram_totality has one
        "telegram_wire: without 0",  # False is 0
    }
)
"""Conditions that change no event of a case."""

Read = Callable[[RawMessage], Event]


def _differs(read: Read) -> bool:
    """Whether some case comes out otherwise, or not at all."""
    for body, expected in BODIES.values():
        try:
            event = read(raw_of("telegram/1", body, received_at=AT, facts=expected["facts"]))
        except Exception:  # noqa: BLE001 - a broken parser fails one way or another
            return True
        if shown(event) != expected["event"]:
            return True
    return False


# -- conditions ---------------------------------------------------------------------------


def _conditions(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int]]:
    """(node, field, place in the field or -1) of every condition."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp):
            yield node, "test", -1
        elif isinstance(node, ast.comprehension):
            yield from ((node, "ifs", place) for place in range(len(node.ifs)))


def _operands(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int]]:
    """The same for every operand of `and` and `or`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BoolOp):
            yield from ((node, "values", place) for place in range(len(node.values)))


def _places(module: str) -> list[tuple[str, str]]:
    """(what to do, source) of each place in a module."""
    source = (FOLDER / f"{module}.py").read_text(encoding="utf-8")
    found = []
    for how, search in (("not", _conditions), ("without", _operands)):
        for node, field, place in search(ast.parse(source)):
            value = getattr(node, field)
            found.append((how, ast.unparse(value if place < 0 else value[place])))
    return found


def _changed(module: str, how: str, number: int) -> ast.Module:
    """A module with the one condition turned round, or the one operand taken away."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    node, field, place = list((_conditions if how == "not" else _operands)(tree))[number]
    value = getattr(node, field)
    if isinstance(node, ast.BoolOp):
        value[place] = ast.Constant(isinstance(node.op, ast.And))  # what changes nothing there
    elif place < 0:
        setattr(node, field, ast.UnaryOp(op=ast.Not(), operand=value))
    else:
        value[place] = ast.UnaryOp(op=ast.Not(), operand=value[place])
    return ast.fix_missing_locations(tree)


def _reader(module: str, tree: ast.Module) -> Read:
    """`normalizer.telegram.read` with a changed module in the place of its own."""
    names = [f"normalizer.{name}" for name in MODULES]
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    for name in MODULES:
        vars(normalizer).pop(name, None)
    try:
        changed = types.ModuleType(f"normalizer.{module}")
        sys.modules[changed.__name__] = changed
        exec(compile(tree, f"{module}.py", "exec"), vars(changed))
        setattr(normalizer, module, changed)
        read: Read = importlib.import_module("normalizer.telegram").read
        return read
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(kept)
        for name, found in kept.items():
            setattr(normalizer, name.rpartition(".")[2], found)


@pytest.mark.parametrize("module", MODULES)
def test_every_condition_is_needed(module: str) -> None:
    numbers = {"not": 0, "without": 0}
    useless = []
    for how, source in _places(module):
        number = numbers[how]
        numbers[how] += 1
        if f"{module}: {how} {source}" not in SAME and not _differs(_reader(module, _changed(module, how, number))):
            useless.append(f"{module}: {how} {source}")
    assert not useless


def test_the_parser_unchanged_reads_every_case() -> None:
    source = (FOLDER / "telegram.py").read_text(encoding="utf-8")
    assert not _differs(_reader("telegram", ast.parse(source)))


# -- tables -------------------------------------------------------------------------------


TABLES: Mapping[str, tuple[Any, str]] = {
    "files": (telegram_media, "KINDS"),
    "kinds": (telegram_kinds, "KINDS"),
    "marks": (telegram_text, "_KINDS"),
    "stand-ins": (telegram_place, "STAND_INS"),
    "status": (telegram_acts, "_GONE"),
}


@pytest.mark.parametrize(
    ("table", "key"), [(name, key) for name, (module, table) in TABLES.items() for key in getattr(module, table)]
)
def test_every_entry_is_needed(table: str, key: Any) -> None:
    module, name = TABLES[table]
    entries = getattr(module, name)
    whole = dict(entries)
    del entries[key]
    try:
        assert _differs(importlib.import_module("normalizer.telegram").read)
    finally:
        # In its old order, which is that of what is said: an entry put back alone would be the last.
        entries.clear()
        entries.update(whole)


@pytest.mark.parametrize("name", telegram_rich._INLINE)
def test_every_text_of_a_block_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telegram_rich, "_INLINE", tuple(one for one in telegram_rich._INLINE if one != name))
    assert _differs(importlib.import_module("normalizer.telegram").read)
