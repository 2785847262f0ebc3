"""The parts of a channel that speaks by Twilio."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from channels.contract import Parts, Sender, Webhook, Wiring
from channels.credentials import reveal
from channels.twilio.settings import TwilioAccount
from channels.twilio.signature import Keys
from channels.twilio.webhook import TwilioHook
from normalizer.message import Delivery, Fault, Notice, Receipt


class NoWayOut:
    """The sender of an account that only takes in; its notices are captured or off, so nobody asks it."""

    async def send(self, notice: Notice) -> Receipt:
        """REFUSED."""
        detail = f"{notice.channel}/{notice.account} takes messages in and sends none"
        return Receipt(delivery=Delivery.REFUSED, detail=detail, fault=Fault.OURS)


def parts(channel: str, accounts: Mapping[str, TwilioAccount], wiring: Wiring) -> Parts:
    """A webhook for each account. Raises KeyError or OSError for a secret that is not there, ValueError for an empty
    one."""
    webhooks: dict[str, Webhook] = {}
    senders: dict[str, Sender] = {}
    for name, account in accounts.items():
        for key, said in account.wrong_secrets().items():
            raise ValueError(f"channels.{channel}.{name}.{key}: {said}")
        webhooks[name] = TwilioHook(
            channel,
            name,
            account,
            keys_of(account),
            public_url=account.public_url or wiring.public_url.rstrip("/"),
            clock=wiring.clock,
            spool=wiring.spool,
            unique=lambda: secrets.token_hex(16),
            suspects=wiring.suspects,
        )
        senders[name] = NoWayOut()
    return Parts(senders=senders, webhooks=webhooks)


def keys_of(account: TwilioAccount) -> Keys:
    """What may sign. Raises KeyError, OSError, ValueError."""
    tokens = [account.auth_token, *([account.next_auth_token] if account.next_auth_token is not None else [])]
    return Keys(
        tokens=tuple(reveal(token) for token in tokens),
        shared=tuple((key.id, reveal(key.secret)) for key in account.shared_keys),
    )
