"""Regular expressions that a configuration may use: short, and with a bounded amount of trying."""

from __future__ import annotations

import re

MAX_LENGTH = 200
MAX_TRIES = 2000
"""Ways in which the repeats of one pattern can share the text at one place."""

_REPEAT = re.compile(r"[*+?]|\{(\d*)(,?)(\d*)\}")
_BACKREFERENCE = re.compile(r"\\[1-9]|\(\?P=|\(\?\(")


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern of a rule. Raises ValueError that says what is wrong and what would be right."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"is {len(text)} characters long; at most {MAX_LENGTH}")
    if _BACKREFERENCE.search(text):
        raise ValueError("refers back to a group; that is not allowed here, write the alternatives out")
    try:
        pattern = re.compile(text)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        raise ValueError(f"is not a regular expression: {error.msg}{where}") from error
    _bounded(text)
    if pattern.search(""):
        raise ValueError("matches the empty text, so it always holds; ask for at least one letter")
    return pattern


def _bounded(text: str) -> None:
    """Every repeat has an upper limit, repeats are not nested, and their product is small."""
    position, tries = 0, 1
    nested: list[bool] = []  # for each open group: does it hold a repeat or a choice
    closed_nested = False
    while position < len(text):
        if text[position] == "(":
            nested.append(False)
            position += 1 if not text.startswith("(?", position) else 2
            closed_nested = False
            continue
        if match := _REPEAT.match(text, position):
            tries *= _tries(match, closed_nested)
            if nested:
                nested[-1] = True
            closed_nested, position = False, match.end()
            continue
        closed_nested = False
        if text[position] == ")":
            closed_nested = nested.pop() if nested else False
            if nested and closed_nested:
                nested[-1] = True
        elif text[position] == "|" and nested:
            nested[-1] = True
        position = _after_atom(text, position)
    if tries > MAX_TRIES:
        raise ValueError(
            f"its repeats can be tried in {tries} ways at one place, at most {MAX_TRIES}; make them shorter"
        )


def _tries(match: re.Match[str], group_nested: bool) -> int:
    sign = match[0]
    if sign == "?":
        return 2
    low, comma, high = (match[1] or "0", match[2], match[3]) if sign[0] == "{" else ("0", ",", "")
    if comma and not high:
        raise ValueError(f"has the unlimited repeat {sign}; give it a limit, {{0,40}}")
    most = int(high) if comma else int(low)
    if group_nested and most > 1:
        raise ValueError(f"repeats ({sign}) a group that has a repeat or a choice inside; write it out instead")
    return most - int(low) + 1


def _after_atom(text: str, position: int) -> int:
    if text[position] == "\\":
        return position + 2
    if text[position] != "[":
        return position + 1
    position += 2 if text.startswith("[^", position) else 1
    position += 1  # a ] that stands first is itself
    while position < len(text) and text[position] != "]":
        position += 2 if text[position] == "\\" else 1
    return position + 1
