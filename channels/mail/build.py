"""The parts of the mail channel: one SMTP port for all accounts, and a sender for each."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping

from channels.contract import Parts, Prober, Sender, Webhook, Wiring
from channels.credentials import reveal
from channels.mail.listener import SmtpListener
from channels.mail.outbound import Origin
from channels.mail.outbound_file import FileTransport
from channels.mail.settings import MailAccount, SmtpOptions
from channels.mail.upload import UploadHook


def build(accounts: Mapping[str, MailAccount], wiring: Wiring) -> Parts:
    """Make the parts; nothing listens or connects yet. Raises KeyError or OSError when a secret is not there."""
    options = wiring.options.get("smtp")
    if not isinstance(options, SmtpOptions):
        options = SmtpOptions.model_validate({})
    senders: dict[str, Sender] = {}
    probers: dict[str, Prober] = {}
    closers: list[Callable[[], Awaitable[None]]] = []
    for name, account in accounts.items():
        origin = Origin(name=account.sender_name(), address=account.sender_address)
        # An account that must not mail has no relay to do it by mistake.
        if account.relay is None or account.outbound != "on":
            files = FileTransport(wiring.outgoing, origin, wiring.clock)
            senders[name], probers[name] = files, files
            continue
        # The client library is not loaded where nobody uses it.
        from channels.mail.outbound_relay import RelayTransport

        password = reveal(account.relay.password) if account.relay.password else ""
        hostname = options.hostname or origin.address.rpartition("@")[2]
        relay = RelayTransport(account.relay, password, origin, wiring.clock, hostname)
        senders[name] = relay
        closers.append(relay.close)
    webhooks: dict[str, Webhook] = {
        name: UploadHook(name, account, account.upload, wiring=wiring, unique=lambda: secrets.token_hex(16))
        for name, account in accounts.items()
        if account.upload is not None
    }
    listener = SmtpListener(
        accounts,
        options,
        clock=wiring.clock,
        spool=wiring.spool,
        unique=lambda: secrets.token_hex(16),
        upload_url=wiring.upload_url if webhooks else "",
        on_stop=closers,
    )
    return Parts(senders=senders, listeners=[listener], webhooks=webhooks, probers=probers)
