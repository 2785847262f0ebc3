"""HTML -> lines of text that know what is quoted, and sanitised HTML for staff's eyes.

lexbor and ammonia are quadratic in the depth of the tree (100,000 nested `<div>`: 20 s), so
depth and size are measured first, by counting tags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import nh3
from selectolax.lexbor import LexborHTMLParser, LexborNode

from normalizer.mail import limits, words
from normalizer.wordlists import listed

CUT = "\ue000"
"""Marks in the text (private use): from here on everything is quoted …"""
QUOTED = "\ue001"
"""… this line is quoted or introduces a quote."""

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_ANY_TAG = re.compile(r"<[^<>]{0,2000}>")
_SPACE = re.compile(r"[ \t\r\n\x0b\x0c]+")
_BLANKS = re.compile(r"\n(?:[ \t]*\n){2,}")
_VOID = listed("area base br col embed hr img input link meta param source track wbr")
_SELF_CLOSING = listed("p li td th tr dt dd option thead tbody tfoot colgroup html head body")
_BLOCKS = listed(
    "p div tr table ul ol li h1 h2 h3 h4 h5 h6 pre blockquote section article header footer hr dl dt dd center"
    " form fieldset address main body title"
)
_SKIPPED = listed("script style head noscript template svg math object iframe")
_PARAGRAPHS = listed("p h1 h2 h3 h4 h5 h6 ul ol table blockquote pre")
_QUOTE_HINTS = (
    "<blockquote", "gmail_quote", "gmail_attr", "moz-cite-prefix", "divRplyFwdMsg", "appendonsend",
    "yahoo_quoted", "protonmail_quote", "js-readmsg-msg", "mail-quote", "ms-outlook-mobile-reference",
)  # fmt: skip
_ATTRIBUTION = ("gmail_attr", "moz-cite-prefix", "gmail_extra_attr", "AppleMailSignature", "OutlookMessageHeader")
_WHOLE_QUOTE = ("yahoo_quoted", "protonmail_quote")

_ALLOWED = {
    "a", "abbr", "b", "blockquote", "br", "caption", "center", "code", "dd", "del", "div", "dl", "dt", "em", "font",
    "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "li", "ol", "p", "pre", "q", "s", "small", "span",
    "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "u", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "*": {"dir", "align", "valign", "lang", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan", "width"},
    "th": {"colspan", "rowspan", "width"},
    "table": {"border", "cellpadding", "cellspacing", "width"},
    "font": {"color", "size"},
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """What became of HTML. `marked` is the text with `CUT` and `QUOTED` marks."""

    marked: str
    clean: str
    structured: bool
    """Whether the HTML itself says what is quoted."""

    @property
    def text(self) -> str:
        """The text without marks."""
        return self.marked.replace(CUT, "").replace(QUOTED, "")


def render(html: str, oddities: list[str]) -> Rendered:
    """Text and sanitised HTML; beyond the caps only text, by dropping tags."""
    if len(html) > limits.HTML_BYTES:
        oddities.append("limit:html-size")
        html = html[: limits.HTML_BYTES]
    html = html.replace(CUT, "").replace(QUOTED, "")
    if _too_deep(html):
        oddities.append("limit:html-depth")
        return Rendered(_BLANKS.sub("\n\n", _ANY_TAG.sub(" ", html)).strip(), "", False)
    structured = any(hint in html for hint in _QUOTE_HINTS)
    root = LexborHTMLParser(html).body
    marked = _Writer().write(root) if root is not None else ""
    if len(html) > limits.SHOWN_HTML:
        oddities.append("limit:html-size")
    return Rendered(words.clean(marked), sanitise(html[: limits.SHOWN_HTML]), structured)


def sanitise(html: str) -> str:
    """HTML that is safe to show: no scripts, no styles, no remote contents (images only by Content-ID)."""
    return nh3.clean(
        html,
        tags=_ALLOWED,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        attribute_filter=_only_inline_images,
        strip_comments=True,
        link_rel="noopener noreferrer nofollow",
    )


def _only_inline_images(tag: str, attribute: str, value: str) -> str | None:
    if tag == "img" and attribute == "src":
        return value if value.lower().startswith("cid:") else None
    if tag == "a" and value.lower().startswith("cid:"):
        return None
    return value


def _too_deep(html: str) -> bool:
    """Whether tags may nest deeper than the cap: opened and not closed, whatever the order."""
    if html.count("<") <= limits.HTML_DEPTH:
        return False
    depth = 0
    for close, name in _TAG.findall(html):
        lower = name.lower()
        if lower in _VOID or lower in _SELF_CLOSING:
            continue
        depth = depth - 1 if close and depth else depth + (not close)
        if depth > limits.HTML_DEPTH:
            return True
    return False


class _Writer:
    """Walks the tree without recursion and writes block-aware text."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._quote = 0
        self._marked = 0
        self._pre = 0

    def write(self, root: LexborNode) -> str:
        node: LexborNode | None = root
        while node is not None:
            entered = self._enter(node)
            if entered and node.first_child is not None:
                node = node.first_child
                continue
            if entered:
                self._leave(node)
            node = self._next(node, root)
        self._break()
        return _BLANKS.sub("\n\n", "\n".join(self._lines)).strip("\n")

    def _next(self, node: LexborNode, root: LexborNode) -> LexborNode | None:
        """The next node in document order, leaving what ends on the way."""
        at: LexborNode | None = node
        while at is not None and at.mem_id != root.mem_id:
            if at.next is not None:
                return at.next
            at = at.parent
            if at is not None:
                self._leave(at)
        return None

    def _enter(self, node: LexborNode) -> bool:
        tag = node.tag or ""
        if tag == "-text":
            self._text(node.text_content or "")
            return False
        if tag in _SKIPPED or tag.startswith(("-", "!", "o:p")):
            return tag == "o:p"
        if tag == "br":
            self._break(keep=True)
            return False
        if tag in _BLOCKS:
            self._block(tag, node)
        elif tag in ("td", "th") and any(piece.strip() for piece in self._line):
            self._line.append(" ")
        elif tag == "img":
            self._line.append("")
        if tag in ("div", "span", "table", "hr", "section"):
            self._structure(node.attributes)
        return True

    def _block(self, tag: str, node: LexborNode) -> None:
        self._break()
        if tag in _PARAGRAPHS and self._lines and self._lines[-1]:
            self._lines.append(self._prefix().rstrip())
        if tag == "blockquote" and _is_quote(node):
            self._quote += 1
        elif tag == "li":
            self._line.append("• " if (node.parent is None or node.parent.tag != "ol") else "- ")
        elif tag == "pre":
            self._pre += 1

    def _structure(self, attributes: dict[str, str | None]) -> None:
        if not attributes:
            return
        name = f"{attributes.get('id') or ''} {attributes.get('class') or ''}"
        if "divRplyFwdMsg" in name or "appendonsend" in name or any(mark in name for mark in _WHOLE_QUOTE):
            self._break()
            self._lines.append(CUT)
        elif any(mark in name for mark in _ATTRIBUTION):
            self._break()
            self._marked += 1

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in _BLOCKS:
            self._break()
            if tag == "blockquote" and self._quote and _is_quote(node):
                self._quote -= 1
            elif tag == "pre":
                self._pre -= 1
            if tag in _PARAGRAPHS and self._lines and self._lines[-1]:
                self._lines.append(self._prefix().rstrip())
        if self._marked and tag in ("div", "span", "table", "hr", "section"):
            attributes = node.attributes
            name = f"{attributes.get('id') or ''} {attributes.get('class') or ''}"
            if any(mark in name for mark in _ATTRIBUTION):
                self._break()
                self._marked -= 1

    def _text(self, text: str) -> None:
        if self._pre:
            first, *rest = text.split("\n")
            self._line.append(first)
            for line in rest:
                self._break(keep=True)
                self._line.append(line)
            return
        self._line.append(_SPACE.sub(" ", text))

    def _prefix(self) -> str:
        return (QUOTED if self._marked else "") + (">" * self._quote + " " if self._quote else "")

    def _break(self, *, keep: bool = False) -> None:
        text = "".join(self._line)
        text = text.rstrip() if self._pre else _SPACE.sub(" ", text).strip()
        self._line.clear()
        if text or keep:
            self._lines.append(f"{self._prefix()}{text}".rstrip(" "))


def _is_quote(node: LexborNode) -> bool:
    """Quotes of a mail; a blockquote that only indents (Outlook, editors) says so by its style."""
    style = (node.attributes.get("style") or "").replace(" ", "").lower()
    kind = node.attributes.get("type") or ""
    if kind == "cite" or node.attributes.get("cite") or "quote" in (node.attributes.get("class") or ""):
        return True
    return not style or "border-left" in style or "margin:0" not in style
