"""mail/1: the bytes of a mail to an Event. Total: whatever the bytes are, something comes out, oddities named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import Message as Part
from email.utils import parsedate_tz

from normalizer import language
from normalizer.mail import (
    addresses,
    answers,
    automatic,
    blocks,
    bounces,
    cut,
    forward,
    limits,
    markup,
    mime,
    quotes,
    threads,
    trust,
    words,
)
from normalizer.message import (
    Address,
    DeliveryReport,
    Event,
    Facts,
    InlineBody,
    KeyKind,
    Message,
    MessageKind,
    RawMessage,
    ReportedRecipient,
    ThreadKey,
)

_ON_BEHALF = re.compile(r"\bon behalf of\b|\bот имени\b|\bвід імені\b", re.IGNORECASE)
_ODDITIES = 100


def read(raw: RawMessage) -> Event:
    """What the mail means.

    Facts used: `rcpt_to`, `mail_from`, `authserv_ids`, `whole_size`, `folder`. Raises TypeError for a body that is
    still on disk: the caller loads it.
    """
    if not isinstance(raw.body, InlineBody):
        raise TypeError("the body of a raw message is loaded before it is normalised")
    event = _Reader(raw.body.content, raw.facts, depth=0).event()
    return cut.tell(event, raw.facts) if isinstance(event, Message) else event


@dataclass(frozen=True, slots=True)
class _Body:
    """The texts of a mail."""

    text: str
    visible: str
    html: str


class _Reader:
    """One mail. Everything that several steps need is read once here."""

    def __init__(self, data: bytes, facts: Facts, *, depth: int) -> None:
        checked = limits.check(data.lstrip(b"\r\n") if data[:1] in (b"\r", b"\n") else data)
        self._facts = facts
        self._data = checked.data
        self._depth = depth
        self._root = mime.parse(checked.data, headers_only=checked.flat)
        self._oddities = [*checked.oddities]
        self._fields = mime.fields(self._root)
        self._contents = _flat(self._root, self._oddities) if checked.flat else mime.collect(self._root)
        self._charset = self._contents.charset
        self._subject = self._text("subject")
        self._sender = self._author()
        self._to = self._addresses("to")
        self._cc = self._addresses("cc")

    # -- headers --

    def _text(self, name: str) -> str:
        return words.decode(self._fields.first(name), self._oddities, self._charset)

    def _addresses(self, name: str) -> tuple[Address, ...]:
        values = self._fields.all(name)
        found = [one for value in values[:20] for one in addresses.parse(value, self._oddities, self._charset)]
        return tuple(found[: limits.ADDRESSES])

    def _author(self) -> Address:
        for name in ("from", "sender", "reply-to", "return-path"):
            found = [one for one in self._addresses(name) if one.address or one.name]
            if found:
                if name != "from":
                    self._oddities.append("from:missing")
                elif len(found) > 1:
                    self._oddities.append("from:several")
                return next((one for one in found if "@" in one.address), found[0])
        self._oddities.append("from:missing")
        return Address(address="")

    def _recipients(self) -> list[str]:
        named = self._facts.get("rcpt_to")
        envelope = [str(one) for one in named] if isinstance(named, Sequence) and not isinstance(named, str) else []
        return [*envelope, *(one.address for one in (*self._to, *self._cc))]

    def _null_sender(self) -> bool:
        envelope = self._facts.get("mail_from")
        if isinstance(envelope, str):
            return envelope.strip("<> ") == ""
        return any(self._fields.first(name).strip() == "<>" for name in ("return-path", "from"))

    def _date(self) -> datetime | None:
        value = self._fields.first("date")
        if not value:
            return None
        try:
            parts = parsedate_tz(words.one_line(value)[:200])
            if parts is None:
                raise ValueError(value)
            moment = datetime(*parts[:6], tzinfo=UTC).timestamp() - (parts[9] or 0)
            return datetime.fromtimestamp(moment, UTC)
        except (ValueError, OverflowError, OSError, TypeError, IndexError):
            self._oddities.append("date:bad")
            return None

    # -- the story --

    def event(self) -> Event:
        body = self._body()
        sight = self._sight(body)
        for kind, rule in automatic.RULES[:2]:
            if rule(sight):
                return self._message(body, sight, _kind(kind))
        recipients = self._bounced(body, sight)
        if recipients:
            return self._report(body, sight, recipients)
        for kind, rule in automatic.RULES[2:]:
            if rule(sight):
                return self._message(body, sight, _kind(kind))
        return self._message(body, sight, "message")

    def _sight(self, body: _Body) -> automatic.Sight:
        kind, params = mime.content_type(self._root)
        return automatic.Sight(
            fields=self._fields,
            subject=self._subject,
            sender=self._sender.address,
            null_sender=self._null_sender(),
            text=body.text,
            types=self._contents.types,
            report_type=params.get("report-type", "").strip().lower() if kind == "multipart/report" else "",
            recipients=self._recipients(),
        )

    def _body(self) -> _Body:
        found = self._contents
        plain = "\n".join(text.strip("\n") for text in found.texts).strip("\n")
        html = "\n".join(found.htmls)
        forwarded = blocks.subject_says(self._subject) == "forward"
        if not html:
            visible = quotes.visible(plain, forward=forwarded)
            # Mostly the same text: as one object it travels once to whoever asked.
            return _Body(plain, plain if visible == plain else visible, "")
        rendered = markup.render(html, self._oddities)
        text = plain if plain.strip() else rendered.text
        source = rendered.marked if rendered.structured or not plain.strip() else plain
        return _Body(text, quotes.visible(source, forward=forwarded), rendered.clean)

    def _message(self, body: _Body, sight: automatic.Sight, kind: MessageKind) -> Message:
        in_reply_to = threads.message_ids(self._fields.all("in-reply-to"))
        references = threads.message_ids(self._fields.all("references"))
        code, sure = language.guess(body.visible or body.text or self._subject)
        score, comment = answers.rating(body.visible)
        relays = self._facts.get("authserv_ids")
        forwarded = self._forwarded(body)
        if "message-id" not in self._fields:
            self._oddities.append("message-id:missing")
        return Message(
            sender=self._sender,
            text=body.text,
            visible_text=body.visible,
            kind=kind,
            subject=self._subject,
            to=self._to,
            cc=self._cc,
            reply_to=self._addresses("reply-to"),
            on_behalf=self._on_behalf() or (forwarded.sender if forwarded and forwarded.sender.address else None),
            message_id=threads.message_id(self._fields.first("message-id")),
            in_reply_to=in_reply_to,
            references=references,
            date=self._date(),
            html=body.html,
            attachments=tuple(self._contents.attachments),
            thread_keys=threads.keys(
                recipients=sight.recipients, in_reply_to=in_reply_to, references=references, subject=self._subject
            ),
            language=code,
            language_sure=sure,
            thanks=kind == "message" and answers.thanks(body.visible) and not self._contents.attachments,
            rating=score,
            rating_comment=comment,
            stop_surveys=answers.stop_surveys(body.visible),
            trust=trust.judge(
                self._fields,
                self._sender.address.rpartition("@")[2],
                [str(one) for one in relays] if isinstance(relays, Sequence) and not isinstance(relays, str) else (),
            ),
            robot=kind != "message" or automatic.is_robot(sight),
            forwarded=forwarded,
            oddities=tuple(dict.fromkeys([*self._oddities, *self._contents.oddities]))[:_ODDITIES],
        )

    def _on_behalf(self) -> Address | None:
        named = self._addresses("sender")
        if named and named[0].address.lower() != self._sender.address.lower():
            return named[0]
        if _ON_BEHALF.search(self._sender.name):
            return Address(address="", name=_ON_BEHALF.split(self._sender.name, maxsplit=1)[1].strip(" ()'\""))
        return None

    def _forwarded(self, body: _Body) -> Message | None:
        if self._depth >= limits.NESTED_MESSAGES:
            return None
        says = blocks.subject_says(self._subject)
        if self._contents.messages and says != "reply":
            return _inside(self._contents.messages[0], self._depth)
        if says == "reply":
            return None
        if says == "forward" or quotes.forwards(body.text):
            return forward.inline(body.text)
        return None

    # -- bounces --

    def _bounced(self, body: _Body, sight: automatic.Sight) -> list[ReportedRecipient]:
        if self._shows_a_bounce(sight):
            return []
        found = bounces.from_status(self._contents.statuses)
        if found:
            return found
        failed = self._fields.all("x-failed-recipients")
        suspect = bounces.is_suspect(
            sender=sight.sender, name=self._sender.name, null_sender=sight.null_sender, subject=self._subject
        )
        said = bool(self._contents.statuses) or sight.report_type == "delivery-status"
        if not (suspect or failed or said):
            return []
        signs = bounces.is_daemon(sight.sender, self._sender.name), sight.null_sender, bounces.telling(self._subject)
        daemon = said or sum(signs) >= 2  # a person at postmaster@, or a reply from a holiday, has one at most
        named = [one.address for value in failed for one in addresses.parse(value, []) if one.address]
        root = self._root
        if len(self._data) > limits.BOUNCE_BYTES:
            root = mime.parse(self._data[: limits.BOUNCE_BYTES], headers_only=False)
        return bounces.from_words(
            root, body.text, daemon=daemon, ours=self._own(), oddities=self._oddities, named=named
        )

    def _shows_a_bounce(self, sight: automatic.Sight) -> bool:
        """A person sends us a bounce of theirs, attached or quoted: a request, and no report to us."""
        daemon = bounces.is_daemon(sight.sender, self._sender.name)
        machine = daemon or sight.null_sender or sight.report_type or "x-failed-recipients" in self._fields
        return not machine and (bool(self._contents.statuses) or blocks.subject_says(self._subject) == "forward")

    def _own(self) -> list[str]:
        return [*self._recipients(), self._sender.address]

    def _report(self, body: _Body, sight: automatic.Sight, recipients: list[ReportedRecipient]) -> DeliveryReport:
        content = self._message(body, sight, "report")
        returned = self._contents.messages
        original = threads.message_id(bounces.original_id(returned, self._contents.returned_headers, body.text))
        references = threads.message_ids(
            value for part in returned[:1] for value in mime.fields(part).all("references")[:5]
        )
        own = () if not original else (ThreadKey(kind=KeyKind.MESSAGE_ID, value=original),)
        seen = tuple(ThreadKey(kind=KeyKind.MESSAGE_ID, value=one) for one in reversed(references))
        keys = dict.fromkeys((*own, *content.thread_keys, *seen[: limits.REFERENCES]))
        return DeliveryReport(
            recipients=tuple(recipients), original_message_id=original, thread_keys=tuple(keys), content=content
        )


def _inside(part: Part, depth: int) -> Message | None:
    """An attached message, read like any other but for what only the envelope tells."""
    event = _Reader(mime.message_bytes(part), {}, depth=depth + 1).event()
    message = event.content if isinstance(event, DeliveryReport) else event
    return replace(message, rating=None, stop_surveys=False) if isinstance(message, Message) else None


def _flat(root: Part, oddities: list[str]) -> mime.Contents:
    """A mail whose structure is beyond the caps: its beginning as text, and nothing else."""
    found = mime.Contents()
    raw = mime.inside(root)
    data = words.to_bytes(raw)[: limits.FLAT_TEXT_BYTES] if isinstance(raw, str) else b""
    found.texts.append(words.clean(data.decode("utf-8", "replace").replace("\r", "")))
    oddities.append("structure:not-read")
    return found


def _kind(name: str) -> MessageKind:
    kinds: dict[str, MessageKind] = {
        "loop": "loop", "feedback": "feedback", "report": "report", "auto_reply": "auto_reply",
    }  # fmt: skip
    return kinds[name]
