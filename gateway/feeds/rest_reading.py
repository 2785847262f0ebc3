"""Answers of a described interface: what changed there, and what a refusal says."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from channels.contract import Clock
from gateway.feeds.contract import Change, Changes, FeedError, File, Heard, Merged, Ref, Replied, Vanished
from gateway.feeds.rest_expressions import Values, read
from gateway.feeds.rest_settings import Call, ChangesCall, RestFeed
from gateway.feeds.web_heard import in_our_words

LONGEST_CURSOR = 4000
"""Characters."""
SHORT = 255
"""Characters of an id."""


def failed(call: Call, said: Any) -> str:
    """What the store says when it refuses with a 2xx."""
    if not call.failed:
        return ""
    why = read(call.failed, {"answer": said})
    return str(why)[:300] if why else ""


class Reading:
    """One list of changes, read by its description."""

    def __init__(self, call: ChangesCall, settings: RestFeed, clock: Clock) -> None:
        """`clock` dates what the store does not."""
        self._call, self._settings, self._clock = call, settings, clock

    def page(self, said: Any, cursor: str) -> Changes:
        """What an answer says. An item that cannot be read is passed over and told of; raises FeedError for a list
        that is none."""
        call = self._call
        items = read(call.items, {"answer": said})
        if not isinstance(items, list):
            raise FeedError(f"`changes.items` is {call.items!r}, and there is no list in the answer", again=False)
        heard: list[Heard] = []
        odd: list[str] = []
        for place, item in enumerate(items):
            try:
                heard += self._item(item)
            except (FeedError, ValueError, TypeError) as error:
                words = str(error) if isinstance(error, FeedError) else type(error).__name__
                odd.append(f"item {place} of the list of changes: {words}")
        values = {"answer": said, "items": items, "cursor": cursor}
        following = read(call.cursor, values)
        if len(str(following)) > LONGEST_CURSOR:
            # Cut short it would name another place, and what lies between would never be heard.
            raise FeedError(f"`changes.cursor` gives more than {LONGEST_CURSOR} characters", again=False)
        return Changes(
            heard=heard,
            cursor=cursor if following in (None, "") else str(following),
            more=bool(read(call.more, values)) and following not in (None, "", cursor),
            odd=odd,
        )

    def _item(self, item: Any) -> Iterator[Heard]:
        """Raises FeedError, ValueError and TypeError."""
        call = self._call
        values = {"item": item}
        name, ref = read(call.id, values), read(call.ref, values)
        if name in (None, "") or ref in (None, ""):
            raise FeedError("has no id or no ticket", again=False)
        at = self._time(read(call.at, values) if call.at else None)
        actor = str(read(call.actor, values) or "")[:200] if call.actor else ""
        ours = bool(read(call.ours, values))
        found = list(self._changes(values))
        for suffix, change in found:
            one = str(name) if len(found) == 1 else f"{name}:{suffix}"
            yield Heard(id=one, ref=str(ref)[:SHORT], at=at, actor=actor, ours=ours, change=change)

    def _changes(self, values: Values) -> Iterator[tuple[str, Change]]:
        call = self._call
        if call.reply is not None and (text := read(call.reply.text, values)):
            files = [_file(each) for each in read(call.reply.files, values) or ()]
            public = read(call.reply.public, values) is True
            yield "reply", Replied(text=str(text), public=public, files=files)
        for field, where in call.set.items():
            value = read(where, values)
            if value is not None:
                yield field, in_our_words(field, value if isinstance(value, bool) else str(value), self._settings.map)
        if call.merged and (into := read(call.merged, values)):
            yield "merged", Merged(into=Ref(id=str(into)[:SHORT], number=str(into)[:64]))
        if read(call.vanished, values) is True:
            yield "vanished", Vanished()

    def _time(self, said: Any) -> datetime:
        if not said:
            return self._clock()
        at = datetime.fromisoformat(str(said))
        return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(self._settings.timezone))).astimezone(UTC)


def _file(said: Any) -> File:
    """Raises ValueError and TypeError."""
    try:
        content = base64.b64decode(str(said["content"]), validate=True)
    except (binascii.Error, KeyError):
        raise ValueError("a file without content in base64") from None
    digest = hashlib.sha256(content).hexdigest()
    kind = str(said.get("content_type") or "application/octet-stream")
    name = str(said.get("filename") or "file")
    return File(filename=name, content_type=kind, size=len(content), sha256=digest, read=lambda: content)
