"""What feeds of HTTP stores share: calls whose answers are checked, the text of a message, files that fit."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.feeds.contract import FeedError, File, Outcome, Person, Pushed, Said, Ticket
from gateway.feeds.wire import Answer, Unanswered, Unsent, Wire, not_reached

MOST_DETAIL = 500
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_M = TypeVar("_M", bound="Told")


class Told(BaseModel):
    """A part of an answer: what we need of it; what else stands there is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True, populate_by_name=True)


class NotGood(Exception):
    """The store answered, and not with what was hoped for."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.words())
        self.answer = answer


class FileGone(Exception):
    """A file of ours cannot be read at the moment; the text names it."""


class Calls:
    """Calls to one store. Each raises Unsent, Unanswered and, for an answer that is not 2xx, NotGood."""

    def __init__(self, wire: Wire, prefix: str = "") -> None:
        self._wire, self._prefix = wire, prefix

    @property
    def host(self) -> str:
        """For messages."""
        return self._wire.host

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        """One call; `more` as in `Wire.ask`."""
        answer = await self._wire.ask(method, self._prefix + path, **more)
        if not answer.good:
            raise NotGood(answer)
        return answer

    async def read(self, kind: type[_M], method: str, path: str, **more: Any) -> _M:
        """One call whose answer is of this kind."""
        return parsed(kind, await self.ask(method, path, **more))


def parsed(kind: type[_M], answer: Answer) -> _M:
    """The answer. Raises Unanswered when it is JSON of another shape: then somebody else answers there."""
    content = answer.json()
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        what = f"{answer.host} answers {answer.status} with JSON that is not what it should be"
        raise Unanswered(what + (f" ({where})" if where else "")) from None


@contextmanager
def reading() -> Iterator[None]:
    """What goes wrong with a call inside becomes a FeedError."""
    try:
        yield
    except NotGood as error:
        raise error.answer.trouble() from None
    except (Unsent, Unanswered) as error:
        raise FeedError(str(error)) from None


def failed(error: Exception) -> Pushed:
    """What a call that did not work comes to for a write. Raises what is none of these."""
    match error:
        case NotGood():
            return error.answer.failure()
        case Unsent() | Unanswered():
            return not_reached(error)
        case FileGone():
            return Pushed(outcome=Outcome.RETRY, detail=str(error), of_ticket=True)
        case _:
            raise error


def trusting(authority: Path | None) -> ssl.SSLContext | None:
    """A context that trusts this certificate alone; None: what the system trusts. Raises OSError."""
    return ssl.create_default_context(cafile=str(authority)) if authority is not None else None


def digest(key: str) -> str:
    """A key of ours as 32 characters of 0-9a-f, which nothing has to escape, fold or shorten."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def clean(text: str) -> str:
    """Without characters that databases and XML refuse; lines end with \\n."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str, most: int) -> str:
    """For subjects and names."""
    return " ".join(clean(text).split())[:most]


def named(person: Person) -> str:
    """Somebody in words: "Ivan <ivan@client.example>", "+380… (sms)"."""
    where = person.address if person.channel == "mail" else f"{person.address} ({person.channel})".strip()
    if person.name and person.address and person.channel == "mail":
        return f"{one_line(person.name, 120)} <{where}>"
    return one_line(f"{person.name} {where}", 300)


def body(said: Said, left_out: Sequence[str] = (), url: str = "") -> str:
    """The text that staff reads in the store: who wrote, the words, and what could not come along."""
    lines = [f"From: {named(said.author)}", "", clean(said.text).strip("\n")]
    if left_out:
        lines += ["", *(f"[{one_line(each, 300)}]" for each in left_out), *([url] if url else [])]
    return "\n".join(lines).rstrip() + "\n"


def heading(ticket: Ticket) -> str:
    """Who asks, for stores whose tickets have no place for people from outside."""
    copies = ", ".join(named(person) for person in ticket.copies)
    lines = [f"Requester: {named(ticket.requester)}", f"Copies: {copies}" if copies else "", ticket.url]
    return "\n".join(line for line in lines if line)


def from_html(html: str) -> str:
    """The text of HTML that an editor in a browser made."""
    # Loads the parsers of mails, which the main process does without until somebody writes HTML.
    from normalizer.mail.markup import CUT, QUOTED, render

    marked = render(html, []).marked
    return marked.replace(CUT, "").replace(QUOTED, "").strip()


async def fitting(files: Sequence[File], most: int) -> tuple[list[tuple[File, bytes]], list[str]]:
    """The files with their bytes, and in words those that are empty or over `most` bytes. Raises FileGone."""
    taken, left = list[tuple[File, bytes]](), list[str]()
    for file in files:
        name = one_line(file.filename, 200)
        if file.size > most:
            left.append(f"file {name}: {file.size} bytes, the limit is {most}")
        elif file.size == 0:
            left.append(f"file {name}: empty")
        else:
            try:
                taken.append((file, await asyncio.to_thread(file.read)))
            except OSError as error:
                raise FileGone(f"file {name} cannot be read here: {error.strerror or type(error).__name__}") from None
    return taken, left


def received(filename: str, content_type: str, content: bytes) -> File:
    """A file of the store's."""
    return File(
        filename=one_line(filename, 200) or "file", content_type=content_type or "application/octet-stream",
        size=len(content), sha256=hashlib.sha256(content).hexdigest(), read=lambda: content,
    )  # fmt: skip


def in_words(**said: str) -> Mapping[str, str]:
    """Query of a call without what is empty."""
    return {key: value for key, value in said.items() if value}
