"""The REST API of the tests: `gateway.demo.twilio_api`, running, and strict about what clients may say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.demo.twilio_api import Network, TwilioApi
from tests.twilio.provider import ANSWERED, OURS, SID, TOKEN


@asynccontextmanager
async def standin(network: Network | None = None, *, numbers: tuple[str, ...] = (OURS,)) -> AsyncIterator[TwilioApi]:
    """A running one. At the end it fails when a call had a parameter that is not documented."""
    api = TwilioApi(network or Network(account_sid=SID, token=TOKEN, timeout=ANSWERED))
    api.numbers = {*numbers}
    async with api.running():
        yield api
    assert api.complaints == []
