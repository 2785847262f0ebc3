"""What a store tells us in JSON, checked: the body of `POST /feeds/<name>` of the kind `webhook`."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateway.feeds.contract import Change, Changes, File, Heard, Merged, Name, Ref, Replied, Set, Unreadable, Vanished
from gateway.feeds.settings import Maps

MOST = 200
"""Changes of one request."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class FileIn(_Part):
    """A file of a reply."""

    filename: str = Field(min_length=1, max_length=255)
    content_type: str = Field(default="application/octet-stream", max_length=255)
    content: bytes

    @field_validator("content", mode="before")
    @classmethod
    def _decoded(cls, value: object) -> bytes:
        try:
            return base64.b64decode(str(value), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("should be base64") from None


class ReplyIn(_Part):
    """What staff wrote. Not public unless it says so."""

    text: str = Field(max_length=1_000_000)
    public: bool = False
    files: tuple[FileIn, ...] = Field(default=(), max_length=50)


class RefIn(_Part):
    """A ticket of the store."""

    id: str = Field(min_length=1, max_length=255)
    number: str = Field(default="", max_length=64)
    url: str = Field(default="", max_length=1000)

    def ref(self) -> Ref:
        """As the contract has it."""
        return Ref(id=self.id, number=self.number or self.id[:64], url=self.url)


class ChangeIn(_Part):
    """One change; exactly one of `set`, `reply`, `merged` and `vanished`."""

    id: str = Field(min_length=1, max_length=64)
    """The store's name of the change: a repeat is known by it."""
    ref: str = Field(min_length=1, max_length=255)
    at: AwareDatetime | None = None
    actor: str = Field(default="", max_length=200)
    set: dict[Name, str | int | bool | None] | None = None
    reply: ReplyIn | None = None
    merged: RefIn | None = None
    vanished: Literal[True] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> ChangeIn:
        if sum(one is not None for one in (self.set, self.reply, self.merged, self.vanished)) != 1:
            raise ValueError("should have exactly one of set, reply, merged, vanished")
        return self

    def heard(self, maps: Maps, now: datetime) -> Iterator[Heard]:
        """As the contract has it; each field of `set` is a change of its own."""
        changes = list(_changes(self, maps))
        for number, (suffix, change) in enumerate(changes):
            name = self.id if len(changes) == 1 and number == 0 and not suffix else f"{self.id}:{suffix}"
            at = (self.at or now).astimezone(UTC)
            yield Heard(id=name, ref=self.ref, at=at, actor=self.actor, ours=False, change=change)


class Told(_Part):
    """A whole body."""

    changes: tuple[ChangeIn, ...] = Field(max_length=MOST)


def _changes(one: ChangeIn, maps: Maps) -> Iterator[tuple[str, Change]]:
    if one.reply is not None:
        files = [_file(each) for each in one.reply.files]
        yield "", Replied(text=one.reply.text, public=one.reply.public, files=files)
    if one.merged is not None:
        yield "", Merged(into=one.merged.ref())
    if one.vanished:
        yield "", Vanished()
    for field, value in (one.set or {}).items():
        yield field, in_our_words(field, value, maps)


def in_our_words(field: Name, value: str | int | bool | None, maps: Maps) -> Set:
    """A field's value as the store has it, by the value maps."""
    raw = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    ours = maps.ours(field, raw) if raw else ""
    return Set(field=field, value=ours or "", raw=raw[:200], known=ours is not None)


def _file(one: FileIn) -> File:
    content = one.content
    digest = hashlib.sha256(content).hexdigest()
    return File(
        filename=one.filename, content_type=one.content_type, size=len(content), sha256=digest, read=lambda: content
    )


def parse(body: bytes, maps: Maps, now: datetime) -> Changes:
    """What a body says. Raises Unreadable, which names the place and quotes nothing."""
    try:
        told = Told.model_validate_json(body)
    except ValidationError as error:
        raise Unreadable("; ".join(_places(error))) from None
    heard = [each for change in told.changes for each in change.heard(maps, now)]
    return Changes(heard=heard, cursor="")


def _places(error: ValidationError) -> Sequence[str]:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in found[:5]]
