"""A plain POST, read without a parser: pure, and narrower than RFC 9112 allows wherever two readers could differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

_HEAD = re.compile(rb"POST (/[!-~]{1,200}) HTTP/1\.1\r\n((?:[A-Za-z0-9-]{1,64}: [\t -~]{0,1000}\r\n){1,20})\r\n")
_NOT_PLAIN = frozenset(
    {"transfer-encoding", "content-encoding", "expect", "upgrade", "te", "trailer", "proxy-connection"}
)
"""Headers that change how a body is read or what is answered."""
_LENGTH = re.compile("[0-9]{1,9}")


class Plain(NamedTuple):
    """A request that is nothing but its path, some headers and a body."""

    path: bytes
    """As it stood in the request line."""
    headers: Mapping[str, str]
    """By lower-case name; printable ASCII."""
    body: bytes


def read(data: bytes) -> Plain | None:
    """The one whole request that `data` is, on a connection that stays; None when it is anything else.

    None is no refusal: another reader has to look at it.
    """
    head = _HEAD.match(data)
    if head is None:
        return None
    headers, start = _headers(head[2]), head.end()
    if headers is None or len(data) - start != int(headers["content-length"]):
        return None
    return Plain(head[1], headers, data[start:])


@lru_cache(maxsize=128)  # a sender says the same each time, but for the length
def _headers(lines: bytes) -> Mapping[str, str] | None:
    headers = {}
    said = lines.decode("ascii").split("\r\n")[:-1]
    for line in said:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value.strip(" \t")
    if len(headers) < len(said) or not _NOT_PLAIN.isdisjoint(headers) or "host" not in headers:
        return None
    if not _LENGTH.fullmatch(headers.get("content-length", "")):
        return None
    return headers if headers.get("connection", "keep-alive").lower() == "keep-alive" else None
