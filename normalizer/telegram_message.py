"""A message of a person in Telegram to a Message: the text, what came with it, what it answers, who wrote it first."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from normalizer import language
from normalizer.mail import answers
from normalizer.message import Address, Attachment, KeyKind, Message, ThreadKey, Trust
from normalizer.telegram_kinds import excerpt, paid_files, said
from normalizer.telegram_media import File, files
from normalizer.telegram_place import Bot, Place, address_of, author, person_id, privately, title_of
from normalizer.telegram_rich import rich
from normalizer.telegram_services import is_about
from normalizer.telegram_text import quoted, written
from normalizer.telegram_wire import Obj, line, obj, text, when

UNSUPPORTED = "unsupported content"
EXCERPT = 400
"""Characters of an answered message that are repeated for whoever reads the ticket."""
NAMES = 5
_NAME = re.compile(r"[a-z0-9_]{1,40}")
_EMOJI = re.compile(r"[\s\u200d\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff]+")
_FORMER = (("forward_from", ""), ("forward_from_chat", "forward_signature"))
"""How a Bot API server before 7.0 says whose message was forwarded."""


@dataclass(slots=True)
class _Content:
    """What was found in a message."""

    written: str = ""
    """The person's own words, with links and marks."""
    plain: str = ""
    """The same as it was typed."""
    lines: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    idle: bool = False
    """Nothing is there that asks for anything: a sticker alone."""

    def add(self, file: File, *, worded: bool) -> None:
        """A file; one that speaks for itself is named only where there are no words, or where it cannot be had."""
        self.attachments.append(file.attachment)
        if file.told or file.oddity or not worded:
            self.lines.append(file.shown)
        if file.oddity:
            self.oddities.append(file.oddity)


def message(update: Obj, bot: Bot, place: Place | None, *, edited_at: datetime | None = None) -> Message:
    """The Message of a person. `place` is None where Telegram did not say which chat: then nobody can answer."""
    content = _content(update, bot)
    origin = _origin(update)
    sender = author(update)
    first, lines = _forward_line(origin), content.lines
    spoken = without_mention(content.plain, bot)
    guessed, sure = language.guess(spoken)
    own = spoken if origin is None else ""
    score, comment = answers.rating(own)
    return Message(
        sender=sender,
        text=_joined(_context(update, bot), first, content.written, *lines),
        visible_text=_joined(first, without_mention(content.written, bot), *lines),
        on_behalf=origin,
        date=when(update.get("date")),
        attachments=tuple(content.attachments),
        thread_keys=_thread_keys(update, place),
        language=guessed,
        language_sure=sure,
        thanks=_thanks(content, own),
        rating=score,
        rating_comment=comment,
        stop_surveys=answers.stop_surveys(own),
        trust=trust(sender),
        forwarded=_forwarded(content, origin, update),
        conversation=place.conversation(sender.address) if place is not None else None,
        external_key=place.key(update) if place is not None else "",
        edited_at=edited_at,
        group=place.album(update) if place is not None else "",
        answers_us=_is_ours(obj(update.get("reply_to_message")), bot),
        oddities=tuple(dict.fromkeys([*content.oddities, *([] if place is not None else ["message:no_chat"])])),
    )


def new_kind(name: str, update: Obj, bot: Bot) -> Message:
    """An update of a kind that did not exist when this was written: its name is kept, and the journal keeps it all."""
    user = next((obj(update.get(role)) for role in ("from", "user", "sender") if obj(update.get(role))), {})
    sender, place = address_of(user), Place.of(bot, update)
    known = name if _NAME.fullmatch(name) else ""
    shown = _unsupported([known] if known else [])
    where = privately if place is None else place.conversation
    return Message(
        sender=sender,
        text=shown,
        visible_text=shown,
        date=when(update.get("date")),
        trust=trust(sender),
        conversation=where(sender.address) if sender.address else None,
        oddities=(f"unsupported:update:{known}",),
    )


def trust(sender: Address) -> Trust:
    """Telegram vouches for who writes: the request came with the secret that it has from us, or we asked for it."""
    return Trust.VERIFIED if sender.address else Trust.UNKNOWN


# -- what is in it ------------------------------------------------------------------------


def _content(update: Obj, bot: Bot) -> _Content:
    words, entities = ("text", "entities") if "text" in update else ("caption", "caption_entities")
    found = _Content(written=written(update.get(words), update.get(entities)), plain=text(update.get(words)))
    _read_rich(update, bot, found)
    album = update.get("media_group_id") is not None
    for file in [*files(update, bot.file_limit), *paid_files(update, bot.file_limit)]:
        found.add(file, worded=album or bool(found.written))
    kinds = list(said(update))
    found.lines += [line for line, _ in kinds]
    found.idle = bool(kinds) and all(kind.idle for _, kind in kinds)
    if not (found.written or found.lines or found.attachments):
        names = [name for name in sorted(update) if not is_about(name) and _NAME.fullmatch(name)][:NAMES]
        found.lines.append(_unsupported(names))
        found.oddities += [f"unsupported:{name}" for name in names] or ["unsupported:nothing"]
    return found


def _read_rich(update: Obj, bot: Bot, found: _Content) -> None:
    read, with_it, oddities = rich(update.get("rich_message"), bot.file_limit)
    found.written, found.plain = _joined(found.written, read), _joined(found.plain, read)
    found.attachments += [file.attachment for file in with_it]
    found.oddities += [*(file.oddity for file in with_it if file.oddity), *oddities]


def _unsupported(names: list[str]) -> str:
    return f"[{UNSUPPORTED}{': ' if names else ''}{', '.join(names)}]"


def _thanks(content: _Content, own: str) -> bool:
    """Only thanks, a greeting, an emoji, a sticker: nothing that opens a ticket."""
    if content.attachments:
        return False
    if not content.plain:
        return content.idle
    return answers.thanks(own) or bool(_EMOJI.fullmatch(own))


def without_mention(words: str, bot: Bot) -> str:
    """Without our name at the beginning, by which we are spoken to in a group."""
    mention = f"@{bot.name}"
    if not bot.name or words[: len(mention)].lower() != mention:
        return words
    rest = words[len(mention) :]
    return words if rest[:1].isalnum() or rest[:1] == "_" else rest.lstrip(" ,:\n")


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


# -- what it answers ----------------------------------------------------------------------


def _thread_keys(update: Obj, place: Place | None) -> tuple[ThreadKey, ...]:
    if place is None:
        return ()
    keys = [place.key(_answered(update))]
    elsewhere = obj(update.get("external_reply"))
    other = Place.of(Bot(account=place.account), elsewhere)
    keys += [other.key(elsewhere)] if other is not None else []
    return tuple(ThreadKey(kind=KeyKind.EXTERNAL, value=key) for key in dict.fromkeys(keys) if key)


def _answered(update: Obj) -> Obj:
    """The message that it answers. In a topic everything "answers" the message that opened the topic: that is none."""
    found = obj(update.get("reply_to_message"))
    topic = update.get("is_topic_message") is True and found.get("message_id") == update.get("message_thread_id")
    return {} if topic else found


def _is_ours(answered: Obj, bot: Bot) -> bool:
    """Sent by this account, under its own name or that of the business it answers for."""
    senders = (obj(answered.get("from")), obj(answered.get("sender_business_bot")))
    return bot.id in [person_id(one) for one in senders if one]


def _context(update: Obj, bot: Bot) -> str:
    """What is answered, as a quotation above the text: the passage that was chosen, else the beginning."""
    quote, elsewhere, answered = obj(update.get("quote")), obj(update.get("external_reply")), _answered(update)
    parts = []
    if quote:
        parts.append(quoted(written(quote.get("text"), quote.get("entities"))[:EXCERPT]))
    elif not _is_ours(answered, bot):
        parts.append(quoted(_introduced(author(answered).name, excerpt(answered, EXCERPT))))
    if elsewhere:
        whose = _whose(obj(elsewhere.get("origin")))
        parts.append(quoted(_introduced(whose.name if whose is not None else "", excerpt(elsewhere, EXCERPT))))
    story = obj(update.get("reply_to_story"))
    if story:
        parts.append(quoted(_introduced(title_of(obj(story.get("chat"))), "[story]")))
    return _joined(*(part for part in parts if part.strip("> \n")))


def _introduced(name: str, said_there: str) -> str:
    return f"{name}: {said_there}" if name else said_there


# -- who wrote it first -------------------------------------------------------------------


def _origin(update: Obj) -> Address | None:
    """The author of a forwarded message, of each of the four kinds; None for a message of the sender's own."""
    whose = _whose(obj(update.get("forward_origin")))
    if whose is not None:
        return whose
    for name, signature in _FORMER:
        if obj(update.get(name)):
            return _signed(obj(update.get(name)), line(update.get(signature)))
    hidden = line(update.get("forward_sender_name"))
    return Address(address="", name=hidden) if hidden else None


def _whose(origin: Obj) -> Address | None:
    if not origin:
        return None
    signature = line(origin.get("author_signature"))
    for name in ("sender_user", "sender_chat", "chat"):
        if obj(origin.get(name)):
            return _signed(obj(origin.get(name)), signature)
    return Address(address="", name=line(origin.get("sender_user_name")))


def _signed(whose: Obj, signature: str) -> Address:
    """A user is an address; a chat or channel is a name only, for nobody can be written to there."""
    if "title" not in whose:
        return address_of(whose)
    title = title_of(whose)
    return Address(address="", name=f"{title} ({signature})" if signature else title)


def _forward_line(origin: Address | None) -> str:
    if origin is None:
        return ""
    return f"[forwarded from {origin.name}]" if origin.name else "[forwarded]"


def _forwarded(content: _Content, origin: Address | None, update: Obj) -> Message | None:
    """The message inside, when a known user wrote it."""
    if origin is None or not origin.address:
        return None
    inside = _joined(content.written, *content.lines)
    guessed, sure = language.guess(content.plain)
    return Message(
        sender=origin,
        text=inside,
        visible_text=inside,
        date=when(obj(update.get("forward_origin")).get("date")) or when(update.get("forward_date")),
        attachments=tuple(content.attachments),
        language=guessed,
        language_sure=sure,
    )
