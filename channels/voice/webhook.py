"""The webhooks of calls: the signature is checked, the form committed, and then the caller hears what comes next.

Each answer names the address that is asked next, with the number of the answer in it: after a restart the call goes on
from what the database knows. https://www.twilio.com/docs/voice/twiml#request-parameters
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl

from aiohttp import web

from channels.contract import Accepted, Clock, Dialog, Intake, Suspects
from channels.twilio.inbound import LONGEST
from channels.twilio.signature import Keys, Signed
from channels.twilio.webhook import TwilioHook
from channels.voice.settings import VoiceAccount
from channels.voice.told import MAIN, RECORDED, STATUS, TRANSCRIBED, raw_call
from channels.voice.twiml import document, redirect
from normalizer.call import Act, Again, Record
from normalizer.message import Body, RawMessage

LAST = 9_998
"""No call gets so far; a number above it is none of ours."""
SAFE: Sequence[Act] = (Record(lines=()),)
"""A tone, and somebody who listens."""
REPEATED = "#rc=3&rp=all&rt=4000"
"""Behind the addresses that we name: what is not answered within four seconds, or with an error, is asked again three
times, with what was pressed. Not signed, not sent: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
"""
_STEP = re.compile(r"[0-9]{1,4}")


class VoiceHook(TwilioHook):
    """The webhooks of one account."""

    BESIDE: ClassVar[frozenset[str]] = frozenset({STATUS, RECORDED, TRANSCRIBED})

    def __init__(
        self,
        channel: str,
        account_name: str,
        account: VoiceAccount,
        keys: Keys,
        *,
        public_url: str,
        clock: Clock,
        spool: Path,
        unique: Callable[[], str],
        suspects: Suspects | None,
        dialog: Dialog | None,
    ) -> None:
        """`dialog`: who says what the caller hears next; None: everybody is recorded."""
        super().__init__(
            channel, account_name, account, keys,
            public_url=public_url, clock=clock, spool=spool, unique=unique, suspects=suspects,
        )  # fmt: skip
        self._dialog, self._transcripts = dialog, account.transcripts
        self._own = f"{public_url}/channels/{channel}/{account_name}"

    def routes(self, intake: Intake) -> Sequence[web.RouteDef]:
        """Calls, and what is told of them beside: by POST alone, as a GET drops what was pressed when it is led on."""
        below = {MAIN: "/", **{route: f"/{route}" for route in sorted(self.BESIDE)}}
        return [web.post(path, partial(self._take, intake, route)) for route, path in below.items()]

    async def _answer(self, route: str, accepted: Accepted, raw: RawMessage) -> web.StreamResponse:
        if route in self.BESIDE:
            return web.Response(status=204)
        acts: Sequence[Act] | Again = SAFE
        if self._dialog is not None:
            ours = raw.facts.get("ours") is True
            acts = await self._dialog(self._channel, self._name, accepted, ours=ours)
        if isinstance(acts, Again):
            twiml = redirect(f"{self._own}?s={acts.step}{REPEATED}")
            return web.Response(body=twiml, content_type="text/xml")
        said = dict(reversed(parse_qsl(str(raw.facts.get("query", ""))))).get("s", "0")
        step = int(said) if _STEP.fullmatch(said) else LAST
        written = f"{self._own}/{TRANSCRIBED}{REPEATED}" if self._transcripts == "provider" else ""
        twiml = document(
            acts,
            next_url=f"{self._own}?s={min(step, LAST) + 1}{REPEATED}",
            recorded_url=f"{self._own}/{RECORDED}{REPEATED}",
            transcribed_url=written,
        )
        return web.Response(body=twiml, content_type="text/xml")

    def _raw(self, signed: Signed, content: bytes, body: Body, route: str) -> RawMessage:
        fields, facts = self._read(signed, content)
        known = dict(reversed(fields))
        query = str(facts.get("query", "")) or self._failed(known.get("ErrorUrl", ""))
        facts = {**facts, "query": query} if query else facts
        return raw_call(
            known, route if route in self.BESIDE else MAIN, channel=self._channel, account=self._name, query=query,
            body=body, whole=hashlib.sha256(content).hexdigest(), now=self._clock(), facts=facts,
        )  # fmt: skip

    def _failed(self, url: str) -> str:
        """What stood in our address that failed, in a request to the address for failures: the call goes on there."""
        address, _, query = url.partition("?")
        return query[:LONGEST] if address.rstrip("/") == self._own else ""
