"""The parts of the mail channel: one SMTP port for all accounts, a mailbox where one is read, a sender for each."""

from __future__ import annotations

import random
import secrets
from collections.abc import Awaitable, Callable, Mapping

from channels.contract import Listener, Parts, Prober, Sender, Webhook, Wiring
from channels.credentials import reveal
from channels.mail.imap_settings import Imap
from channels.mail.listener import SmtpListener
from channels.mail.oauth import Tokens
from channels.mail.oauth_settings import OAuth
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
        oauth = account.relay.oauth
        tokens = _tokens(f"relay/{name}", oauth, wiring) if oauth else None
        relay = RelayTransport(account.relay, password, origin, wiring.clock, hostname, tokens)
        senders[name] = relay
        closers.append(relay.close)
    webhooks: dict[str, Webhook] = {
        name: UploadHook(name, account, account.upload, wiring=wiring, unique=lambda: secrets.token_hex(16))
        for name, account in accounts.items()
        if account.upload is not None
    }
    smtp = SmtpListener(
        accounts,
        options,
        clock=wiring.clock,
        spool=wiring.spool,
        unique=lambda: secrets.token_hex(16),
        upload_url=wiring.upload_url if webhooks else "",
        on_stop=closers,
    )
    # After the port, which removes what a crash left in the spool.
    mailboxes = [_mailbox(name, account, account.imap, wiring) for name, account in accounts.items() if account.imap]
    return Parts(senders=senders, listeners=[smtp, *mailboxes], webhooks=webhooks, probers=probers)


def _mailbox(name: str, account: MailAccount, settings: Imap, wiring: Wiring) -> Listener:
    # The client library is not loaded where nobody uses it.
    from channels.mail.imap_listener import ImapListener
    from channels.mail.imap_login import Login, PasswordLogin, TokenLogin

    if wiring.ledger is None:
        raise ValueError("a mailbox needs a ledger")
    login: Login
    if settings.oauth is not None:
        login = TokenLogin(_tokens(f"imap/{name}", settings.oauth, wiring))
    else:
        assert settings.password is not None
        reveal(settings.password)  # an account without its secret does not start
        login = PasswordLogin(settings.password)
    return ImapListener(
        name,
        account,
        settings,
        login,
        clock=wiring.clock,
        ledger=wiring.ledger,
        spool=wiring.spool,
        unique=lambda: secrets.token_hex(16),
        chance=random.random,
        answer_age=wiring.answer_age,
        confirmed=wiring.confirmed,
    )


def _tokens(name: str, settings: OAuth, wiring: Wiring) -> Tokens:
    if wiring.vault is None:
        raise ValueError("an account that logs in with tokens needs a vault")
    reveal(settings.refresh_token)
    if settings.client_secret is not None:
        reveal(settings.client_secret)
    return Tokens(name, settings, wiring.vault, wiring.clock)
