"""What a store says, made fit to be shown: one line where people expect one, names of files without a path, no NUL.

A store's words end in subjects, histories, downloads and alerts; who may write there is not for us to know. Of what its
interface calls things (`Ref.id`, `Heard.id`) only that is changed which no database of ours takes.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.feeds import plain
from gateway.feeds.contract import Change, Existing, File, Heard, Merged, Person, Pushed, Ref, Replied, Set
from gateway.store.dialect import clean_text

LONGEST = 1000


def ref(one: Ref) -> Ref:
    """A ticket of the store: its number may be typed, and stands in subjects."""
    return replace(
        one, id=clean_text(one.id), number=plain.one_line(one.number, 64), url=plain.one_line(one.url, LONGEST)
    )


def pushed(one: Pushed) -> Pushed:
    """What a try came to."""
    return one if one.ref is None else replace(one, ref=ref(one.ref))


def heard(one: Heard) -> Heard:
    """One change."""
    return replace(
        one, id=clean_text(one.id), ref=clean_text(one.ref), actor=plain.one_line(one.actor, 200),
        change=_change(one.change),
    )  # fmt: skip


def _change(change: Change) -> Change:
    match change:
        case Set():
            return replace(change, value=plain.one_line(change.value, LONGEST), raw=plain.one_line(change.raw, LONGEST))
        case Replied():
            return replace(change, text=plain.clean(change.text), files=tuple(_file(file) for file in change.files))
        case Merged():
            return replace(change, into=ref(change.into))
        case _:
            return change


def _file(file: File) -> File:
    # A path says nothing here, and may be meant for the machine of who downloads it.
    name = plain.one_line(file.filename, LONGEST).replace("\\", "/").rpartition("/")[2]
    return replace(file, filename=name[:200] or "file", content_type=plain.one_line(file.content_type, 255))


def existing(one: Existing) -> Existing:
    """A ticket that was there before us."""
    return replace(
        one, ref=ref(one.ref), subject=plain.one_line(one.subject, LONGEST), requester=_person(one.requester),
        copies=tuple(_person(each) for each in one.copies),
    )  # fmt: skip


def _person(one: Person) -> Person:
    return replace(one, name=plain.one_line(one.name, 200), address=plain.one_line(one.address, 320))
