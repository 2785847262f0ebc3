"""Address lists (RFC 5322 section 3.4), read by one linear pass that never gives up."""

from __future__ import annotations

import re

from normalizer.mail import words
from normalizer.mail.limits import ADDRESSES
from normalizer.message import Address

_SIMPLE = re.compile(
    r"\s*(?:([^<>@,;:()\"\\]*?)|\"([^\"\\]*)\")\s*<\s*([^<>@\s,;:()\"\\]+@[^<>@\s,;:()\"\\]+)\s*>\s*\Z"
)
_BARE = re.compile(r"[^<>@\s,;:()\"\\]+@[^<>@\s,;:()\"\\]+\Z")
_INSIDE = re.compile(r"[^\s<>\"'(),;:\[\]]+@[^\s<>\"'(),;:\[\]]+")
_SPACE = re.compile(r"\s+")


def parse(value: str, oddities: list[str], charset: str = "") -> tuple[Address, ...]:
    """The addresses of a header value as it stands on the wire (encoded words still in it)."""
    bare = value.strip()
    if _BARE.match(bare):
        return (_address(bare, "", oddities, charset),)
    simple = _SIMPLE.match(value)
    if simple and len(value) < 1000:
        return (_address(simple[3], simple[1] or simple[2] or "", oddities, charset),)
    found: list[Address] = []
    for name, address, comment in _Reader(value).entries():
        if len(found) >= ADDRESSES:
            oddities.append("limit:addresses")
            break
        one = _address(address, name or comment, oddities, charset)
        if one.address or one.name:
            found.append(one)
    return tuple(found)


def _address(address: str, name: str, oddities: list[str], charset: str) -> Address:
    shown = words.decode(name, oddities, charset).strip(" '\"").strip()
    text = _SPACE.sub("", words.decode(address, oddities, charset)).strip("<>'")
    text = text.strip('"') if text.startswith('"') == text.endswith('"') else text
    if "@" not in text and "@" in shown:
        inside = _INSIDE.search(shown)
        if inside:
            shown, text = shown.replace(inside[0], "").strip(" <>()'\""), inside[0]
    return Address(address=lower_domain(text), name="" if shown.lower() == text.lower() else shown)


def lower_domain(address: str) -> str:
    """The address with its domain in lower case; a source route is dropped."""
    if address.startswith("@") and ":" in address:
        address = address.rpartition(":")[2]
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{domain.lower().rstrip('.')}" if at else address


class _Reader:
    """One pass over the characters; quotes, comments, groups and missing brackets included."""

    def __init__(self, value: str) -> None:
        self._value = value
        self._found: list[tuple[str, str, str]] = []
        self._reset()

    def _reset(self) -> None:
        self._name: list[str] = []
        self._address: list[str] = []
        self._comment: list[str] = []
        self._angle = False
        self._had_angle = False

    def entries(self) -> list[tuple[str, str, str]]:
        """(name, address, comment) of each."""
        depth, quoted, escaped = 0, False, False
        for char in self._value:
            if escaped:
                escaped = False
                self._put(char, depth)
            elif char == "\\" and (quoted or depth):
                escaped = True
            elif quoted:
                quoted = char != '"'
                if quoted or self._angle:
                    self._put(char, depth)
            elif depth or char == "(":
                depth += (char == "(") - (char == ")")
                if depth and not (depth == 1 and char == "("):
                    self._comment.append(char)
            elif char == '"':
                quoted = True
                if self._angle:
                    self._put(char, depth)
            else:
                self._plain(char)
        self._end()
        return self._found

    def _put(self, char: str, depth: int) -> None:
        (self._comment if depth else self._address if self._angle else self._name).append(char)

    def _plain(self, char: str) -> None:
        if char == "<":
            self._angle = self._had_angle = True
            self._address.clear()
        elif char == ">":
            self._angle = False
        elif char in ",;" and not (self._angle and char == "," and self._route()):
            self._end()
        elif char == ":" and not self._angle:
            self._name.clear()  # what stood before was the name of a group
        else:
            self._put(char, 0)

    def _route(self) -> bool:
        return self._address[:1] == ["@"]

    def _end(self) -> None:
        name, address = "".join(self._name).strip(), "".join(self._address).strip()
        if not self._had_angle:
            head, _, tail = name.rpartition(" ")
            name, address = (head, tail) if "@" in tail else ("", name) if "@" in name else (name, "")
        comment = "".join(self._comment).strip()
        if name or address or comment:
            self._found.append((name, address, comment))
        self._reset()
