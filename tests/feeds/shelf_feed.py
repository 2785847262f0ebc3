"""The feed of the tests' own store: the shortest one that keeps the contract. `registered` makes its kind known."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from gateway.feeds.contract import (
    Alter,
    CannotTell,
    Change,
    Changes,
    FeedError,
    File,
    Finding,
    Forged,
    Heard,
    Merged,
    Name,
    Open,
    Outcome,
    Pushed,
    Ref,
    Replied,
    Said,
    Say,
    Set,
    Ticket,
    Unreadable,
    Vanished,
    Write,
)
from gateway.feeds.kind import Kind, Wiring
from gateway.feeds.registry import FEEDS
from gateway.feeds.settings import FeedSettings
from gateway.feeds.wire import Answer, Unanswered, Unsent, Wire, not_reached
from tests.feeds.shelf import GATEWAY

SECRET = b"shelf"
NONSENSE = (ValueError, KeyError, TypeError, AttributeError)
"""What reading an answer of something else comes to."""


class ShelfSettings(FeedSettings):
    """A shelf."""

    url: str
    """Where it is."""


class ShelfFeed:
    """A `gateway.feeds.contract.Feed`, with `Hears` and `Sweeps`."""

    def __init__(self, settings: ShelfSettings) -> None:
        self._settings = settings
        self._wire = Wire(settings.url, headers={}, seconds=settings.timeout.total_seconds())

    async def open(self) -> None:
        """Nothing to make."""

    async def close(self) -> None:
        await self._wire.close()

    async def push(self, write: Write) -> Pushed:
        try:
            return await self._push(write)
        except (Unsent, Unanswered) as error:
            return not_reached(error)
        except NONSENSE:
            return not_reached(Unanswered("an answer that is none of a shelf's"))

    async def _push(self, write: Write) -> Pushed:
        match write:
            case Open():
                fields, left_out = self._fields(write.ticket)
                body = {"key": write.key, "fields": fields, "first": await _said(write.first)}
                answer = await self._wire.ask("POST", "/tickets", json=body)
                if not answer.good:
                    return _failure(answer)
                return Pushed(outcome=Outcome.DONE, ref=_ref(answer.json()["id"]), left_out=left_out)
            case Say():
                path = f"/tickets/{write.ref.id}/messages"
                answer = await self._wire.ask("POST", path, json=await _said(write.said))
                return Pushed(outcome=Outcome.DONE) if answer.good else _failure(answer)
            case Alter():
                fields, left_out = self._fields(write.ticket)
                wanted = {name: value for name, value in fields.items() if name in write.fields}
                answer = await self._wire.ask("PATCH", f"/tickets/{write.ref.id}", json=wanted)
                return Pushed(outcome=Outcome.DONE, left_out=left_out) if answer.good else _failure(answer)

    def _fields(self, ticket: Ticket) -> tuple[dict[str, str], list[str]]:
        ours = {
            "status": ticket.status, "class": str(ticket.class_ or ""), "line": ticket.line,
            "assignee": ticket.assignee, "contract": ticket.contract, "subject": ticket.subject,
            "requester": ticket.requester.address, "onsite": "true" if ticket.onsite else "",
        }  # fmt: skip
        theirs = {name: self._settings.map.theirs(name, value) for name, value in ours.items()}
        lost = [
            f"{name} {ours[name]!r} has no mapping" for name, value in theirs.items() if value is None and ours[name]
        ]
        return {name: value for name, value in theirs.items() if value is not None}, lost

    async def find(self, write: Write) -> Ref | CannotTell | None:
        kind = "ticket" if isinstance(write, Open) else "message"
        try:
            answer = await self._wire.ask("GET", "/find", query={"key": write.key, "kind": kind})
            if not answer.good:
                return CannotTell(detail=answer.words())
            found = answer.json()
            return _ref(found[0]) if found else None
        except (Unsent, Unanswered) as error:
            return CannotTell(detail=str(error))
        except NONSENSE:
            return CannotTell(detail="an answer that is none of a shelf's")

    async def changes(self, cursor: str | None) -> Changes:
        try:
            if cursor is None:
                answer = await self._wire.ask("GET", "/last")
                return Changes(heard=(), cursor=str(answer.json()))
            answer = await self._wire.ask("GET", "/changes", query={"after": cursor})
            if not answer.good:
                raise answer.trouble()
            rows = answer.json()
            last = max([int(cursor), *(row["id"] for row in rows)])
            return Changes(heard=self._heard(rows), cursor=str(last), more=len(rows) >= 100)
        except (Unsent, Unanswered) as error:
            raise FeedError(str(error)) from None
        except NONSENSE:
            raise FeedError("an answer that is none of a shelf's") from None

    def _heard(self, rows: Sequence[Mapping[str, Any]]) -> list[Heard]:
        found = []
        for row in rows:
            data = row["data"] if isinstance(row["data"], dict) else json.loads(row["data"])
            change = self._change(row["kind"], data)
            if change is not None:
                found.append(
                    Heard(
                        id=str(row["id"]),
                        ref=str(row["ticket"]),
                        at=datetime.fromisoformat(row["at"]),
                        actor=row["actor"],
                        ours=row["actor"] == GATEWAY,
                        change=change,
                    )
                )
        return found

    def _change(self, kind: str, data: Mapping[str, Any]) -> Change | None:
        match kind:
            case "set":
                value = self._settings.map.ours(data["field"], data["value"])
                return Set(
                    field=cast("Name", data["field"]), value=value or "", raw=data["value"], known=value is not None
                )  # fmt: skip
            case "reply":
                return Replied(
                    text=data["text"], public=data["public"], files=tuple(_file(one) for one in data["files"])
                )  # fmt: skip
            case "merge":
                return Merged(into=_ref(data["into"]))
            case "vanish":
                return Vanished()
        return None

    async def heard(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, now: datetime) -> Changes:
        signed = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signed, {key.lower(): one for key, one in headers.items()}.get("x-signature", "")):
            raise Forged("the signature does not fit")
        try:
            return Changes(heard=self._heard(json.loads(body)), cursor="")
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(f"a list of changes was expected: {type(error).__name__}") from None

    async def doubles(self) -> Mapping[str, Sequence[Ref]]:
        try:
            answer = await self._wire.ask("GET", "/doubles")
            if not answer.good:
                raise answer.trouble()
            return {key: [_ref(each) for each in found] for key, found in answer.json().items()}
        except (Unsent, Unanswered) as error:
            raise FeedError(str(error)) from None

    async def check(self) -> Sequence[Finding]:
        try:
            answer = await self._wire.ask("GET", "/last")
        except (Unsent, Unanswered) as error:
            return [Finding(good=False, what=str(error), mend="is it running?")]
        return [Finding(good=answer.good, what=answer.words())]

    async def undo(self, ref: Ref) -> Pushed:
        try:
            answer = await self._wire.ask("PATCH", f"/tickets/{ref.id}", json={"status": "closed"})
        except (Unsent, Unanswered) as error:
            return not_reached(error)
        return Pushed(outcome=Outcome.DONE, ref=ref) if answer.good else _failure(answer)


def _ref(number: int) -> Ref:
    return Ref(id=str(number), number=f"S{number:04d}", url=f"https://shelf.example/{number}")


def _failure(answer: Answer) -> Pushed:
    if answer.status in (404, 410):
        return Pushed(outcome=Outcome.VANISHED, detail=answer.words())
    if answer.status == 409:
        return Pushed(outcome=Outcome.RETRY, detail=answer.words(), of_ticket=True)
    return answer.failure()


async def _said(said: Said) -> dict[str, Any]:
    bodies = [await asyncio.to_thread(file.read) for file in said.files]
    files = [
        {"name": file.filename, "body": base64.b64encode(body).decode()}
        for file, body in zip(said.files, bodies, strict=True)
    ]
    author = asdict(said.author)
    return {
        "key": said.key, "text": said.text, "public": said.public, "inward": said.inward, "author": author,
        "files": files, "message_id": said.message_id,
    }  # fmt: skip


def _file(told: Mapping[str, str]) -> File:
    body = base64.b64decode(told["body"])
    return File(
        filename=told["name"], content_type="application/octet-stream", size=len(body),
        sha256=hashlib.sha256(body).hexdigest(), read=lambda: body,
    )  # fmt: skip


def _build(_name: str, settings: FeedSettings, _wiring: Wiring) -> ShelfFeed:
    assert isinstance(settings, ShelfSettings)
    return ShelfFeed(settings)


@contextmanager
def registered() -> Iterator[None]:
    """The kind `shelf` is known in this process."""
    kinds = cast("dict[str, Kind]", FEEDS)
    kinds["shelf"] = Kind(settings=ShelfSettings, build=_build)
    try:
        yield
    finally:
        del kinds["shelf"]
