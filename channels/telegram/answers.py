"""The answer to getUpdates, cut into the exact bytes of its updates. Pure.

The bytes are cut and not parsed: one update that no parser takes (nesting, numbers, text that is no UTF-8)
must not hide the others, and must be kept as it came.
"""

from __future__ import annotations

import json
import re

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_OPEN = (b"[", b"{")


def updates(content: bytes) -> list[bytes]:
    """Each update's bytes, in order. Raises ValueError when this is no whole answer that says `ok`."""
    begin = _list(content)
    found, end = _objects(content, begin)
    rest = json.loads(content[:begin] + b"0" + content[end:])
    if not isinstance(rest, dict) or rest.get("ok") is not True:
        raise ValueError("the answer does not say ok")
    return found


def _list(content: bytes) -> int:
    """Where the list of `result` begins."""
    depth, name = 0, b""
    for token in _TOKEN.finditer(content):
        mark = token[0]
        if mark[:1] == b'"':
            name = mark if depth == 1 else name
        elif mark in _OPEN:
            depth += 1
            if depth == 2 and name == b'"result"' and mark == b"[":
                return token.start()
        else:
            depth -= 1
    raise ValueError("the answer has no list of updates")


def _objects(content: bytes, begin: int) -> tuple[list[bytes], int]:
    """The objects of the list that begins here, and where it ends."""
    found: list[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(content, begin):
        mark = token[0]
        if mark in _OPEN:
            depth += 1
            start = token.start() if depth == 2 else start
        elif mark[:1] != b'"':
            if depth == 2:
                found.append(content[start : token.end()])
            depth -= 1
            if depth == 0:
                return found, token.end()
    raise ValueError("the answer breaks off")
