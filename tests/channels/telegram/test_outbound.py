"""The sender against a Bot API server: what people see, what is refused, and what every failure comes to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest

from channels.telegram.outbound import TelegramSender
from gateway.demo.bot_api import RECEIVING, SENDING, BotApi, Fault
from gateway.demo.bot_api.sending import Chats
from normalizer.message import Address, Attachment, Button, Delivery, InlineBody, Notice, Receipt
from normalizer.message import Fault as Whose
from tests.channels.telegram.bots import PATIENCE
from tests.passing import time_passes
from tests.telegram.standin import TOKEN, standin

ANNA = 5_000_000_001
GROUP = -1_001_234_567_890


@dataclass
class Far:
    """A sender and the server that it talks to."""

    sender: TelegramSender
    api: BotApi

    @property
    def chats(self) -> Chats:
        return self.api.bot(TOKEN).part(Chats)

    async def send(self, **changes: Any) -> Receipt:
        return await self.sender.send(notice(**changes))

    async def deliver(self, **changes: Any) -> list[Receipt]:
        """Every part."""
        return [await self.sender.send(part) for part in self.sender.divide(notice(**changes))]


def in_no_hurry() -> Callable[[], float]:
    """A clock that goes on so fast that no chat is ever told too much at once."""
    return count(0.0, 100.0).__next__


@asynccontextmanager
async def far() -> AsyncIterator[Far]:
    async with standin({**RECEIVING, **SENDING}) as api:
        sender = TelegramSender("desk", TOKEN, api_url=api.api_url, seconds=PATIENCE, monotonic=in_no_hurry())
        try:
            yield Far(sender, api)
        finally:
            await sender.close()


def notice(**changes: Any) -> Notice:
    made = Notice(
        id=7,
        channel="telegram",
        account="desk",
        recipient=Address(address=str(ANNA), name="Анна"),
        kind="reply",
        language="ru",
        text="Здравствуйте!",
        automatic=False,
        destination={"chat": ANNA},
    )
    return replace(made, **changes)


def file(name: str, content_type: str, content: bytes = b"content") -> Attachment:
    sha256 = InlineBody(content=content).sha256
    return Attachment(filename=name, content_type=content_type, size=len(content), sha256=sha256, content=content)


# -- what people see ------------------------------------------------------------------------


async def test_a_text_arrives_as_it_was_written_and_has_a_key() -> None:
    async with far() as tg:
        text = "Нажмите <Пуск> & «OK»: a < b > c & \"d\" 'e' &amp; \U0001f600"
        receipt = await tg.send(text=text)
        (sent,) = tg.chats.sent
    assert (sent.text, sent.chat, sent.bold) == (text, ANNA, [])
    assert receipt == Receipt(delivery=Delivery.SENT, external_ids=(f"telegram:desk:{ANNA}:{sent.id}",), detail="ok")


async def test_what_no_wire_can_carry_is_left_out() -> None:
    async with far() as tg:
        assert (await tg.send(text="a\0b\ud83d c")).delivery is Delivery.SENT
        assert tg.chats.sent[0].text == "ab? c"


async def test_the_number_is_bold_in_what_we_say_by_ourselves_and_not_in_a_persons_words() -> None:
    async with far() as tg:
        said = "Заявка 10000016 принята. 10000016"
        await tg.send(text=said, automatic=True)
        await tg.send(text=said)
        assert [sent.bold for sent in tg.chats.sent] == [["10000016"], []]


async def test_an_answer_goes_to_its_group_topic_and_message() -> None:
    async with far() as tg:
        tg.chats.theirs.add((GROUP, 40))
        where = {"chat": GROUP, "topic": 12}
        await tg.send(destination=where, answers=f"telegram:desk:{GROUP}:40")
        await tg.send(destination=where, answers=f"telegram:desk:{GROUP}:41")
        await tg.send(destination=where, answers=f"telegram:desk:{ANNA}:40")
        assert [(sent.chat, sent.topic, sent.answers) for sent in tg.chats.sent] == [
            (GROUP, 12, 40),
            (GROUP, 12, None),
            (GROUP, 12, None),
        ]


async def test_a_business_message_names_its_connection() -> None:
    async with far() as tg:
        receipt = await tg.send(destination={"chat": ANNA, "business": "bc-1"})
        (sent,) = tg.chats.sent
        assert sent.business == "bc-1"
        # Its numbers are not those of the bot's own chat with the same person.
        assert receipt.external_ids == (f"telegram:desk:b:bc-1:{ANNA}:{sent.id}",)
        changed = await tg.send(
            act="edit", target=receipt.external_ids[0], destination={"chat": ANNA, "business": "bc-1"}, text="new"
        )
        assert (changed.delivery, sent.text) == (Delivery.SENT, "new")


async def test_buttons_stand_under_the_text() -> None:
    rows = (
        (Button(label="Отлично", data="rate:abc:5"), Button(label="Плохо", data="rate:abc:1")),
        (Button(label="Заявка", url="https://desk.example/t/abc"),),
    )
    async with far() as tg:
        assert (await tg.send(buttons=rows)).delivery is Delivery.SENT
        assert tg.chats.sent[0].keyboard == [
            [{"text": "Отлично", "callback_data": "rate:abc:5"}, {"text": "Плохо", "callback_data": "rate:abc:1"}],
            [{"text": "Заявка", "url": "https://desk.example/t/abc"}],
        ]
        long = await tg.send(buttons=((Button(label="x", data="я" * 33),),))
        assert (long.delivery, long.fault) == (Delivery.REFUSED, Whose.MESSAGE)
        assert len(tg.chats.sent) == 1


async def test_a_number_is_asked_for_by_the_keyboard() -> None:
    async with far() as tg:
        await tg.send(buttons=((Button(label="Мой номер", data="phone:"),),))
        assert tg.chats.sent[0].keyboard == [[{"text": "Мой номер", "request_contact": True}]]


async def test_a_long_answer_comes_in_parts_that_are_whole() -> None:
    paragraphs = [f"{number}. " + ("Слово & <тег>. " * 60).strip() for number in range(1, 12)]
    text = "\n\n".join(paragraphs)
    buttons = ((Button(label="5", data="rate:a:5"),),)
    tg_parts = TelegramSender("desk", TOKEN, api_url="http://127.0.0.1:9/bot", seconds=1, monotonic=time.monotonic)
    parts = tg_parts.divide(notice(text=text, buttons=buttons, answers="telegram:desk:1:1"))
    assert [part.part for part in parts] == list(range(len(parts)))
    assert [bool(part.buttons) for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [bool(part.answers) for part in parts] == [True] + [False] * (len(parts) - 1)
    async with far() as tg:
        await tg.deliver(text=text, buttons=buttons)
        assert [sent.text for sent in tg.chats.sent] == [part.text.strip() for part in parts]
        assert "\n\n".join(sent.text for sent in tg.chats.sent) == text.strip()


# -- files ----------------------------------------------------------------------------------


async def test_each_file_is_sent_by_its_kind_in_a_call_of_its_own() -> None:
    files = (
        file("крыша.jpg", "image/jpeg"),
        file("a.ogg", "audio/ogg"),
        file("план.pdf", "application/pdf"),
        file("big.png", "image/png", b"x" * (10 * 1024 * 1024 + 1)),
    )
    async with far() as tg:
        receipts = await tg.deliver(text="Смотрите", attachments=files)
        assert {receipt.delivery for receipt in receipts} == {Delivery.SENT}
        sent = tg.chats.sent
        assert [item.kind for item in sent] == ["text", "photo", "voice", "document", "document"]
        assert [item.file.filename for item in sent if item.file] == ["крыша.jpg", "a.ogg", "план.pdf", "big.png"]
        assert [item.file.content for item in sent if item.file] == [item.content for item in files]
        assert tg.api.count("sendMessage") == 1


async def test_a_short_text_is_the_caption_of_a_single_file_and_a_long_one_comes_before_it() -> None:
    async with far() as tg:
        await tg.deliver(text="<Схема>", attachments=(file("a.pdf", "application/pdf"),))
        assert [(item.kind, item.text) for item in tg.chats.sent] == [("document", "<Схема>")]
        tg.chats.sent.clear()
        await tg.deliver(text="д" * 1025, attachments=(file("a.pdf", "application/pdf"),))
        assert [(item.kind, len(item.text)) for item in tg.chats.sent] == [("text", 1025), ("document", 0)]


async def test_a_file_over_the_limit_is_a_link() -> None:
    large = replace(file("video.mp4", "video/mp4"), content=b"\0" * (50 * 1024 * 1024 + 1))
    async with far() as tg:
        await tg.deliver(attachments=(large,), link="https://desk.example/t/abc")
        (sent,) = tg.chats.sent
        assert sent.text == "Здравствуйте!\n\n\N{PAPERCLIP} video.mp4 https://desk.example/t/abc"


async def test_a_file_over_the_limit_is_told_and_refused_where_no_link_may_be_given_and_the_rest_goes() -> None:
    large = replace(file("video.mp4", "video/mp4"), content=b"\0" * (50 * 1024 * 1024 + 1))
    async with far() as tg:
        receipts = await tg.deliver(attachments=(large, file("a.pdf", "application/pdf"), file("b.pdf", "x/y", b"")))
        # The person reads which do not come, and why.
        told = "Здравствуйте!\n\n\N{PAPERCLIP} video.mp4: 51 MB > 50 MB\n\N{PAPERCLIP} b.pdf: \N{BALLOT X}"
        assert [(item.kind, item.text) for item in tg.chats.sent] == [("text", told), ("document", "")]
    assert [item.delivery for item in receipts] == [Delivery.SENT, Delivery.SENT, Delivery.REFUSED]
    assert "video.mp4" in receipts[-1].detail, "staff read which one has not arrived"


async def test_what_is_no_picture_for_telegram_goes_as_a_document() -> None:
    async with far() as tg:
        (receipt,) = await tg.deliver(attachments=(file("a.png", "image/png", b"not an image"),))
        assert receipt.delivery is Delivery.SENT
        assert [(item.kind, item.text) for item in tg.chats.sent] == [("document", "Здравствуйте!")]


# -- edits and presses -----------------------------------------------------------------------


async def test_an_edit_changes_text_and_buttons_and_doing_it_twice_is_a_success() -> None:
    async with far() as tg:
        sent = await tg.send(buttons=((Button(label="5", data="rate:a:5"),),))
        (key,) = sent.external_ids
        for _ in range(2):
            done = await tg.send(act="edit", target=key, text="Спасибо, 5")
            assert (done.delivery, done.external_ids) == (Delivery.SENT, (key,))
        only = await tg.send(act="edit", target=key, text="", buttons=((Button(label="Изменить", data="rate:a:0"),),))
        assert only.delivery is Delivery.SENT
        (message,) = tg.chats.sent
        assert (message.text, message.edits) == ("Спасибо, 5", 2)
        assert message.keyboard == [[{"text": "Изменить", "callback_data": "rate:a:0"}]]
        gone = await tg.send(act="edit", target=f"telegram:desk:{ANNA}:999", text="x")
        assert (gone.delivery, gone.detail) == (Delivery.SENT, "there is nothing left to edit")


async def test_a_press_is_answered_once_and_an_old_one_is_no_failure() -> None:
    async with far() as tg:
        tg.chats.presses.add("q1")
        first = await tg.send(act="press", target="q1", text="Спасибо! " * 40)
        assert first.delivery is Delivery.SENT
        assert len(tg.chats.pressed["q1"]) <= 200
        old = await tg.send(act="press", target="q1", text="Спасибо")
        assert (old.delivery, old.retry_after) == (Delivery.SENT, None)
        await tg.send(act="press", target="q2", text="")
        assert tg.api.count("answerCallbackQuery") == 3


# -- failures ---------------------------------------------------------------------------------


async def test_who_blocked_the_bot_cannot_be_reached() -> None:
    async with far() as tg:
        tg.chats.blocked.add(ANNA)
        receipt = await tg.send()
        assert (receipt.delivery, receipt.detail) == (Delivery.UNREACHABLE, "Forbidden: bot was blocked by the user")
        tg.chats.missing.add(1)
        assert (await tg.send(destination={"chat": 1})).delivery is Delivery.UNREACHABLE


async def test_a_group_that_moved_says_where() -> None:
    async with far() as tg:
        tg.chats.moved[-77] = GROUP
        receipt = await tg.send(destination={"chat": -77, "topic": 3})
        assert receipt.delivery is Delivery.RETRY
        assert receipt.moved_to == {"chat": GROUP, "topic": 3}
        assert (await tg.send(destination=receipt.moved_to)).delivery is Delivery.SENT
        edit = await tg.send(act="edit", target="telegram:desk:-77:5", destination={"chat": -77})
        assert (edit.delivery, edit.moved_to) == (Delivery.SENT, {}), "tried again it would be told the same for days"


async def test_a_topic_that_is_gone_does_not_keep_the_answer_from_its_group() -> None:
    async with far() as tg:
        tg.chats.closed_topics.add(12)
        receipt = await tg.send(destination={"chat": GROUP, "topic": 12})
        assert (receipt.delivery, tg.chats.sent[0].topic) == (Delivery.SENT, None)


async def test_a_question_that_is_gone_does_not_keep_its_answer_back() -> None:
    """Telegram sends without the reference where it is asked to, but not in another topic: there it refuses."""
    async with far() as tg:
        tg.api.plan(Fault(kind="error", status=400, description="Bad Request: message to be replied not found"))
        where = {"chat": GROUP, "topic": 12}
        receipt = await tg.send(destination=where, answers=f"telegram:desk:{GROUP}:41")
        assert receipt.delivery is Delivery.SENT
        assert [(sent.topic, sent.answers) for sent in tg.chats.sent] == [(12, None)]
        first, second = (call.parameters for call in tg.api.calls if call.method == "sendMessage")
        assert "reply_parameters" in first and "reply_parameters" not in second
        # Without a question to leave out it is a refusal like others, and is said once.
        tg.api.plan(Fault(kind="error", status=400, description="Bad Request: message to be replied not found"))
        assert (await tg.send()).delivery is Delivery.REFUSED
        assert tg.api.count("sendMessage") == 3


async def test_a_button_that_is_refused_does_not_keep_the_text_back() -> None:
    async with far() as tg:
        receipt = await tg.send(buttons=((Button(label="Заявка", url="http://localhost/t/a"),),))
        assert (receipt.delivery, tg.chats.sent[0].keyboard) == (Delivery.SENT, None)


async def test_a_refused_token_is_ours_and_is_not_quoted() -> None:
    async with standin({**RECEIVING, **SENDING}) as api:
        wrong = "100200300:wrong-token-of-no-worth"
        sender = TelegramSender("desk", wrong, api_url=api.api_url, seconds=PATIENCE, monotonic=time.monotonic)
        receipt = await sender.send(notice())
        await sender.close()
    assert (receipt.delivery, receipt.fault, receipt.uncertain) == (Delivery.RETRY, Whose.OURS, False)
    assert "wrong-token" not in receipt.detail


@pytest.mark.parametrize(
    ("fault", "arrived"),
    [
        (Fault(kind="lost"), True),
        (Fault(kind="half"), True),
        (Fault(kind="html"), False),
        (Fault(kind="reset"), False),
        (Fault(kind="never"), False),
        (Fault(kind="error", status=500), False),
        (Fault(kind="error", status=503, description="Service Unavailable"), False),
    ],
    ids=lambda value: f"{value.kind}{value.status}" if isinstance(value, Fault) else None,
)
async def test_a_lost_answer_is_uncertain_whether_it_arrived_or_not(fault: Fault, arrived: bool) -> None:
    async with far() as tg:
        tg.api.plan(fault)
        sending = asyncio.create_task(tg.send())
        if fault.kind == "never":
            await tg.api.called("sendMessage")
            time_passes(PATIENCE)
        receipt = await sending
        assert (receipt.delivery, receipt.uncertain) == (Delivery.RETRY, True)
        assert bool(tg.chats.sent) is arrived
        assert (await tg.send()).delivery is Delivery.SENT


async def test_where_nobody_listens_nothing_was_sent() -> None:
    async with far() as tg:
        port = tg.api.port
    closed = f"http://127.0.0.1:{port}/bot"
    sender = TelegramSender("desk", TOKEN, api_url=closed, seconds=PATIENCE, monotonic=time.monotonic)
    receipt = await sender.send(notice())
    await sender.close()
    assert (receipt.delivery, receipt.uncertain) == (Delivery.RETRY, False)
    assert "cannot be reached" in receipt.detail


async def test_too_many_requests_pause_the_chat_that_they_concern() -> None:
    async with standin({**RECEIVING, **SENDING}) as api:
        sender = TelegramSender("desk", TOKEN, api_url=api.api_url, seconds=PATIENCE, monotonic=time.monotonic)
        api.plan(Fault(kind="too_many", retry_after=3600))
        first = await sender.send(notice())
        assert (first.delivery, first.retry_after, first.uncertain) == (Delivery.RETRY, 3600.0, False)
        second = await sender.send(notice())
        assert second.delivery is Delivery.RETRY
        assert 0 < (second.retry_after or 0) <= 3600
        assert api.count("sendMessage") == 1, "a chat that pauses is not asked again"
        assert (await sender.send(notice(destination={"chat": 2}))).delivery is Delivery.SENT
        await sender.close()


async def test_a_notice_that_cannot_be_one_is_refused_without_a_call() -> None:
    async with far() as tg:
        for changes in (
            {"text": " "},
            {"recipient": Address(address="anna@client.example"), "destination": {}},
            {"act": "edit", "target": "mail:x"},
            {"act": "press", "target": ""},
        ):
            receipt = await tg.send(**changes)
            assert (receipt.delivery, receipt.fault) == (Delivery.REFUSED, Whose.MESSAGE), changes
        assert tg.api.calls == []
