"""Parsers that misbehave, planted into worker processes: the first word of a body says how.

`message {json}` is an ordinary message; see `said` for the keys.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from normalizer.message import (
    Address,
    Attachment,
    Event,
    InlineBody,
    KeyKind,
    Message,
    RawMessage,
    ThreadKey,
    Trust,
)

FORMAT = "planted/1"
SPEC = "tests.gateway.planted:PARSERS"


def said(**values: Any) -> Message:
    """A message; people as plain addresses, keys as "kind:value", trust as a word, files as {name: bytes}."""
    text = values.pop("text", "The printer does not print.")
    given: dict[str, Any] = {"text": text, "visible_text": text, **values}
    given["sender"] = Address(address=values.get("sender", "ann@client.example"), name=values.get("name", ""))
    given.pop("name", None)
    for name in ("to", "cc", "reply_to"):
        given[name] = tuple(Address(address=address) for address in values.get(name, ()))
    given["references"] = tuple(values.get("references", ()))
    given["in_reply_to"] = tuple(values.get("in_reply_to", ()))
    given["trust"] = Trust(values.get("trust", "unknown"))
    given["thread_keys"] = tuple(_key(key) for key in values.get("thread_keys", ()))
    given["attachments"] = tuple(_file(name, content) for name, content in values.get("files", {}).items())
    given.pop("files", None)
    if isinstance(values.get("forwarded"), dict):
        given["forwarded"] = said(**values["forwarded"])
    return Message(**given)


def _key(key: str) -> ThreadKey:
    kind, _, value = key.partition(":")
    return ThreadKey(kind=KeyKind(kind), value=value)


def _file(name: str, content: bytes | str) -> Attachment:
    content = content.encode() if isinstance(content, str) else content
    sha256 = InlineBody(content=content).sha256
    return Attachment(
        filename=name, content_type="application/octet-stream", size=len(content), sha256=sha256, content=content
    )


def _loop(_rest: str) -> Event:
    while True:
        pass


def _sleep(rest: str) -> Event:
    time.sleep(float(rest))
    return said(text="slow")


def _allocate(_rest: str) -> Event:
    kept = bytearray(8 << 30)
    return said(text=str(len(kept)))


def _creep(_rest: str) -> Event:
    """Memory in small pieces: no single allocation is refused."""
    kept = []
    while True:
        kept.append(bytearray(b"x" * (1 << 20)))


def _exit(_rest: str) -> Event:
    os._exit(3)


def _recurse(rest: str) -> Event:
    return _recurse(rest + ".")


def _raise(rest: str) -> Event:
    raise ValueError(f"secret words of the message: {rest}")


def _print(rest: str) -> Event:
    print("x" * 100_000)
    return said(text=rest)


def _message(rest: str) -> Event:
    return said(**json.loads(rest))


def _big(rest: str) -> Event:
    return said(text="big", files={"small.txt": b"s" * 10, "big.bin": b"b" * int(rest)})


WORDS: dict[str, Callable[[str], Event]] = {
    "loop": _loop,
    "sleep": _sleep,
    "allocate": _allocate,
    "creep": _creep,
    "exit": _exit,
    "recurse": _recurse,
    "raise": _raise,
    "print": _print,
    "message": _message,
    "big": _big,
}


def parse(raw: RawMessage) -> Event:
    """The parser of the format `planted/1`."""
    assert isinstance(raw.body, InlineBody)
    word, _, rest = raw.body.content.decode().partition(" ")
    return WORDS[word](rest)


PARSERS = {FORMAT: parse}
