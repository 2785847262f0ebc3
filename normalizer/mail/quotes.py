"""The visible part: what the sender wrote now, without the earlier messages and the signature.

Text is never lost by this (`text` keeps all of it). An answer written between the lines of a
quote is not trimmed: without the questions it cannot be understood.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from normalizer.mail import blocks, signatures
from normalizer.mail.markup import CUT, QUOTED

_LINES = 4000
"""Lines looked at; what comes after them is kept as it is."""

_VERB = (
    r"(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|said|napisał\(?a?\)?|написал(?:\(а\)|а)?|писал(?:\(а\)|а)?"
    r"|пишет|пише|написав(?:\(ла\))?|писав(?:\(ла\))?|писала|написала|сообщает|повідомляє|цитирует|вы писали"
    r"|ви писали|escreveu|skrev|schreef|kirjoitti)"
)
_WORD = re.compile(rf"{_VERB}\b|\bцитирование\b|\bцитування\b|\bquoting\b|\bцитата\b", re.IGNORECASE)
_WHEN = re.compile(r"\b(?:19|20)\d\d\b|\b\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b|\b\d{1,2}:\d\d\b")
_ADDRESS = re.compile(r"[^\s<>@]{1,64}@[^\s<>@]{1,190}")
_DAYS = (
    r"(?:mon|tue|wed|thu|fri|sat|sun|пн|вт|ср|чт|пт|сб|вс|нд|понедельник|вторник|среда|среду|четверг|пятница|пятницу"
    r"|суббота|субботу|воскресенье|понеділок|вівторок|середа|середу|четвер|п.ятниця|п.ятницю|субота|суботу|неділя"
    r"|неділю)"
)
_PAST = re.compile(
    r"\b(?:wrote|schrieb|a écrit|escribió|ha scritto|написал\w{0,2}|писал\w{0,2}|написал\(а\)|написав\w{0,2}|писав"
    r"|escreveu|skrev|schreef)"
    r"\s?[:：]?[\s–—-]*$",
    re.IGNORECASE,
)
_START = re.compile(
    rf"[-*\s]*(?:on\s.{{0,30}}\d|le\s.{{0,20}}\d|am\s.{{0,20}}\d|el\s.{{0,20}}\d|w dniu\s|em\s.{{0,20}}\d"
    rf"|op\s.{{0,20}}\d|den\s.{{0,20}}\d|il\s.{{0,20}}\d"
    rf"|{_DAYS}[a-zа-яіїє]{{0,6}}[,.]?\s|"
    rf"\d{{1,2}}[./\s-]|\d{{4}}[-./]\d{{1,2}}|в\s(?:{_DAYS}|письме)|у\s{_DAYS}"
    rf"|[\"«]?[^<>\n]{{1,60}}<[^<>@\s]{{1,64}}@)",
    re.IGNORECASE,
)
_WRAPPED = 55


class _Kind(Enum):
    OWN = "own"
    BLANK = "blank"
    QUOTE = "quote"
    INTRO = "intro"
    SIGNATURE = "signature"


def visible(text: str, *, forward: bool) -> str:
    """The part of a text that its sender wrote now. `forward`: the subject says that it is a forward."""
    if not text.strip():
        return ""
    lines = text.split("\n")
    rest = lines[_LINES:]
    lines = lines[:_LINES]
    marked = _marked(lines)
    if is_forward(lines, marked, forward=forward):
        return _plain([*lines, *rest])
    end = _cut(lines, marked)
    if end < len(lines) and _something(lines[:end]):
        lines, rest = lines[:end], []
    shown = _keep(lines, _kinds(lines))
    return _plain([*shown, *rest]) if shown or rest else _plain(lines)


def _plain(lines: Sequence[str]) -> str:
    text = "\n".join(map(str.rstrip, lines)).strip()
    return text.replace(CUT, "").replace(QUOTED, "").strip() if CUT in text or QUOTED in text else text


def _something(lines: Sequence[str]) -> bool:
    return any(line.strip(" \t\xa0") for line in lines)


def _marked(lines: Sequence[str]) -> list[int]:
    """The few lines that may start an earlier message: with a label, a ruled line, a colon at the end."""
    return [
        at
        for at, line in enumerate(lines)
        if ":" in line[:44] or line.rstrip()[-1:] in (":", "：") or "--" in line or "__" in line or CUT in line
    ]


def forwards(text: str) -> bool:
    """Whether a text without a telling subject contains a forwarded message, marked as such."""
    lines = text.split("\n")[:200]
    return is_forward(lines, _marked(lines), forward=False)


def is_forward(lines: Sequence[str], marked: Sequence[int], *, forward: bool) -> bool:
    """Whether the earlier message in the text is what the sender wants to show."""
    for at in marked:
        line = lines[at]
        found = blocks.separator(line) if len(line) < 200 else ""
        if found == "forwarded" and (forward or not line.lstrip().startswith(">")):
            return True
        if found == "original" and not forward:
            return False
        if blocks.block_at(lines, at):
            return forward
    return False


def _cut(lines: Sequence[str], marked: Sequence[int]) -> int:
    """The line at which unmarked earlier messages start, to the end of the text."""
    for at in marked:
        line = lines[at]
        if CUT in line or blocks.separator(line) == "original":
            return at
        if not line.startswith(">") and blocks.block_at(lines, at):
            return _before_rule(lines, at)
        start = _introduction(lines, at) if _ends_introduction(line) and not _quote_follows(lines, at) else None
        if start is not None and _certain(" ".join(lines[start : at + 1])):
            return start
    return len(lines)


def _ends_introduction(line: str) -> bool:
    return line.rstrip()[-1:] in (":", "：") or (len(line) < 400 and bool(_PAST.search(line)))


def _certain(introduction: str) -> bool:
    """Whether an introduction is one even though nothing after it is marked as quoted."""
    return bool(_WHEN.search(introduction)) and ("@" in introduction or bool(_PAST.search(introduction)))


def _before_rule(lines: Sequence[str], at: int) -> int:
    back = at - 1
    while back >= 0 and not lines[back].strip():
        back -= 1
    return back if back >= 0 and blocks.is_rule(lines[back]) else at


# -- lines marked as quoted ---------------------------------------------------------------


def _kinds(lines: Sequence[str]) -> list[_Kind]:
    kinds = [_kind(line) for line in lines]
    if _Kind.QUOTE in kinds:
        _unwrap(lines, kinds)
        _mark_introductions(lines, kinds)
    _mark_signatures(lines, kinds)
    return kinds


def _kind(line: str) -> _Kind:
    first = line[:1]
    if first == ">" or (first in "| " and line.lstrip(" |")[:2] in ("> ", ">>")):
        return _Kind.QUOTE
    if first == QUOTED:
        return _Kind.INTRO
    return _Kind.OWN if line.strip(" \t\xa0") else _Kind.BLANK


def _mark_introductions(lines: Sequence[str], kinds: list[_Kind]) -> None:
    """The "On …, X wrote:" before each quoted piece, with at most two blank lines between."""
    for at, kind in enumerate(kinds):
        if kind is not _Kind.QUOTE or not at or kinds[at - 1] is _Kind.QUOTE:
            continue
        last = at - 1
        while last > 0 and at - last < 3 and kinds[last] is _Kind.BLANK:
            last -= 1
        if kinds[last] is not _Kind.OWN:
            continue
        start = _introduction(lines, last, weak=True)
        if start is not None:
            kinds[start : last + 1] = [_Kind.INTRO] * (last + 1 - start)


def _unwrap(lines: Sequence[str], kinds: list[_Kind]) -> None:
    """Short remnants of quoted lines that a mailer wrapped without the mark."""
    for at in range(1, len(lines) - 1):
        if (
            kinds[at] is _Kind.OWN
            and kinds[at - 1] is _Kind.QUOTE
            and kinds[at + 1] is _Kind.QUOTE
            and len(lines[at - 1]) >= _WRAPPED
            and _continues(lines[at - 1], lines[at])
        ):
            kinds[at] = _Kind.QUOTE


def _continues(quoted: str, remnant: str) -> bool:
    """Whether a line goes on with the sentence of the quoted line above it."""
    return (
        len(remnant) <= 60 and quoted.rstrip()[-1:] not in (".", "?", "!", ":", ";", ">") and not remnant[:1].isupper()
    )


def _quote_follows(lines: Sequence[str], at: int) -> bool:
    following = (line for line in lines[at + 1 : at + 4] if line.strip())
    return next(following, "").startswith(">")


def _introduction(lines: Sequence[str], at: int, *, weak: bool = False) -> int | None:
    """The first line of an attribution ("On …, X wrote:") that ends in line `at`, or None when it is none."""
    start = None
    for first in range(at, max(at - 4, -1), -1):
        if not lines[first].strip() or lines[first].startswith(">"):
            break
        joined = " ".join(line.strip() for line in lines[first : at + 1])
        if len(joined) > 400:
            break
        if _START.match(joined) and _introduces(joined):
            return first
        if weak and start is None and _introduces(joined):
            start = first
    return start


def _introduces(text: str) -> bool:
    marks = bool(_ADDRESS.search(text)) + bool(_WHEN.search(text)) + 2 * bool(_WORD.search(text))
    return marks >= 2 or (marks == 1 and text.endswith(":") and len(text) < 120)


def _mark_signatures(lines: Sequence[str], kinds: list[_Kind]) -> None:
    at = 0
    while at < len(lines):
        if kinds[at] is not _Kind.OWN:
            at += 1
            continue
        end = at
        while end < len(lines) and kinds[end] in (_Kind.OWN, _Kind.BLANK):
            end += 1
        start = signatures.start(lines, at, end)
        if start < end and (start > at or _Kind.OWN in kinds[:at]):
            kinds[start:end] = [_Kind.SIGNATURE] * (end - start)
        at = end


def _keep(lines: Sequence[str], kinds: Sequence[_Kind]) -> list[str]:
    if _interleaved(kinds):
        return [line for line, kind in zip(lines, kinds, strict=True) if kind is not _Kind.SIGNATURE]
    kept = [line for line, kind in zip(lines, kinds, strict=True) if kind in (_Kind.OWN, _Kind.BLANK)]
    return kept if _something(kept) else []


def _interleaved(kinds: Sequence[_Kind]) -> bool:
    """Own words between two quoted pieces."""
    quotes = [at for at, kind in enumerate(kinds) if kind is _Kind.QUOTE]
    return bool(quotes) and any(kind is _Kind.OWN for kind in kinds[quotes[0] : quotes[-1]])
