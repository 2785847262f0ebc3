"""The parts of accounts behind a Kannel gateway."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from channels.contract import Parts, Sender, Webhook, Wiring
from channels.credentials import reveal
from channels.sms.kannel_outbound import KannelSender
from channels.sms.kannel_settings import KannelAccount
from channels.sms.kannel_webhook import KannelHook
from normalizer.message import Delivery, Fault, Notice, Receipt


class NoWayOut:
    """The sender of an account whose notices are captured or off, so nobody asks it."""

    async def send(self, notice: Notice) -> Receipt:
        """REFUSED."""
        detail = f"{notice.channel}/{notice.account} takes messages in and sends none"
        return Receipt(delivery=Delivery.REFUSED, detail=detail, fault=Fault.OURS)


def parts(accounts: Mapping[str, KannelAccount], wiring: Wiring) -> Parts:
    """A webhook and a sender for each account. Raises KeyError or OSError for a secret that is not there, ValueError
    for one that cannot be one."""
    webhooks: dict[str, Webhook] = {}
    senders: dict[str, Sender] = {}
    for name, account in accounts.items():
        for key, said in account.wrong_secrets().items():
            raise ValueError(f"channels.sms.{name}.{key}: {said}")
        given = [one for one in (account.secret, account.next_secret) if one is not None]
        believed = [reveal(one) for one in given]
        webhooks[name] = KannelHook(name, believed, clock=wiring.clock, suspects=wiring.suspects, unique=_unique)
        senders[name] = _sender(name, account, believed[0], wiring)
    return Parts(senders=senders, webhooks=webhooks)


def _sender(name: str, account: KannelAccount, secret: str, wiring: Wiring) -> Sender:
    if account.outbound != "on" or account.password is None:
        return NoWayOut()
    return KannelSender(
        name,
        account,
        password=reveal(account.password),
        secret=secret,
        public_url=account.public_url or wiring.public_url.rstrip("/"),
        unique=_unique,
    )


def _unique() -> str:
    return secrets.token_hex(12)
