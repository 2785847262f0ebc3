"""What `sql_inspect` guessed, as YAML that can be loaded, with a comment on each guess."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gateway.feeds import sql_inspect_words as names
from gateway.feeds.sql_inspect_times import OURS, Text

GAP = "FILL-IN"
"""What a person has to put there."""

_INSTEAD = (
    ("open", "new"), ("new", "open"), ("held", "waiting"), ("closed", "resolved"), ("waiting", "open"),
    ("held", "open"), ("resolved", "closed"),
)  # fmt: skip
"""A status that they have no word for -> the one whose word it gets."""


@dataclass(slots=True, kw_only=True)
class Found:
    """A table and what of it was recognised."""

    table: str
    ids: list[str]
    columns: dict[str, str]
    """Column -> field."""
    lookups: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Column -> (table, word, code)."""
    words: dict[str, list[str]] = field(default_factory=dict)
    """Field -> the words that stand there."""
    stamps: list[str] = field(default_factory=list)
    """Columns without a default that want a time."""
    demanded: dict[str, str] = field(default_factory=dict)
    """Column without a default that wants a value -> its type."""


@dataclass(slots=True, kw_only=True)
class Tied:
    """How a table hangs on another one."""

    on: dict[str, str]
    table: str | None = None
    """The table between."""
    beside: dict[str, str] = field(default_factory=dict)
    """How that one hangs on the tickets."""


@dataclass(slots=True, kw_only=True)
class Guess:
    """Everything."""

    schema: str | None
    tickets: Found
    others: list[str] = field(default_factory=list)
    changed: str | None = None
    changed_text: Text | None = None
    """Where no column of a type for times says it."""
    changed_demanded: bool = False
    """It wants a value."""
    merged: str | None = None
    gone: str | None = None
    gone_word: str = "1"
    next: str | None = None
    messages: Found | None = None
    messages_tied: Tied | None = None
    messages_next: str | None = None
    through: Found | None = None
    kind_column: str | None = None
    files: Found | None = None
    files_tied: Tied | None = None


def written(guess: Guess) -> str:
    """The YAML."""
    lines = [
        "# A proposal from names, types, keys and the words in columns of codes. Read every line: a wrong one writes",
        f"# into a wrong column. What could not be guessed is marked {GAP}. Put it below `feeds: <name>:`, then run",
        "# `gateway check --online`.",
        *_head(guess), *_tickets(guess), *_messages(guess), *_files(guess), *_maps(guess),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _head(guess: Guess) -> Iterator[str]:
    yield "kind: sql"
    yield "url: env:DESK_DATABASE_URL  # or file:PATH: what holds the whole URL, with the password"
    if guess.schema is not None:
        yield f"schema: {_quoted(guess.schema)}"
    yield "timezone: UTC  # of columns that hold a time without a zone: as in Europe/Kyiv"


def _tickets(guess: Guess) -> Iterator[str]:
    found = guess.tickets
    yield "tickets:"
    also = f"; also likely: {', '.join(guess.others)}" if guess.others else ""
    yield f"  table: {_quoted(found.table)}  # by its name and its columns{also}"
    yield f"  id: {_list(found.ids)}  # the primary key"
    if guess.next is not None:
        yield f"  next: {_quoted(guess.next)}  # nothing counts it: the greatest one and 1"
    number = next((column for column, name in found.columns.items() if name == "number"), None)
    if number is not None:
        yield f"  number: {_quoted(number)}  # what people see"
    yield from _changed(guess)
    if guess.merged is not None:
        yield f"  merged: {_quoted(guess.merged)}"
    if guess.gone is not None:
        yield f"  gone: {{{_quoted(guess.gone)}: {guess.gone_word}}}"
    yield "  columns:"
    yield from _columns(found, guess.changed if _moved_by_us(guess) else None)
    if guess.changed is not None and not _moved_by_us(guess):
        yield f"    # {_quoted(guess.changed)}: {{field: now, way: out}}  # if the desk's program reads {OURS}"
    yield from _constants(found, "  ")
    yield from _through(guess)


def _changed(guess: Guess) -> Iterator[str]:
    text = guess.changed_text
    if guess.changed is not None:
        needs = f"{text.needs}; it " if text is not None else ""
        yield f"  changed: {_quoted(guess.changed)}  # {needs}has to move with EVERY change, or leave it out"
    elif text is not None:
        yield f"  # {_quoted(text.column)} may say when a row changed, but what stands there, if anything, is not"
        yield f"  # all of one form, as {OURS}: the mapped columns are compared"
    else:
        yield "  # no column says when a row changed: the mapped columns are compared"


def _moved_by_us(guess: Guess) -> bool:
    """A text that the desk's program writes in another form than we do is left to it, where it wants no value."""
    return guess.changed_text is None or guess.changed_text.form == OURS or guess.changed_demanded


def _columns(found: Found, changed: str | None = None, indent: str = "    ", *, keyed: bool = True) -> Iterator[str]:
    if keyed and "key" not in found.columns.values():
        yield f"{indent}{GAP}: key  # a text column of its own for our key, unique if possible"
    for column, name in found.columns.items():
        doubt = "  # is it free, and wide enough? it must hold nothing else" if name == "key" else ""
        if column in found.lookups:
            table, word, value = found.lookups[column]
            where = f"lookup: {{table: {_quoted(table)}, word: {_quoted(word)}, value: {_quoted(value)}}}"
            yield f"{indent}{_quoted(column)}: {{field: {name}, {where}}}"
        elif name in ("closed_at", "resolution_due", "opened_at"):
            way = "new" if name == "opened_at" else "out"
            yield f"{indent}{_quoted(column)}: {{field: {name}, way: {way}}}"
        elif name == "kind":
            known = _sorted(found.words.get("kind", []), names.KIND)
            values = _inline({each: known.get(each, [GAP]) for each in names.KIND})
            yield f"{indent}{_quoted(column)}: {{field: kind, values: {values}}}"
        else:
            yield f"{indent}{_quoted(column)}: {name}{doubt}"
    stamps = [changed] if changed is not None and changed not in found.columns else []
    for name in dict.fromkeys([*stamps, *found.stamps]):
        yield f"{indent}{_quoted(name)}: {{field: now, way: out}}"


def _constants(found: Found, indent: str, more: Mapping[str, str] | None = None) -> Iterator[str]:
    wanted = {**(more or {}), **{name: f"{GAP}  # {kind}, NOT NULL" for name, kind in found.demanded.items()}}
    if wanted:
        yield f"{indent}constants:"
        yield from (f"{indent}  {_quoted(name)}: {value}" for name, value in wanted.items())


def _through(guess: Guess) -> Iterator[str]:
    tied, found = guess.messages_tied, guess.through
    if tied is None or found is None:
        return
    yield "  beside:"
    yield "    thread:  # messages hang on this one"
    yield f"      table: {_quoted(found.table)}"
    yield f"      ticket: {_inline(tied.beside)}"
    if found.columns or found.stamps:
        yield "      columns:"
        yield from _columns(found, indent="        ", keyed=False)
    kind = (
        {guess.kind_column: f"{GAP}  # what says that the row hangs on a ticket"}
        if guess.kind_column is not None
        else {}
    )
    found.demanded = {name: type_ for name, type_ in found.demanded.items() if name not in kind}
    yield from _constants(found, "      ", kind)


def _messages(guess: Guess) -> Iterator[str]:
    found, tied = guess.messages, guess.messages_tied
    if found is None or tied is None:
        yield "# no table of messages was recognised: only the first message would be written"
        return
    yield "messages:"
    yield f"  table: {_quoted(found.table)}"
    yield f"  id: {_list(found.ids)}"
    if guess.messages_next is not None:
        yield f"  next: {_quoted(guess.messages_next)}"
    on = {name: f"thread.{of}" if tied.table is not None else of for name, of in tied.on.items()}
    yield f"  ticket: {_inline(on)}"
    yield "  columns:"
    yield from _columns(found)
    if not {"public", "kind"} & set(found.columns.values()):
        yield "    # nothing says what is public: every message of the desk would be a note, and leave nowhere"
    yield from _constants(found, "  ")


def _files(guess: Guess) -> Iterator[str]:
    found, tied = guess.files, guess.files_tied
    if found is None or tied is None:
        return
    yield "attachments:"
    yield f"  table: {_quoted(found.table)}"
    yield f"  message: {_inline(tied.on)}"
    yield "  columns:"
    yield from _columns(found, keyed=False)
    if "path" in found.columns.values():
        yield f"  folder: {GAP}  # where the paths begin"
    yield from _constants(found, "  ")


def _maps(guess: Guess) -> Iterator[str]:
    words = guess.tickets.words
    if not (words.get("status") or words.get("line")):
        return
    yield "map:  # ours: [what is written, others that are read as ours]"
    yield from _map("status", words.get("status", []), names.STATUS)
    yield from _map("line", words.get("line", []), names.LINE)
    if words.get("class"):
        yield f"  # class: {{1: {GAP}}} over {', '.join(_quoted(each) for each in words['class'])}"


def _map(name: str, words: list[str], patterns: Mapping[str, str]) -> Iterator[str]:
    if not words:
        return
    found = _sorted(words, patterns)
    if name == "status":
        for ours, instead in _INSTEAD:
            if ours not in found and instead in found:
                found[ours] = found[instead][:1]
    left = [word for word in words if not any(word in each for each in found.values())]
    if not found:
        yield f"  # {name}: not placed: {', '.join(_quoted(each) for each in left)}"
        return
    yield f"  {name}: {_inline(found)}" + (
        f"  # not placed: {', '.join(_quoted(each) for each in left)}" if left else ""
    )


def _sorted(words: list[str], patterns: Mapping[str, str]) -> dict[str, list[str]]:
    """Ours -> theirs, each of theirs once."""
    found: dict[str, list[str]] = {}
    for word in words:
        ours = next((each for each, pattern in patterns.items() if re.search(pattern, word, re.I)), None)
        if ours is not None:
            found.setdefault(ours, []).append(word)
    return found


def _inline(given: Mapping[str, object]) -> str:
    parts = []
    for name, value in given.items():
        shown = _list([str(each) for each in value]) if isinstance(value, list) else _quoted(str(value))
        parts.append(f"{_quoted(name)}: {shown}")
    return "{" + ", ".join(parts) + "}"


def _list(given: list[str]) -> str:
    return _quoted(given[0]) if len(given) == 1 else "[" + ", ".join(_quoted(each) for each in given) + "]"


def _quoted(text: str) -> str:
    """A text as YAML, in quotes where it needs some."""
    plain = re.fullmatch(r"[^\W\d][\w./-]*( [\w./-]+)*", text) and text.lower() not in (
        "null",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
    )
    return text if plain else json.dumps(text, ensure_ascii=False)
