"""One call of the Bot API through python-telegram-bot. Imported when the first notice goes out: it loads the SDK.

The library's answer objects are not used: one that it cannot build from a newer server's JSON would make a sent
message look like a failed one. What Telegram answered is read from the bytes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    KeyboardButton,
    LinkPreviewOptions,
    Message,
    ReplyKeyboardMarkup,
    ReplyParameters,
)
from telegram.constants import ParseMode
from telegram.error import TelegramError
from telegram.request import HTTPXRequest

from channels.telegram.calls import PHONE, Target
from channels.telegram.errors import Failure, receipt_for, simpler, too_many
from channels.telegram.formatting import PRESS_LIMIT, as_html, clean, numbers_in, shortened
from channels.telegram.parts import kind_of
from normalizer.message import Button, Delivery, Notice, Receipt

CONNECTIONS = 32
CONNECT_SECONDS = 5.0


class Wire(HTTPXRequest):
    """The library's HTTP client, which remembers the answer of the task that asked."""

    def __init__(self, seconds: float) -> None:
        """`seconds` for each answer and each piece of an upload."""
        super().__init__(
            connection_pool_size=CONNECTIONS,
            read_timeout=seconds,
            write_timeout=seconds,
            connect_timeout=min(CONNECT_SECONDS, seconds),
            pool_timeout=min(CONNECT_SECONDS, seconds),
            media_write_timeout=seconds,
        )
        self.answer: ContextVar[tuple[int, bytes] | None] = ContextVar("answer", default=None)

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        """As the library's."""
        self.answer.set(None)
        answer = await super().do_request(*args, **kwargs)
        self.answer.set(answer)
        if (wait := too_many(*answer)) is not None:
            raise wait
        return answer


class Client:
    """Makes calls for one bot."""

    def __init__(self, account: str, token: str, api_url: str, seconds: float) -> None:
        """`api_url` is what stands before the token; `seconds` is the limit of a whole call. Nothing connects yet."""
        self._account, self._seconds = account, seconds
        self._wire = Wire(seconds)
        self._bot = Bot(token, base_url=api_url, request=self._wire, get_updates_request=self._wire)

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.shutdown()

    async def send(self, notice: Notice, target: Target) -> Receipt:
        """Make the call, once more in a simpler form where the first was refused for its form."""
        ends_at = asyncio.get_running_loop().time() + self._seconds
        receipt, again = await self._try(notice, target, ends_at)
        if again is None:
            return receipt
        receipt, _ = await self._try(again, target.of(again), ends_at)
        return receipt

    async def _try(self, notice: Notice, target: Target, ends_at: float) -> tuple[Receipt, Notice | None]:
        self._wire.answer.set(None)
        try:
            async with asyncio.timeout_at(ends_at):
                await self._call(notice, target)
        except TelegramError as error:
            failure = Failure(error=error, act=notice.act, status=self._status())
            return receipt_for(failure, notice), simpler(failure, notice)
        except TimeoutError as error:
            return receipt_for(Failure(error=error, act=notice.act), notice), None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # The library could not read the answer to a call that succeeded.
            return self._done(notice) or receipt_for(Failure(error=error, act=notice.act), notice), None
        return self._done(notice) or receipt_for(Failure(error=ValueError(), act=notice.act), notice), None

    def _status(self) -> int | None:
        answer = self._wire.answer.get()
        # A success that cannot be read is no answer at all.
        return answer[0] if answer is not None and not 200 <= answer[0] < 300 else None

    def _done(self, notice: Notice) -> Receipt | None:
        """SENT, when the far side's own words say so."""
        answer = self._wire.answer.get()
        if answer is None or not 200 <= answer[0] < 300:
            return None
        try:
            said = json.loads(answer[1])
        except ValueError:
            return None
        if not isinstance(said, Mapping) or said.get("ok") is not True:
            return None
        key = self._key(said.get("result"))
        if notice.act == "press" or not key:
            return Receipt(delivery=Delivery.SENT, external_ids=(notice.target or f"{notice.id}",), detail="ok")
        return Receipt(delivery=Delivery.SENT, external_ids=(key,), detail="ok")

    def _key(self, result: object) -> str:
        if not isinstance(result, Mapping) or not isinstance(result.get("chat"), Mapping):
            return ""
        chat, message = result["chat"].get("id"), result.get("message_id")
        # A business account counts its messages by itself.
        business = f"b:{result['business_connection_id']}:" if result.get("business_connection_id") else ""
        return f"telegram:{self._account}:{business}{chat}:{message}" if chat and message else ""

    # -- the calls ------------------------------------------------------------------------

    async def _call(self, notice: Notice, target: Target) -> object:
        match notice.act:
            case "press":
                text = shortened(clean(notice.text), PRESS_LIMIT) or None
                return await self._bot.answer_callback_query(notice.target, text=text)
            case "edit":
                return await self._edit(notice, target)
            case "send":
                return await self._new(notice, target)

    async def _edit(self, notice: Notice, target: Target) -> object:
        where: dict[str, Any] = {"chat_id": target.chat, "message_id": target.message}
        where["business_connection_id"] = target.business
        keyboard = _inline(notice)
        if not notice.text.strip():
            return await self._bot.edit_message_reply_markup(**where, reply_markup=keyboard)
        return await self._bot.edit_message_text(
            _marked_up(notice),
            **where,
            parse_mode=ParseMode.HTML,
            reply_markup=keyboard,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
        )

    async def _new(self, notice: Notice, target: Target) -> Message:
        where: dict[str, Any] = {
            "chat_id": target.chat,
            "message_thread_id": target.topic,
            "business_connection_id": target.business,
            "reply_markup": _phone_keyboard(notice) or _inline(notice),
            "reply_parameters": _reply_to(target),
        }
        if not notice.attachments:
            preview = LinkPreviewOptions(is_disabled=True)
            text = _marked_up(notice)
            return await self._bot.send_message(
                text=text, parse_mode=ParseMode.HTML, link_preview_options=preview, **where
            )
        (file,) = notice.attachments
        # `divide` lets nothing else through.
        upload = InputFile(file.content or b"", filename=file.filename or "file")
        where |= {"caption": _marked_up(notice) or None, "parse_mode": ParseMode.HTML}
        match kind_of(file):
            case "photo":
                return await self._bot.send_photo(photo=upload, **where)
            case "voice":
                return await self._bot.send_voice(voice=upload, **where)
            case _:
                return await self._bot.send_document(document=upload, **where)


def _reply_to(target: Target) -> ReplyParameters | None:
    if target.answers is None:
        return None
    return ReplyParameters(message_id=target.answers, allow_sending_without_reply=True)


def _marked_up(notice: Notice) -> str:
    text = clean(notice.text)
    # A person's own words are never marked up by us.
    return as_html(text, numbers_in(text)[:1] if notice.automatic else ())


def _inline(notice: Notice) -> InlineKeyboardMarkup | None:
    rows = [[_button(button) for button in row] for row in notice.buttons if row]
    return InlineKeyboardMarkup(rows) if rows else None


def _button(button: Button) -> InlineKeyboardButton:
    if button.url:
        return InlineKeyboardButton(button.label, url=button.url)
    return InlineKeyboardButton(button.label, callback_data=button.data)


def _phone_keyboard(notice: Notice) -> ReplyKeyboardMarkup | None:
    """A button that shares the sender's own number cannot stand under a message: it takes the keyboard's place."""
    rows = [
        [KeyboardButton(button.label, request_contact=True) for button in row if button.data.startswith(PHONE)]
        for row in notice.buttons
    ]
    rows = [row for row in rows if row]
    return ReplyKeyboardMarkup(rows, one_time_keyboard=True, resize_keyboard=True) if rows else None
