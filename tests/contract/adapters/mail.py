"""Mail under the contract suite: SMTP in; SMTP relay and files out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from channels.contract import Intake, Sender, Wiring
from channels.mail.build import build
from channels.mail.settings import MailAccount, SmtpOptions
from tests.channels.mail.far_side import FarSide as RelayServer
from tests.channels.mail.far_side import far_side
from tests.channels.mail.support import Client, letter
from tests.contract.channel_adapter import NOW, Behaviour, ChannelAdapter, listening

ACCOUNT = {"addresses": ["support@desk.example"]}
OPTIONS = {"smtp": SmtpOptions.model_validate({"port": 0})}


def wiring(folder: Path) -> Wiring:
    return Wiring(
        clock=lambda: NOW,
        spool=folder / "spool",
        outgoing=folder / "outgoing",
        upload_url="https://help.desk.example/",
        options=OPTIONS,
    )


class SmtpWire:
    """A mail server that delivers to us."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")

    def body(self, number: int) -> bytes:
        return letter(number, b"Hello\r\n" * number)

    async def deliver(self, number: int) -> bool:
        client = await Client.to(self._host, int(self._port))
        try:
            await client.hello()
            reply = await client.mail(self.body(number))
        finally:
            await client.close()
        assert reply[:1] in "24", f"a permanent refusal loses mail: {reply}"
        return reply.startswith("2")


@asynccontextmanager
async def inbound(folder: Path, intake: Intake, patience: float) -> AsyncIterator[SmtpWire]:
    (listener,) = build({"main": MailAccount.model_validate(ACCOUNT)}, wiring(folder)).listeners
    async with listening(listener, intake) as ports:
        yield SmtpWire(ports["smtp"])


class Relay:
    """A relay that does what is planned."""

    SCRIPTS: ClassVar[dict[Behaviour, tuple[str, str]]] = {
        "accepts": ("DATA", "-"),
        "late": ("DATA", "late"),
        "half": ("DATA", "close"),
        "never": ("DATA", "hang"),
        "later": ("RCPT", "450 4.2.0 greylisted"),
        "refuses": ("DATA", "554 5.6.0 not this"),
        "unreachable": ("RCPT", "550 5.1.1 no such user"),
    }  # fmt: skip

    def __init__(self, sender: Sender, server: RelayServer) -> None:
        self.sender = sender
        self._server = server

    def plan(self, *behaviours: Behaviour) -> None:
        for behaviour in behaviours:
            verb, reply = self.SCRIPTS[behaviour]
            self._server.script.setdefault(verb, []).append(reply)

    def received(self) -> Sequence[str]:
        return [
            content.partition(b"Message-ID: <")[2].partition(b">")[0].decode() for _, _, content in self._server.got
        ]

    def go_on(self) -> None:
        self._server.release.set()


@asynccontextmanager
async def relay(folder: Path) -> AsyncIterator[Relay]:
    async with far_side() as server:
        settings = {"host": "127.0.0.1", "port": server.port, "tls": "none", "timeout": "50s"}
        parts = build({"main": MailAccount.model_validate({**ACCOUNT, "relay": settings})}, wiring(folder))
        try:
            yield Relay(parts.senders["main"], server)
        finally:
            for listener in parts.listeners:
                await listener.stop()


class Files:
    """The folder of the file transport."""

    def __init__(self, sender: Sender, folder: Path) -> None:
        self.sender = sender
        self._folder = folder

    def plan(self, *behaviours: Behaviour) -> None:
        assert set(behaviours) <= {"accepts"}

    def received(self) -> Sequence[str]:
        return [path.stem for path in self._folder.glob("*.eml")]


@asynccontextmanager
async def files(folder: Path) -> AsyncIterator[Files]:
    parts = build({"main": MailAccount.model_validate(ACCOUNT)}, wiring(folder))
    yield Files(parts.senders["main"], folder / "outgoing")


ADAPTER = ChannelAdapter(
    account=ACCOUNT,
    options=OPTIONS,
    inbound={"smtp": (inbound, frozenset())},
    senders={"relay": (relay, frozenset(Relay.SCRIPTS)), "files": (files, frozenset({"accepts"}))},
)
