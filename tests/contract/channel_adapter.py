"""What the contract suite needs to drive a channel over its real wire. A new channel writes one of these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeAlias

from channels.contract import Intake, Sender
from normalizer.message import Address, Notice

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)

Behaviour: TypeAlias = Literal["accepts", "late", "half", "never", "later", "refuses", "unreachable"]
"""What the far side does with one send: takes it; takes it late; breaks off in the middle; never answers;
says "try later"; refuses the message; says that the address does not exist."""


class Wire(Protocol):
    """The inbound side of a running channel, seen by somebody who writes to the desk."""

    async def deliver(self, number: int) -> bool:
        """Send message `number` as the far side would; True: acknowledged, False: told to repeat."""
        ...

    def body(self, number: int) -> bytes:
        """The bytes that must reach the journal."""
        ...


Mishap: TypeAlias = Literal["late", "twice", "half", "never", "lost", "reset"]
"""What goes wrong with one delivery to us: it takes long; comes twice at once; breaks off in the middle; begins and
never ends; is done but nobody hears it; the connection breaks at once. The far side repeats what was not heard."""


class FaultyWire(Wire, Protocol):
    """A wire on which things go wrong by plan."""

    def plan(self, mishap: Mishap) -> None:
        """What goes wrong with the next delivery; `deliver` then goes on until the far side is content."""
        ...


class FarSide(Protocol):
    """The outbound side: a sender, and who it sends to."""

    sender: Sender

    def plan(self, *behaviours: Behaviour) -> None:
        """What the far side does with the next sends."""
        ...

    def received(self) -> Sequence[str]:
        """A key of each message that reached the far side whole; the same for a repeat."""
        ...

    def go_on(self) -> None:
        """What is late is answered, now and from now on."""
        ...


@dataclass(frozen=True)
class ChannelAdapter:
    """One row of the suite."""

    account: Mapping[str, Any]
    """Settings of an account, as in the configuration."""
    options: Mapping[str, Any]
    """`Wiring.options`, with ports that are free."""
    inbound: Mapping[str, tuple[Any, frozenset[Mishap]]]
    """Name of a wire -> ((tmp_path, intake, patience) -> async context manager of a Wire, what can go wrong on it).
    `patience`: seconds that who waits for something on this wire waits for it."""
    notice: Mapping[str, Any] = field(default_factory=dict)
    """What a notice on this channel has otherwise: whom it goes to, and where."""
    senders: Mapping[str, tuple[Any, frozenset[Behaviour]]] = field(default_factory=dict)
    """Name -> ((tmp_path) -> async context manager of a FarSide, the behaviours it can show). The sender has nearly a
    minute for a send."""


def notice(channel: str, number: int = 7, **otherwise: Any) -> Notice:
    """Something to send; the adapter's account is called `main`."""
    made = Notice(
        id=number,
        channel=channel,
        account="main",
        recipient=Address(address="anna@client.example", name="Анна"),
        kind="reply",
        language="ru",
        subject="Ответ",
        text="Здравствуйте!",
        message_id=f"n{number}@desk.example",
        automatic=False,
        created_at=NOW,
    )
    return replace(made, **otherwise)


@asynccontextmanager
async def listening(listener: Any, intake: Intake) -> AsyncIterator[dict[str, str]]:
    """A started listener; yields what it listens on."""
    await listener.start(intake)
    try:
        yield listener.listening()
    finally:
        await listener.stop()
