"""The message inside a forward: written into the text after a marker, or attached whole."""

from __future__ import annotations

import re

from normalizer.mail import addresses, blocks
from normalizer.message import Address, Message

_MAILTO = re.compile(r"\[mailto:([^\]\s]{1,320})\]", re.IGNORECASE)
_QUOTE = re.compile(r"^> ?")
_LINES = 4000


def inline(text: str) -> Message | None:
    """The message written into a forward after its header block, or None when there is no header block."""
    lines = text.split("\n")[:_LINES]
    for at, line in enumerate(lines):
        block = blocks.block_at(lines, at) if ":" in line[:44] else None
        if block:
            return _message(lines, block)
    return None


def _message(lines: list[str], block: blocks.Block) -> Message:
    quoted = lines[block.start].lstrip().startswith(">")
    body = [_QUOTE.sub("", line) if quoted else line for line in lines[block.end :]]
    text = "\n".join(body).strip()
    author = _MAILTO.sub(r"<\1>", block.fields.get("from", ""))
    ignored: list[str] = []
    found = addresses.parse(author, ignored)
    recipients = addresses.parse(_MAILTO.sub(r"<\1>", block.fields.get("to", "")), ignored)
    return Message(
        sender=found[0] if found else Address(address=""),
        to=recipients,
        subject=block.fields.get("subject", ""),
        text=text,
        visible_text=text,
    )
