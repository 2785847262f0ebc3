"""Rich messages (Bot API 10.1) read out: blocks in order, links with their addresses, files by reference.

A block or a style that is not known is read by the members that all of them have: `text`, `blocks`, `caption`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from normalizer.mail.limits import TEXT_CHARS
from normalizer.telegram_kinds import location
from normalizer.telegram_media import File, files
from normalizer.telegram_text import fenced, linked, quoted
from normalizer.telegram_wire import Obj, items, line, obj, objects, tidy

DEPTH = 30
NODES = 5000
"""Blocks and pieces of text that are read; the rest is left out, and said so."""
CUT = "rich:cut"
_INLINE = ("summary", "title", "text", "expression", "alternative_text")


def rich(message: object, limit: int) -> tuple[str, list[File], list[str]]:
    """(text, files, oddities) of a `rich_message`; `limit` is that of a file, in bytes."""
    reader = _Reader(limit=limit)
    text = tidy(reader.blocks(obj(message).get("blocks"), 0)[:TEXT_CHARS])
    return text, reader.files, [CUT] if reader.cut else []


@dataclass(slots=True)
class _Reader:
    limit: int
    files: list[File] = field(default_factory=list)
    left: int = NODES
    cut: bool = False

    def blocks(self, value: object, depth: int) -> str:
        return "\n\n".join(text for text in (self.block(one, depth) for one in objects(value)) if text)

    def block(self, block: Obj, depth: int) -> str:
        if not self._may(depth):
            return ""
        own = list(files(block, self.limit))
        self.files += own
        parts = [*(file.shown for file in own if file.told), *self._parts(block, depth + 1)]
        text = "\n".join(part for part in parts if part)
        kind = block.get("type")
        if kind == "pre":
            return fenced(text, line(block.get("language"), 40))
        if isinstance(kind, str) and kind.endswith(("quote", "quotation")):
            return quoted(text)
        return text

    def _parts(self, block: Obj, depth: int) -> Iterator[str]:
        for name in _INLINE:
            yield self.inline(block.get(name), depth)
        yield from self._items(block.get("items"), depth)
        for row in items(block.get("cells")):
            yield " | ".join(self.inline(cell.get("text"), depth) for cell in objects(row))
        yield self.blocks(block.get("blocks"), depth)
        if obj(block.get("location")):
            yield location(obj(block.get("location")))
        yield self.inline(block.get("caption"), depth)
        for credited in (block, obj(block.get("caption"))):
            credit = self.inline(credited.get("credit"), depth)
            yield f"— {credit}" if credit else ""

    def _items(self, value: object, depth: int) -> Iterator[str]:
        for item in objects(value):
            label = line(item.get("label"), 20) or "-"
            if item.get("has_checkbox") is True:
                label = "[x]" if item.get("is_checked") is True else "[ ]"
            said = self.blocks(item.get("blocks"), depth) or self.inline(item.get("text"), depth)
            yield f"{label} {said}".replace("\n", "\n  ")

    def inline(self, value: object, depth: int) -> str:
        """A text that is a string, a list of texts, or an object with a text in it."""
        if isinstance(value, str):
            return value[:TEXT_CHARS]
        if value is None or not self._may(depth):
            return ""
        if isinstance(value, list):
            return "".join(self.inline(one, depth + 1) for one in items(value))
        style = obj(value)
        said = next((self.inline(style[name], depth + 1) for name in _INLINE if name in style), "")
        if style.get("type") == "code":
            return f"`{said}`"
        url = style.get("url")
        return linked(said, url) if isinstance(url, str) else said

    def _may(self, depth: int) -> bool:
        self.left -= 1
        if self.left < 0 or depth > DEPTH:
            self.cut = True
            return False
        return True
