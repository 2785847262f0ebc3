"""What changed in Request Tracker: its transactions, by their numbers.

Numbers are given out before they are committed, so a lower one may appear after a higher one. Numbers that are missing
below the last one seen are asked for again until they are ten minutes old; what came twice has the same name.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from channels.contract import Clock
from gateway.feeds import plain
from gateway.feeds.contract import Change, Changes, File, Heard, Merged, Name, Ref, Replied, Set, Vanished
from gateway.feeds.rt_rest import MOST, Rest, RtPart, RtTransaction
from gateway.feeds.rt_settings import NOBODY, RtSettings

PATIENCE = 600
"""Seconds after which a number that is missing will not come any more."""
MOST_GAPS = 150
"""Numbers that are waited for at the same time; those of other records of RT's are among them."""
MOST_MESSAGES = 8
"""Messages with their files that one page brings."""
MOST_BYTES = 48_000_000
_OWNER = frozenset({"Take", "Give", "Steal", "Force", "Untake"})
_WITHHELD = frozenset({403, 404, 410})
_MERGED = re.compile(r"/ticket/([0-9]+)$")


class Cursor(BaseModel):
    """Where we are."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    last: int
    """The highest number seen."""
    gaps: dict[int, int] = {}
    """Missing number below it -> when that was noticed, in seconds since 1970."""


class Listening:
    """Reads transactions. `me` is our user's name."""

    def __init__(self, settings: RtSettings, rest: Rest, clock: Clock) -> None:
        self._settings, self._rest, self._clock, self._maps = settings, rest, clock, settings.statuses()

    async def changes(self, cursor: str | None) -> Changes:
        """A page of what changed. Raises FeedError."""
        with plain.reading():
            top = await self._top()
            if cursor is None:
                return Changes(heard=[], cursor=Cursor(last=top).model_dump_json())
            at = _parsed(cursor, top)
            late = await self._late(at)
            found = await self._next(at.last, top) if top > at.last else []
            heard, odd, passed, cut = await self._told([*late, *found])
        # What was seen and not told yet stays missing, and so comes again.
        new = [each.id for each in found if each.id > at.last]
        last = max([at.last, *(number for number in new if number in passed)]) if found or top <= at.last else top
        gaps = self._gaps(at, last, passed)
        after = Cursor(last=last, gaps=gaps).model_dump_json()
        return Changes(heard=heard, cursor=after, more=cut or last < top, odd=odd)

    async def _top(self) -> int:
        newest = await self._rest.transactions([{"field": "id", "operator": ">", "value": "0"}], order="DESC")
        return max((each.id for each in newest), default=0)

    async def _late(self, at: Cursor) -> list[RtTransaction]:
        if not at.gaps:
            return []
        found = list[RtTransaction]()
        numbers = sorted(at.gaps)
        for begin in range(0, len(numbers), MOST):
            limits = [
                {"field": "id", "operator": "=", "value": str(number), "entry_aggregator": "OR"}
                for number in numbers[begin : begin + MOST]
            ]
            found += await self._rest.transactions(limits)
        return found

    async def _next(self, last: int, top: int) -> Sequence[RtTransaction]:
        """The first page above `last` in which we may see anything; RT leaves the others' lines out of its pages."""
        limits = [
            {"field": "id", "operator": ">", "value": str(last)},
            {"field": "id", "operator": "<=", "value": str(top), "entry_aggregator": "AND"},
        ]
        page = 1
        while not (found := await self._rest.transactions(limits, page=str(page))):
            page += 1
            if page > 1 + (top - last) // MOST:
                return []
        return found

    async def _told(self, found: Sequence[RtTransaction]) -> tuple[list[Heard], list[str], set[int], bool]:
        """What these say, what was odd, which numbers are done with, and whether some were left for the next page."""
        heard, odd, passed = list[Heard](), list[str](), set[int]()
        messages = size = 0
        for each in found:
            if messages >= MOST_MESSAGES or size >= MOST_BYTES:
                return heard, odd, passed, True
            passed.add(each.id)
            if each.object_type != "RT::Ticket":
                continue
            ours = each.creator == self._settings.user
            change = await self._change(each, ours, odd)
            if change is None:
                continue
            if isinstance(change, Replied):
                messages, size = messages + 1, size + sum(file.size for file in change.files)
            heard.append(
                Heard(
                    id=str(each.id), ref=each.object_id, at=each.created, actor=each.creator, ours=ours, change=change
                )
            )
        return heard, odd, passed, False

    def _gaps(self, at: Cursor, last: int, passed: set[int]) -> dict[int, int]:
        now = int(self._clock().timestamp())
        fresh = range(max(at.last + 1, last - 10 * MOST_GAPS), last + 1)
        missing = {**{number: now for number in fresh}, **at.gaps}
        kept = {number: when for number, when in missing.items() if number not in passed and now - when < PATIENCE}
        return dict(sorted(kept.items())[-MOST_GAPS:])

    async def _change(self, said: RtTransaction, ours: bool, odd: list[str]) -> Change | None:
        if said.type in {"Correspond", "Comment"}:
            if ours:
                return None
            text, files = await self._message(said.id, odd)
            return Replied(text=text, public=said.type == "Correspond", files=files)
        if said.type == "AddLink" and said.field == "MergedInto":
            into = _MERGED.search(said.new)
            if into is None or into[1] == said.object_id:
                return None
            number = into[1]
            return Merged(into=Ref(id=number, number=number, url=self._url(number)))
        if said.type == "Status":
            return Vanished() if said.new == "deleted" else self._set("status", said.new)
        if said.type == "CustomField":
            return await self._field(said)
        return await self._column(said)

    async def _column(self, said: RtTransaction) -> Change | None:
        if said.type in _OWNER or (said.type == "Set" and said.field == "Owner"):
            name = await self._rest.user_name(said.new) if said.new else NOBODY
            return self._set("assignee", "" if name == NOBODY else name)
        if said.type == "Set" and said.field == "Queue":
            queue = await self._rest.queue_name(said.new)
            return self._set("line", queue) if self._maps.line else None
        if said.type == "Set" and said.field == "Subject":
            return Set(field="subject", value=said.new, raw=said.new)
        return None

    async def _field(self, said: RtTransaction) -> Change | None:
        """A custom field. Its value stands in the transaction; one that was taken away is empty."""
        name = (await self._rest.field_name(said.field, said.object_id)).casefold()
        ours = next(
            (ours for ours, theirs in self._settings.fields.written().items() if theirs.casefold() == name), None
        )
        match ours:
            case None:
                return None
            case "onsite":
                return Set(field="onsite", value="yes" if said.new.casefold() == "yes" else "no", raw=said.new)
            case "line":
                return Set(field="line", value=said.new, raw=said.new, known=said.new in {"L1", "L2", "L3", "L4"})
            case _:
                return self._set("class" if ours == "class" else "contract", said.new)

    def _set(self, field: Name, raw: str) -> Set:
        value = self._maps.ours(field, raw) if raw else ""
        return Set(field=field, value=value or "", raw=raw, known=value is not None)

    def _url(self, number: str) -> str:
        return f"{self._settings.url}/Ticket/Display.html?id={number}"

    async def _message(self, transaction: int, odd: list[str]) -> tuple[str, list[File]]:
        """Text and files of a message."""
        text, files = "", list[File]()
        try:
            parts = await self._rest.parts(f"/transaction/{transaction}")
        except plain.NotGood as error:
            if error.answer.status not in _WITHHELD:
                raise
            odd.append(f"transaction {transaction}: {error}")
            return text, files
        for part in parts:
            kind = part.content_type.casefold()
            if kind.startswith("multipart/") or not part.size:
                continue
            if part.size > self._settings.largest_file:
                odd.append(f"transaction {transaction}: {part.filename or kind} has {part.size} bytes and was left out")
                continue
            content = await self._content(part, odd)
            if not text and not part.filename and kind in {"text/plain", "text/html", ""}:
                said = content.decode("utf-8", "replace")
                text = plain.from_html(said) if kind == "text/html" else said
            elif part.filename or not kind.startswith("text/"):
                files.append(plain.received(part.filename, kind, content))
        return text, files

    async def _content(self, part: RtPart, odd: list[str]) -> bytes:
        try:
            return base64.b64decode(await self._rest.content(part.id))
        except binascii.Error:
            odd.append(f"attachment {part.id}: its content makes no sense")
        except plain.NotGood as error:
            if error.answer.status not in _WITHHELD:
                raise
            odd.append(f"attachment {part.id}: {error}")
        return b""


def _parsed(cursor: str, top: int) -> Cursor:
    try:
        return Cursor.model_validate_json(cursor)
    except ValidationError:
        return Cursor(last=top)
