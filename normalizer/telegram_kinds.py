"""What in a Telegram message is neither text nor a file, said in words for whoever reads the ticket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from normalizer.telegram_media import File, files
from normalizer.telegram_place import name_of, title_of
from normalizer.telegram_wire import Obj, amount, line, obj, objects, real, text

MAP = "https://www.openstreetmap.org/?mlat={0}&mlon={1}#map=17/{0}/{1}"


def _named(kind: str, *parts: str) -> str:
    said = ", ".join(part for part in parts if part)
    return f"[{kind}: {said}]" if said else f"[{kind}]"


def _listed(kind: str, title: str, members: Iterator[str]) -> str:
    return "\n".join([_named(kind, title), *(f"- {member}" for member in members)])


def location(found: Obj) -> str:
    """Where, and a link to a map."""
    latitude, longitude = real(found.get("latitude")), real(found.get("longitude"))
    kind = "live location" if amount(found.get("live_period")) else "location"
    if latitude is None or longitude is None:
        return _named(kind)
    return f"{_named(kind, f'{latitude:.6f}', f'{longitude:.6f}')} {MAP.format(f'{latitude:.6f}', f'{longitude:.6f}')}"


def _venue(found: Obj) -> str:
    where = location(obj(found.get("location")))
    return f"{_named('place', line(found.get('title')), line(found.get('address')))}\n{where}"


def _contact(found: Obj) -> str:
    return _named("contact", name_of(found), line(found.get("phone_number"), 40))


def _poll(found: Obj) -> str:
    options = (line(option.get("text")) for option in objects(found.get("options")))
    return _listed("poll", line(found.get("question"), 400), options)


def _checklist(found: Obj) -> str:
    tasks = (line(task.get("text")) for task in objects(found.get("tasks")))
    return _listed("checklist", line(found.get("title"), 400), tasks)


def _dice(found: Obj) -> str:
    value = amount(found.get("value"))
    return f"[dice {line(found.get('emoji'), 8)}: {value}]"


def _sticker(found: Obj) -> str:
    return f"[sticker {line(found.get('emoji'), 8)}]".replace(" ]", "]")


def _story(found: Obj) -> str:
    return _named("story", title_of(obj(found.get("chat"))))


def _paid(found: Obj) -> str:
    stars = amount(found.get("star_count"))
    members = ", ".join(line(one.get("type"), 40) for one in objects(found.get("paid_media")))
    return _named("paid media", f"{stars} stars" if stars else "", members)


def _giveaway(found: Obj) -> str:
    count = amount(found.get("winner_count"))
    return _named("giveaway", f"winners: {count}" if count else "", line(found.get("prize_description")))


def _titled(kind: str) -> Callable[[Obj], str]:
    def say(found: Obj) -> str:
        return _named(kind, line(found.get("title")), line(found.get("description"), 400))

    return say


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of content."""

    say: Callable[[Obj], str]
    idle: bool = False
    """It asks for nothing: alone it is no request."""
    hides: str = ""
    """Another member that says a part of the same."""


KINDS: Mapping[str, Kind] = {
    "venue": Kind(say=_venue, hides="location"),
    "location": Kind(say=location),
    "contact": Kind(say=_contact),
    "poll": Kind(say=_poll),
    "checklist": Kind(say=_checklist),
    "dice": Kind(say=_dice, idle=True),
    "sticker": Kind(say=_sticker, idle=True),
    "story": Kind(say=_story),
    "paid_media": Kind(say=_paid),
    "giveaway": Kind(say=_giveaway),
    "giveaway_winners": Kind(say=_giveaway),
    "game": Kind(say=_titled("game")),
    "invoice": Kind(say=_titled("invoice")),
}
"""Member of a message -> how it is said."""


def said(message: Obj) -> Iterator[tuple[str, Kind]]:
    """Everything of a message that one of the kinds can say."""
    hidden = {kind.hides for name, kind in KINDS.items() if obj(message.get(name))}
    for name, kind in KINDS.items():
        found = obj(message.get(name))
        if found and name not in hidden:
            yield kind.say(found), kind


def paid_files(message: Obj, limit: int) -> Iterator[File]:
    """Files that are paid for, as far as they are shown to us."""
    for one in objects(obj(message.get("paid_media")).get("paid_media")):
        yield from files({**one, "message_id": message.get("message_id")}, limit)


def excerpt(message: Obj, most: int) -> str:
    """A few words of a message that is answered, to know what is meant: its text, else what it is."""
    words = text(message.get("text")) or text(message.get("caption"))
    if not words:
        shown = [file.shown for file in files(message, 0)] + [one for one, _ in said(message)]
        words = "\n".join(shown)
    return words if len(words) <= most else f"{words[:most].rstrip()} […]"
