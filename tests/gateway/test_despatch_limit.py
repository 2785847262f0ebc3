"""The time limit of a send: what has not ended by then hands nothing over afterwards."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.despatch import NoAnswer, limited
from normalizer.message import Delivery, Receipt
from tests.gateway.patience import PATIENCE


async def test_a_send_that_forgets_a_cancellation_is_ended_before_it_goes_on() -> None:
    """As `asyncio.wait_for` of Python 3.11 forgets one that meets the answer that it waits for."""
    answered, handed_over, ended = asyncio.Event(), [], asyncio.Event()

    async def send() -> Receipt:
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()  # RCPT, say
            await answered.wait()  # DATA
            handed_over.append("the mail")
            return Receipt(delivery=Delivery.SENT)
        finally:
            ended.set()

    async with asyncio.timeout(PATIENCE):
        assert isinstance(await limited(send(), 0.01), NoAnswer)
        answered.set()
        await ended.wait()
    assert handed_over == []


async def test_one_that_never_lets_itself_be_cancelled_holds_up_nobody() -> None:
    go_on, ended = asyncio.Event(), asyncio.Event()

    async def send() -> Receipt:
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        ended.set()
        return Receipt(delivery=Delivery.SENT)

    async with asyncio.timeout(PATIENCE):
        assert isinstance(await limited(send(), 0.01), NoAnswer)
        go_on.set()
        await ended.wait()
