"""A store behind signed webhooks: JSON out for each write, JSON in for what staff does there (`web_heard`).

Out: at least once, in order within a ticket. A repeat has the same `webhook-id`, and who receives it does nothing the
second time; so a write whose answer was lost is sent again without asking. Signatures: `signing`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError

from channels.contract import Clock
from channels.credentials import reveal
from channels.durations import Size
from gateway.feeds import shapes, signing
from gateway.feeds.contract import Alter, Changes, Finding, Open, Outcome, Pushed, Ref, Say, Write
from gateway.feeds.kind import Wiring
from gateway.feeds.settings import FeedSettings
from gateway.feeds.web_heard import RefIn, parse
from gateway.feeds.wire import Answer, Unanswered, Unsent, Wire, not_reached

EVENTS = {Open: "ticket.opened", Say: "ticket.message", Alter: "ticket.changed"}


class WebhookFeed(FeedSettings):
    """A store that takes signed JSON. https://www.standardwebhooks.com describes the signature."""

    kind: Literal["webhook"]
    """This kind of store."""
    url: str = Field(pattern=r"^https?://[^\s@]+$")
    """Where each write is posted. 2xx takes it; a body may hold `{"id", "number", "url"}` of the ticket there."""
    secret: SecretStr
    """`env:NAME` or `file:PATH` of "whsec_…": signs what goes out."""
    answer_secrets: tuple[SecretStr, ...] = ()
    """The same for what comes in at `POST /feeds/<name>`; two while one is changed. Empty: nothing comes in."""
    file_limit: Size = 5 * 1024 * 1024
    """Files up to this size go along in base64; of bigger ones only name, size and digest."""

    def wrong_secrets(self) -> Mapping[str, str]:
        """As the contract of settings says."""
        named = {"secret": self.secret, **{f"answer_secrets.{n}": one for n, one in enumerate(self.answer_secrets)}}
        found: dict[str, str] = {}
        for name, secret in named.items():
            try:
                signing.key_of(reveal(secret))
            except ValueError as error:
                found[name] = str(error)
            except (KeyError, OSError):
                continue  # one that is absent is told of where secrets are looked for
        return found


class Webhook:
    """`contract.Feed` and `contract.Hears`."""

    def __init__(self, name: str, settings: WebhookFeed, *, clock: Clock) -> None:
        """Raises KeyError, OSError or ValueError for a secret that is absent or none."""
        self._name, self._settings, self._clock = name, settings, clock
        self._key = signing.key_of(reveal(settings.secret))
        self._keys = [signing.key_of(reveal(each)) for each in settings.answer_secrets]
        self._wire = Wire(settings.url, headers={}, seconds=settings.timeout.total_seconds())

    async def open(self) -> None:
        """Nothing to make ahead."""

    async def close(self) -> None:
        """As the contract says."""
        await self._wire.close()

    async def push(self, write: Write) -> Pushed:
        """As the contract says."""
        try:
            made = asyncio.to_thread(self._body, write) if shapes.blocks(write) else None
            body, left_out = self._body(write) if made is None else await made
        except OSError as error:
            return Pushed(
                outcome=Outcome.RETRY, detail=f"a file cannot be read: {type(error).__name__}", of_ticket=True
            )
        answer = await self._posted(write.key, body)
        if isinstance(answer, Pushed):
            return answer
        if answer.status == 410:
            return Pushed(outcome=Outcome.VANISHED, detail=answer.words())
        if not answer.good:
            return answer.failure()
        return Pushed(outcome=Outcome.DONE, ref=_ref_in(answer, write), left_out=left_out)

    async def _posted(self, name: str, body: bytes) -> Answer | Pushed:
        headers = {
            "Content-Type": "application/json",
            **signing.signed(self._key, name=name, at=self._clock(), body=body),
        }
        try:
            return await self._wire.ask("POST", "", headers=headers, body=body)
        except (Unsent, Unanswered) as error:
            return not_reached(error)

    def _body(self, write: Write) -> tuple[bytes, list[str]]:
        maps, limit = self._settings.map, self._settings.file_limit
        message = shapes.message_of(write)
        data: dict[str, Any] = {"ticket": shapes.ticket(write.ticket, maps)}
        left_out = [*shapes.unmapped(write.ticket, data["ticket"])]
        if message is not None:
            left_out += [f"{each.filename}: over {limit} bytes" for each in message.files if each.size > limit]
            data["message"] = shapes.said(message, files=[shapes.file(each, limit=limit) for each in message.files])
        if not isinstance(write, Open):
            data["ref"] = shapes.ref(write.ref)
        if isinstance(write, Alter):
            data["fields"] = sorted(write.fields)
        whole = {"type": EVENTS[type(write)], "timestamp": shapes.instant(write.ticket.updated_at), "data": data}
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"), left_out

    async def find(self, write: Write) -> Ref | None:
        """Never there: a repeat is harmless, see above."""
        return None

    async def changes(self, cursor: str | None) -> Changes:
        """Nothing is asked for: it comes by `heard`."""
        return Changes(heard=(), cursor=cursor or "")

    async def heard(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, now: datetime) -> Changes:
        """As the contract says."""
        signing.verify(self._keys, {name.lower(): value for name, value in headers.items()}, body, now)
        return parse(body, self._settings.map, now)

    async def check(self) -> list[Finding]:
        """A signed `ping` that the store answers with 2xx and does nothing about."""
        body = json.dumps({"type": "ping", "timestamp": shapes.instant(self._clock()), "data": {}}).encode()
        answer = await self._posted(f"ping-{int(self._clock().timestamp())}", body)
        where = f"{self._wire.host} takes a signed ping"
        if isinstance(answer, Pushed):
            return [Finding(good=False, what=f"{where}: {answer.detail}", mend="is `url` right, and is it running?")]
        if not answer.good:
            mend = "compare `secret` on both sides" if answer.status in (401, 403) else "it should answer 2xx to a ping"
            return [Finding(good=False, what=f"{where}: {answer.words()}", mend=mend)]
        findings = [Finding(good=True, what=where)]
        if self._settings.read and not self._keys:
            what = "nothing comes in: `answer_secrets` is empty"
            findings.append(Finding(good=False, warning=True, what=what, mend="or say `read: no`"))
        return findings

    async def undo(self, ref: Ref) -> Pushed:
        """The store is told that it was a test."""
        body = json.dumps({"type": "ticket.test_over", "data": {"ref": shapes.ref(ref)}}).encode()
        answer = await self._posted(f"undo-{ref.id}", body)
        if isinstance(answer, Pushed):
            return answer
        return Pushed(outcome=Outcome.DONE) if answer.good else answer.failure()


def _ref_in(answer: Answer, write: Write) -> Ref:
    """What the store calls the ticket; without a word of it, what we call it."""
    known = Ref(id=write.ticket.key, number=write.ticket.number) if isinstance(write, Open) else write.ref
    try:
        return RefIn.model_validate_json(answer.body).ref()
    except ValidationError:
        return known


def build(name: str, settings: FeedSettings, wiring: Wiring) -> Webhook:
    """For the registry."""
    if not isinstance(settings, WebhookFeed):
        raise TypeError(f"feed {name} is no webhook")
    return Webhook(name, settings, clock=wiring.clock)
