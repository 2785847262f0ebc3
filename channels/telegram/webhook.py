"""The webhook: the secret is compared, the body committed as it came, and only then is it answered with 200.

core.telegram.org/bots/api#setwebhook. Telegram repeats what is not answered with 2xx, keeps it for 24 hours, and holds
later updates back meanwhile: so whatever comes with the right secret is kept, be it good for anything or not.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from multidict import istr

from channels.arriving import BROKEN, TooBig, whole
from channels.contract import Clock, Intake, Suspects, Unavailable, Unverified
from channels.spool import Spool
from channels.telegram.inbound import raw_message
from channels.telegram.settings import TelegramAccount
from normalizer.message import INLINE_LIMIT, Body, Facts, InlineBody, RawMessage

log = logging.getLogger(__name__)

HEADER = istr("X-Telegram-Bot-Api-Secret-Token")
_SHOWN = HEADER.lower()
LONGEST = 16 * 1024 * 1024
"""Bytes of a body that is taken; Telegram's own are below a hundred kilobytes."""
SECONDS = 60.0
"""A body that has not arrived by then is given up; it is repeated."""
LONGEST_SECRET = 512
"""Characters of a wrong secret that are kept."""
_TRY_LATER = {"Retry-After": "5"}


@dataclass(slots=True)
class BotName:
    """What getMe says; "" until it was asked."""

    username: str = ""


class TelegramHook:
    """The webhook of one bot; `channels.contract.Webhook`, `AtOnce`, `Rechecks` and `Replaced`."""

    def __init__(
        self,
        account_name: str,
        account: TelegramAccount,
        secret: str,
        *,
        clock: Clock,
        spool: Path,
        unique: Callable[[], str],
        suspects: Suspects | None,
        bot: BotName,
        secrets: str = "",
    ) -> None:
        """`secrets`: fingerprint of those that the account names.

        Raises ValueError without a secret: anybody could write to such a webhook."""
        if not secret:
            raise ValueError(f"channels.telegram.{account_name}: the webhook has no secret")
        self._name, self._account, self._secret = account_name, account, secret.encode()
        self._clock, self._spool, self._unique = clock, spool, unique
        self._suspects, self._bot, self._secrets = suspects, bot, secrets

    @property
    def name(self) -> str:
        """For `channels.contract.Replaced`."""
        return f"webhook telegram/{self._name}"

    def serves(self, successor: TelegramHook) -> bool:
        """The account says the same, and so do the secrets that it names."""
        return (self._account, self._secrets) == (successor._account, successor._secrets)

    def routes(self, intake: Intake) -> Sequence[web.RouteDef]:
        """One route: 200 after the commit; 401 or 403 without the secret; 413, 400 and 408 for a body that is too
        big or does not arrive; 503 when we cannot keep anything now."""

        async def take(request: web.Request) -> web.StreamResponse:
            if (reason := self._doubt(request.headers.get(HEADER))) is not None:
                return await self._doubted(request, reason)
            spool: Spool | None = None
            try:
                content = await whole(request, LONGEST, SECONDS)
                if len(content) <= INLINE_LIMIT:
                    raw = self._raw(content, InlineBody(content=content))
                else:
                    spool = Spool(self._spool, self._unique)
                    await spool.append(content)
                    # Parsed beside the loop that everybody shares.
                    raw = await asyncio.to_thread(self._raw, content, spool.finish())
                await intake([raw])
            except TooBig:
                log.error("telegram/%s: an update of more than %d bytes is not taken", self._name, LONGEST)
                return web.Response(status=413)
            except TimeoutError:
                return web.Response(status=408)
            except BROKEN:
                return web.Response(status=400)
            except (Unavailable, OSError) as error:
                log.warning("telegram/%s: an update cannot be kept now: %s", self._name, type(error).__name__)
                return web.Response(status=503, headers=_TRY_LATER)
            finally:
                if spool is not None:
                    # A body that was taken over has another name by now.
                    spool.discard()
            return web.Response()

        return [web.post("/", take)]

    def at_once(self, headers: Mapping[str, str], body: bytes) -> RawMessage | None:
        """An update with the secret whose body needs no file; None for all else."""
        if len(body) > INLINE_LIMIT or self._doubt(headers.get(_SHOWN)) is not None:
            return None
        return self._raw(body, InlineBody(content=body))

    def recheck(self, request: Unverified) -> Sequence[RawMessage]:
        """The update, when the secret that came with it is the present one. Raises PermissionError when not."""
        if (reason := self._doubt(request.headers.get(_SHOWN))) is not None:
            raise PermissionError(reason)
        return [self._raw(request.body, InlineBody(content=request.body))]

    def _doubt(self, shown: str | None) -> str | None:
        if shown is None:
            return "no secret"
        # Bytes: text that is not ASCII would raise. In constant time: the answer must not tell how much was right.
        right = hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self._secret)
        return None if right else "wrong secret"

    async def _doubted(self, request: web.Request, reason: str) -> web.StreamResponse:
        """Keep it, should the secret be ours to mend; never act on it (rule 5)."""
        answer = web.Response(status=401 if reason == "no secret" else 403)
        if self._suspects is None:
            return answer
        try:
            content = await whole(request, INLINE_LIMIT, SECONDS)
        except (TooBig, TimeoutError, *BROKEN):
            return answer
        shown = request.headers.get(HEADER)
        headers = {} if shown is None else {_SHOWN: shown[:LONGEST_SECRET]}
        kept = Unverified(method=request.method, path=request.raw_path, headers=headers, body=content, reason=reason)
        try:
            await self._suspects("telegram", self._name, kept)
        except Unavailable:
            return web.Response(status=503, headers=_TRY_LATER)
        return answer

    def _raw(self, content: bytes, body: Body) -> RawMessage:
        facts: Facts = {"transport": "webhook", "bot_id": self._account.bot_id, "bot_name": self._bot.username}
        return raw_message(
            content, account=self._name, bot_id=self._account.bot_id, body=body, now=self._clock(), facts=facts
        )
