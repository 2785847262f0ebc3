"""Methods that send: messages, files, edits and answers to pressed buttons, refused as Telegram refuses them.

https://core.telegram.org/bots/api#sendmessage and what follows it; descriptions of errors are those of the Bot API
server (github.com/tdlib/telegram-bot-api, Client.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from gateway.demo.bot_api.calls import ApiError, Call, Upload, method

TEXT_LIMIT, CAPTION_LIMIT, DATA_LIMIT, PRESS_LIMIT = 4096, 1024, 64, 200
PHOTO_LIMIT, UPLOAD_LIMIT = 10 * 1024 * 1024, 50 * 1024 * 1024
DATE = 1_777_885_200
_TAGS = frozenset(
    ("b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre", "span", "blockquote")
)
_UNESCAPED = re.compile(r"&(?!(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);)")


@dataclass(slots=True, kw_only=True)
class Sent:
    """A message of the bot, as people see it now."""

    chat: int
    id: int
    text: str
    """Without markup; of a file its caption."""
    bold: list[str] = field(default_factory=list)
    kind: str = "text"
    file: Upload | None = None
    keyboard: Any = None
    """Rows of inline buttons, or of the keyboard."""
    topic: int | None = None
    business: str = ""
    answers: int | None = None
    edits: int = 0


@dataclass(slots=True)
class Chats:
    """Of one bot: what it sent, and how its chats are."""

    sent: list[Sent] = field(default_factory=list)
    blocked: set[int] = field(default_factory=set)
    missing: set[int] = field(default_factory=set)
    moved: dict[int, int] = field(default_factory=dict)
    """Group -> the supergroup that it became."""
    closed_topics: set[int] = field(default_factory=set)
    theirs: set[tuple[int, int]] = field(default_factory=set)
    """(chat, message) of people's messages that can be answered."""
    presses: set[str] = field(default_factory=set)
    """Callback queries that wait for an answer."""
    pressed: dict[str, str] = field(default_factory=dict)
    """Callback query -> the answer that it got."""
    next_id: int = 500

    def find(self, chat: int, message_id: int) -> Sent | None:
        """A message of the bot."""
        return next((item for item in self.sent if (item.chat, item.id) == (chat, message_id)), None)

    def to(self, chat: int) -> list[Sent]:
        """What a chat got, in order."""
        return [item for item in self.sent if item.chat == chat]


class _Markup(HTMLParser):
    """Telegram's HTML: the plain text, and what is bold. Raises ApiError for what it does not take."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.bold, self._open = "", [""], list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            raise _broken(f'Unsupported start tag "{tag}"')
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            raise _broken(f'Unexpected end tag "{tag}"')
        if tag in ("b", "strong"):
            self.bold.append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if "b" in self._open or "strong" in self._open:
            self.bold[-1] += data

    def end(self) -> None:
        """Every tag must be closed."""
        self.close()
        if self._open:
            raise _broken("Can't find end tag")


def _broken(why: str) -> ApiError:
    return ApiError(400, f"Bad Request: can't parse entities: {why}")


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _read(call: Call, name: str) -> tuple[str, list[str]]:
    raw = call.text(name)
    if call.text("parse_mode") != "HTML":
        return raw.strip(), []
    if _UNESCAPED.search(raw):
        raise _broken("an & that begins no entity")
    parser = _Markup()
    parser.feed(raw)
    parser.end()
    return parser.text.strip(), [part for part in parser.bold if part]


def _keyboard(call: Call) -> Any:
    markup = call.value("reply_markup")
    if not isinstance(markup, Mapping):
        return None
    if "keyboard" in markup:
        return markup["keyboard"]
    rows = markup.get("inline_keyboard", [])
    for button in (button for row in rows for button in row):
        if not button.get("text", "").strip():
            raise ApiError(400, "Bad Request: text buttons are unallowed in the inline keyboard")
        if _units(button.get("callback_data", "")) and len(button["callback_data"].encode()) > DATA_LIMIT:
            raise ApiError(400, "Bad Request: BUTTON_DATA_INVALID")
        if "url" in button and "://localhost" in button["url"]:
            raise ApiError(400, "Bad Request: inline keyboard button URL is invalid: Wrong HTTP URL")
    return rows


def _chat(call: Call) -> tuple[Chats, int]:
    chats, chat = call.bot.part(Chats), call.integer("chat_id")
    if chat in chats.moved:
        text = "Bad Request: group chat was upgraded to a supergroup chat"
        raise ApiError(400, text, {"migrate_to_chat_id": chats.moved[chat]})
    if chat in chats.missing:
        raise ApiError(400, "Bad Request: chat not found")
    if chat in chats.blocked:
        raise ApiError(403, "Forbidden: bot was blocked by the user")
    return chats, chat


def _new(call: Call, text: str, bold: list[str], kind: str, file: Upload | None) -> dict[str, Any]:
    chats, chat = _chat(call)
    topic = call.integer("message_thread_id") or None
    if topic in chats.closed_topics:
        raise ApiError(400, "Bad Request: message thread not found")
    made = Sent(
        chat=chat, id=chats.next_id, text=text, bold=bold, kind=kind, file=file, keyboard=_keyboard(call), topic=topic,
        business=call.text("business_connection_id"), answers=_answered(call, chats, chat),
    )  # fmt: skip
    chats.next_id += 1
    chats.sent.append(made)
    return _shown(call, made)


def _answered(call: Call, chats: Chats, chat: int) -> int | None:
    wanted = call.value("reply_parameters")
    if not isinstance(wanted, Mapping):
        return None
    place = (chat, int(wanted["message_id"]))
    if place in chats.theirs or chats.find(*place) is not None:
        return place[1]
    if wanted.get("allow_sending_without_reply"):
        return None
    raise ApiError(400, "Bad Request: message to be replied not found")


def _shown(call: Call, made: Sent) -> dict[str, Any]:
    private = made.chat > 0
    chat = {"id": made.chat, "type": "private" if private else "supergroup"}
    chat |= {"first_name": "Анна"} if private else {"title": "Office"}
    sender = {"id": call.bot.id, "is_bot": True, "first_name": call.bot.name, "username": call.bot.username}
    said: dict[str, Any] = {"message_id": made.id, "from": sender, "chat": chat, "date": DATE}
    said |= {"business_connection_id": made.business} if made.business else {}
    return said | ({"text": made.text} if made.kind == "text" else {"caption": made.text})


async def send_message(call: Call) -> dict[str, Any]:
    """A text."""
    text, bold = _read(call, "text")
    _fits(text, TEXT_LIMIT, "message is too long")
    if not text:
        raise ApiError(400, "Bad Request: message text is empty")
    return _new(call, text, bold, "text", None)


def _fits(text: str, limit: int, words: str) -> None:
    if _units(text) > limit:
        raise ApiError(400, f"Bad Request: {words}")


def _file_of(call: Call, kind: str, limit: int) -> Upload:
    file = call.files.get(kind)
    if file is None:  # the library names the part by a word of its own: attach://<name>
        file = call.files.get(call.text(kind).removeprefix("attach://"))
    if file is None:
        raise ApiError(400, f"Bad Request: there is no {kind} in the request")
    if not file.content:
        raise ApiError(400, "Bad Request: file must be non-empty")
    if len(file.content) > limit:
        raise ApiError(413, "Request Entity Too Large")
    return file


def _sends(kind: str, limit: int = UPLOAD_LIMIT) -> Any:
    async def send(call: Call) -> dict[str, Any]:
        """A file with a caption."""
        text, bold = _read(call, "caption")
        _fits(text, CAPTION_LIMIT, "message caption is too long")
        file = _file_of(call, kind, limit)
        if kind == "photo" and file.content.startswith(b"not an image"):
            raise ApiError(400, "Bad Request: IMAGE_PROCESS_FAILED")
        return _new(call, text, bold, kind, file)

    return send


async def edit_message_text(call: Call) -> dict[str, Any]:
    """Another text for a message of the bot."""
    text, bold = _read(call, "text")
    _fits(text, TEXT_LIMIT, "message is too long")
    chats, chat = _chat(call)
    found, keyboard = _editable(call, chats, chat), _keyboard(call)
    if found.kind != "text":
        raise ApiError(400, "Bad Request: there is no text in the message to edit")
    if (found.text, found.bold, found.keyboard or None) == (text, bold, keyboard or None):
        raise _unchanged()
    found.text, found.bold, found.keyboard, found.edits = text, bold, keyboard, found.edits + 1
    return _shown(call, found)


async def edit_message_reply_markup(call: Call) -> dict[str, Any]:
    """Other buttons under a message of the bot; none given: none are left."""
    chats, chat = _chat(call)
    found, keyboard = _editable(call, chats, chat), _keyboard(call)
    if (found.keyboard or None) == (keyboard or None):
        raise _unchanged()
    found.keyboard, found.edits = keyboard, found.edits + 1
    return _shown(call, found)


def _unchanged() -> ApiError:
    return ApiError(
        400,
        "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as "
        "a current content and reply markup of the message",
    )


def _editable(call: Call, chats: Chats, chat: int) -> Sent:
    found = chats.find(chat, call.integer("message_id"))
    if found is None:
        raise ApiError(400, "Bad Request: message to edit not found")
    return found


async def answer_callback_query(call: Call) -> bool:
    """The little word that a pressed button waits for."""
    chats, query = call.bot.part(Chats), call.text("callback_query_id")
    if query not in chats.presses:
        raise ApiError(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
    if _units(call.text("text")) > PRESS_LIMIT:
        raise ApiError(400, "Bad Request: MESSAGE_TOO_LONG")
    chats.presses.discard(query)
    chats.pressed[query] = call.text("text")
    return True


_WHERE = "message_thread_id business_connection_id reply_parameters reply_markup parse_mode disable_notification"
SENDING = {
    "sendMessage": method(send_message, f"{_WHERE} link_preview_options", "chat_id text"),
    "sendPhoto": method(_sends("photo", PHOTO_LIMIT), f"{_WHERE} caption photo", "chat_id"),
    "sendDocument": method(_sends("document"), f"{_WHERE} caption document", "chat_id"),
    "sendVoice": method(_sends("voice"), f"{_WHERE} caption voice", "chat_id"),
    "editMessageText": method(
        edit_message_text,
        "business_connection_id chat_id message_id reply_markup parse_mode link_preview_options",
        "text",
    ),
    "editMessageReplyMarkup": method(
        edit_message_reply_markup, "business_connection_id chat_id message_id reply_markup"
    ),
    "answerCallbackQuery": method(answer_callback_query, "text show_alert", "callback_query_id"),
}
