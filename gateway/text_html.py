"""One text, two forms: what a template was filled into becomes plain text and the HTML of the same words.

Links and a person's own words are marked by private-use characters, which are taken out of everything that
comes from outside; so nobody's text can become markup.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

_LINK, _TO, _END, _WORDS, _SAID = "\ue000", "\ue001", "\ue002", "\ue003", "\ue004"
_MARKS = re.compile(r"[\ue000-\ue004\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
"""Ours; control characters; and those that turn the direction of a line, so that a name can look like another."""
_ANCHOR = re.compile(f"{_LINK}([^{_TO}]*){_TO}([^{_END}]*){_END}")
_SPOKEN = re.compile(f"{_WORDS}([^{_SAID}]*){_SAID}")
_PARAGRAPHS = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_SPACES = re.compile(r"[ \t]+(?=\n|\Z)")

STYLE = "margin:0;padding:16px;background:#ffffff;color:#1f2328;font:16px/1.5 Arial,Helvetica,sans-serif"
LINK_STYLE = "color:#0550ae;text-decoration:underline"


class Marked(str):
    """Text with marks of ours in it; everything else loses them."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A notice's text, ready to be sent."""

    subject: str
    text: str
    html: str


def clean(value: object) -> str:
    """What a template prints of a value: None is nothing; marks and control characters of outsiders go."""
    if isinstance(value, Marked):
        return value
    return "" if value is None else _MARKS.sub("", str(value).replace("\r\n", "\n"))


def link(label: object, url: object) -> Marked:
    """A link that says where it leads: "label: url" in text, an anchor in HTML. Only http and https."""
    target = clean(url).strip()
    if not target.startswith(("https://", "http://")):
        raise ValueError("a link leads to http:// or https://")
    return Marked(f"{_LINK}{clean(label)}{_TO}{target}{_END}")


def words(text: object) -> Marked:
    """What a person wrote, kept line by line as it is."""
    said = _MARKS.sub("", clean(text)).strip("\n")
    return Marked(f"{_WORDS}{said}{_SAID}" if said else "")


def layout(subject: str, body: str, *, language: str, brand: str) -> Rendered:
    """Plain text and HTML of a filled-in body."""
    said: list[str] = []

    def keep(match: re.Match[str]) -> str:
        said.append(match[1])
        return f"{_WORDS}{len(said) - 1}{_SAID}"

    tidy = _PARAGRAPHS.sub("\n\n", _SPACES.sub("", _SPOKEN.sub(keep, body))).strip()
    text = _ANCHOR.sub(r"\1: \2", tidy)
    text = _SPOKEN.sub(lambda match: said[int(match[1])], text)
    inner = "\n".join(_paragraph(part, said) for part in tidy.split("\n\n"))
    page = (
        f'<!doctype html>\n<html lang="{html.escape(language)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(subject)}</title>\n'
        f'</head>\n<body style="{STYLE}">\n{_heading(brand)}{inner}\n</body>\n</html>\n'
    )
    return Rendered(subject=subject, text=text + "\n", html=page)


def _heading(brand: str) -> str:
    return f'<p style="margin:0 0 16px;color:#57606a">{html.escape(brand)}</p>\n' if brand else ""


def _paragraph(part: str, said: list[str]) -> str:
    """A paragraph; a person's words are a block of their own, because they may hold empty lines."""
    pieces = _SPOKEN.split(part)
    out = []
    for number, piece in enumerate(pieces):
        if number % 2:
            shown = html.escape(said[int(piece)])
            out.append(f'<div style="white-space:pre-wrap;overflow-wrap:break-word;margin:0 0 16px">{shown}</div>')
        elif piece.strip():
            out.append(f'<p style="margin:0 0 16px">{_inline(piece.strip())}</p>')
    return "\n".join(out)


def _inline(text: str) -> str:
    escaped = html.escape(text)
    anchored = _ANCHOR.sub(rf'<a href="\2" style="{LINK_STYLE}">\1</a>', escaped)
    return anchored.replace("\n", "<br>\n")
