"""The whole table of errors: each answer of the Bot API and what it comes to, whatever order the classes have."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest

from channels.telegram.outbound import TelegramSender
from gateway.demo.bot_api import RECEIVING, SENDING, Fault
from normalizer.message import Delivery
from tests.channels.telegram.bots import PATIENCE
from tests.channels.telegram.test_outbound import far, in_no_hurry, notice
from tests.telegram.standin import TOKEN, standin

SENT, RETRY, REFUSED, UNREACHABLE = Delivery.SENT, Delivery.RETRY, Delivery.REFUSED, Delivery.UNREACHABLE
KEY = "telegram:desk:5000000001:500"
SEND, EDIT, PRESS = {"act": "send"}, {"act": "edit", "target": KEY}, {"act": "press", "target": "q1"}


@dataclass(frozen=True)
class Case:
    """An answer, and what the receipt must be."""

    call: dict[str, Any]
    status: int
    description: str
    delivery: Delivery
    fault: str
    uncertain: bool = False


CASES = [
    # Final for the person: another way may be found.
    Case(SEND, 403, "Forbidden: bot was blocked by the user", UNREACHABLE, "far_side"),
    Case(SEND, 403, "Forbidden: user is deactivated", UNREACHABLE, "far_side"),
    Case(SEND, 403, "Forbidden: bot was kicked from the supergroup chat", UNREACHABLE, "far_side"),
    Case(SEND, 403, "Forbidden: bot can't initiate conversation with a user", UNREACHABLE, "far_side"),
    Case(SEND, 403, "Forbidden: bot is not a member of the channel chat", UNREACHABLE, "far_side"),
    Case(SEND, 400, "Bad Request: chat not found", UNREACHABLE, "far_side"),
    Case(SEND, 400, "Bad Request: PEER_ID_INVALID", UNREACHABLE, "far_side"),
    Case(SEND, 400, "Bad Request: not enough rights to send text messages to the chat", UNREACHABLE, "far_side"),
    Case(SEND, 400, "Bad Request: BUSINESS_PEER_INVALID", UNREACHABLE, "far_side"),
    # Final for the message.
    Case(SEND, 400, "Bad Request: message is too long", REFUSED, "message"),
    Case(SEND, 400, "Bad Request: can't parse entities: unsupported start tag", REFUSED, "message"),
    Case(SEND, 400, "Bad Request: message text is empty", REFUSED, "message"),
    Case(SEND, 400, "Bad Request: something new", REFUSED, "message"),
    Case(SEND, 413, "Request Entity Too Large", REFUSED, "message"),
    Case(SEND, 418, "I'm a teapot", REFUSED, "message"),
    Case(EDIT, 400, "Bad Request: something new", REFUSED, "message"),
    # Nothing is left to do.
    Case(EDIT, 400, "Bad Request: message is not modified: specified new message content …", SENT, ""),
    Case(EDIT, 400, "Bad Request: message to edit not found", SENT, ""),
    Case(EDIT, 400, "Bad Request: message can't be edited", SENT, ""),
    Case(PRESS, 400, "Bad Request: query is too old and response timeout expired or query ID is invalid", SENT, ""),
    Case(SEND, 400, "Bad Request: message is not modified", REFUSED, "message"),
    # Ours.
    Case(SEND, 401, "Unauthorized", RETRY, "ours"),
    Case(SEND, 404, "Not Found", RETRY, "ours"),
    # The far side's trouble.
    Case(SEND, 409, "Conflict: terminated by other long poll", RETRY, "far_side"),
    Case(SEND, 500, "Internal Server Error", RETRY, "far_side", uncertain=True),
    Case(SEND, 502, "Bad Gateway", RETRY, "far_side", uncertain=True),
    Case(SEND, 504, "Gateway Timeout", RETRY, "far_side", uncertain=True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.call['act']}-{case.status}-{case.description[:40]}")
async def test_every_answer_has_its_receipt(case: Case) -> None:
    async with far() as tg:
        tg.api.plan(Fault(kind="error", status=case.status, description=case.description))
        receipt = await tg.send(**case.call)
    assert (receipt.delivery, receipt.fault.value, receipt.uncertain) == (case.delivery, case.fault, case.uncertain)
    assert receipt.detail
    assert tg.api.count("sendMessage") + tg.api.count("editMessageText") + tg.api.count("answerCallbackQuery") == 1


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"retry_after": 7}, 7.0),
        ({"retry_after": "3"}, 3.0),
        ({}, 5.0),
        ({"retry_after": None}, 5.0),
        ({"retry_after": float("inf")}, 86400.0),
        ({"retry_after": "nan"}, 0.0),
    ],
)
async def test_how_long_to_wait_is_read_however_it_is_written(said: dict[str, Any], seconds: float) -> None:
    from channels.telegram.errors import too_many

    found = too_many(429, json.dumps({"ok": False, "error_code": 429, "parameters": said}).encode())
    assert found is not None
    assert found.seconds == seconds
    assert too_many(429, b"<html>") is not None
    assert too_many(200, b'{"ok": true, "parameters": {"retry_after": 3}}') is None


async def test_who_must_wait_keeps_nobody_else_waiting() -> None:
    async with standin({**RECEIVING, **SENDING}) as api:
        sender = TelegramSender("desk", TOKEN, api_url=api.api_url, seconds=PATIENCE, monotonic=time.monotonic)
        press = notice(act="press", target="q1")
        for told in (*(notice(destination={"chat": chat}) for chat in (1, 2, 3, 4)), press):
            api.plan(Fault(kind="too_many", retry_after=3600))
            waits = await sender.send(told)
            assert (waits.delivery, waits.retry_after) == (RETRY, 3600.0)
        assert (await sender.send(notice(destination={"chat": 5}))).delivery is SENT
        calls = len(api.calls)
        for told in (notice(destination={"chat": 4}), press):
            stopped = await sender.send(told)
            assert (stopped.delivery, stopped.fault.value) == (RETRY, "")
            assert 0 < (stopped.retry_after or 0) <= 3600
        assert len(api.calls) == calls, "who was told to wait is not asked again"
        await sender.close()


async def test_an_answer_that_is_no_json_may_be_a_success_and_is_uncertain() -> None:
    async with far() as tg:
        tg.api.plan(Fault(kind="html"))
        receipt = await tg.send()
        assert (receipt.delivery, receipt.uncertain) == (RETRY, True)


async def test_a_success_that_the_library_cannot_read_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a newer server: its message has a part that the library's classes do not take."""
    from gateway.demo.bot_api import Call, Method

    async def newer(call: Call) -> dict[str, Any]:
        return {"message_id": 77, "chat": {"id": 5_000_000_001}, "date": 1, "poll": {"id": "1"}}

    methods = {**RECEIVING, **SENDING}
    methods["sendMessage"] = Method(run=newer, parameters=SENDING["sendMessage"].parameters)
    async with standin(methods) as api:
        sender = TelegramSender("desk", TOKEN, api_url=api.api_url, seconds=PATIENCE, monotonic=in_no_hurry())
        receipt = await sender.send(notice())
        await sender.close()
    assert (receipt.delivery, receipt.external_ids) == (SENT, ("telegram:desk:5000000001:77",))
