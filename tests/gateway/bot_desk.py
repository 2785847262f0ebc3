"""A desk with a bot: what people send to it, and what it would say."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from gateway import desk, identities, texts
from gateway.context import Context
from gateway.filing import Filed
from gateway.identities import Identity
from gateway.keyring import Keyring
from gateway.rendering import render
from gateway.settings import Settings
from gateway.store import outbox, people, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.survey_asking import token_of
from gateway.survey_policy import SurveyPolicy
from gateway.texts import Texts
from normalizer.message import Address, Command, Conversation, Event, KeyKind, Message, Notice, Press, Rating, ThreadKey
from router.policy import Calendar, Contract, Policy, Terms
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk

CONFIG = Path(__file__).parents[2] / "config"
ANN, BOB, ANNA = "101", "202", "anna@client.example"
GROUP = "-500"
POLICY = Policy(
    contracts={
        "acme": Contract(key="acme", domains=("client.example",), calendar="always", terms={4: Terms()}),
        "club": Contract(key="club", chats=(f"telegram:{GROUP}",), calendar="always"),
    },
    calendars={"always": Calendar(key="always", zone="Europe/Kyiv", week=(((0, 1440),),) * 7)},
)
SETTINGS: dict[str, Any] = {
    "channels": {
        "mail": {"support": {"addresses": ["support@desk.example"]}},
        "telegram": {"bot": {"token": "env:NO_SUCH_TOKEN", "language": "en"}},
    },
    "agents": {"olena": {"name": "Olena", "addresses": ["olena@staff.example"]}},
    "outbox": {"chat_acknowledgement_delay": "0s", "debounce": "0s"},
}


@cache
def shipped() -> Texts:
    """The shipped texts, read once."""
    loaded, problems = texts.load(CONFIG)
    assert loaded is not None, problems
    return loaded


def place(who: str = ANN, *, group: bool = False) -> Conversation:
    """Where somebody speaks."""
    chat = GROUP if group else who
    return Conversation(id=f"{GROUP}:{who}" if group else who, private=not group, answer_to={"chat": int(chat)})


class BotDesk(Desk):
    """Files commands, presses and words; shows what goes out."""

    def __init__(self, db: Database, blobs: Blobs, clock: FrozenClock, **policy: Any) -> None:
        ctx = Context(
            settings=Settings.model_validate(SETTINGS),
            policy=POLICY,
            keyring=Keyring(b"k" * 32),
            surveys=SurveyPolicy(**policy),
            texts=shipped(),
        )
        super().__init__(db, blobs, clock, ctx)
        self.number = 100

    # -- what people do ---------------------------------------------------------------------

    async def bot(self, event: Event, who: str, **raw: Any) -> Filed:
        """Journal and file something that came to the bot."""
        return await self.receive(event, **await self.wire(who), **raw)

    async def wire(self, who: str) -> dict[str, Any]:
        """Of a raw message."""
        self.number += 1
        return {
            "channel": "telegram", "account": "bot", "format": "telegram/1", "external_id": f"bot:{self.number}",
            "peer": who, "facts": {"transport": "polling"}, "deliveries": (), "content": f"{self.number}".encode(),
        }  # fmt: skip

    def command(self, text: str, who: str = ANN, *, group: bool = False, language: str = "") -> Command:
        """A typed command."""
        name, _, argument = text.removeprefix("/").partition(" ")
        return Command(
            name=name, argument=argument, sender=Address(address=who, name="Ann"), conversation=place(who, group=group),
            language=language, external_key=f"telegram:bot:{who}:{self.number}",
        )  # fmt: skip

    async def types(self, text: str, who: str = ANN, **more: Any) -> list[Notice]:
        """A command; what is said to it."""
        await self.bot(self.command(text, who, **more), who)
        return await self.heard()

    async def presses(self, data: str, who: str = ANN, *, group: bool = False, under: str = "under") -> list[Notice]:
        """A button; what is said to it."""
        name, _, argument = data.partition(":")
        press = Press(id=f"press-{self.number}", under=under)
        if name == "rate":
            token, _, score = argument.partition(":")
            event: Event = Rating(
                token=token, score=int(score), voter=Address(address=who), press=press,
                conversation=place(who, group=group),
            )  # fmt: skip
        else:
            event = Command(
                name=name, argument=argument, sender=Address(address=who), conversation=place(who, group=group),
                press=press,
            )  # fmt: skip
        await self.bot(event, who)
        return await self.heard()

    def words(self, text: str, who: str = ANN, *, group: bool = False, answers: str = "", **more: Any) -> Message:
        """An ordinary message."""
        return Message(
            sender=Address(address=who, name="Ann"), text=text, visible_text=text, language="en",
            conversation=place(who, group=group), external_key=f"telegram:bot:{who}:m{self.number}",
            thread_keys=(ThreadKey(kind=KeyKind.EXTERNAL, value=answers),) if answers else (), **more,
        )  # fmt: skip

    async def writes(self, text: str, who: str = ANN, **more: Any) -> Filed:
        """An ordinary message is filed."""
        return await self.bot(self.words(text, who, **more), who)

    # -- what goes out ----------------------------------------------------------------------

    async def heard(self) -> list[Notice]:
        """Everything that waits on any account, claimed, rendered and settled as sent, by id."""
        now = self.clock()

        def job(conn: Connection) -> list[Notice]:
            made = []
            for channel, account in (("telegram", "bot"), ("mail", "support")):
                while ids := outbox.due(conn, channel, account, now, 100):
                    for row in outbox.claim(conn, ids, "test", now):
                        made.append(render(conn, self.ctx, row, self.blobs))
                        done = outbox.Settlement(id=row.id, owner="test", attempts=row.attempts, state="sent")
                        assert outbox.settle(conn, done, now)
            return sorted(made, key=lambda notice: notice.id)

        return await self.db.write(job)

    # -- what staff do ----------------------------------------------------------------------

    async def resolved(self, ticket_id: int | None, result: str = "The cable was replaced.") -> list[Notice]:
        """Staff resolve a ticket; what goes out."""
        assert ticket_id is not None
        await self.heard()
        now = self.clock()
        await self.do(lambda conn: desk.resolve(conn, self.ctx, ticket_id, actor="agent:olena", now=now, result=result))
        return await self.heard()

    async def token(self, ticket_id: int | None) -> str:
        """Of the newest survey about a ticket."""

        def job(conn: Connection) -> str:
            table = schema.survey
            row = conn.execute(table.select().where(table.c.ticket_id == ticket_id).order_by(table.c.id.desc())).first()
            assert row is not None
            return token_of(self.ctx, row.nonce)

        return await self.db.read(job)

    async def votes(self) -> list[tuple[int, str]]:
        """(score, comment) of every vote that counts."""
        rows = await self.db.read(lambda conn: conn.execute(schema.rating.select().order_by(schema.rating.c.id)).all())
        return [(row.score, row.comment) for row in rows if row.current]

    async def contact(self, kind: str, value: str) -> int:
        """The contact of an identity."""
        now = self.clock()
        return await self.do(lambda conn: people.contact_for(conn, kind, value, "", now))

    async def known_as(self, kind: str, value: str) -> list[str]:
        """Every identity of the same contact."""
        who = Identity(kind=kind, value=value)
        rows = await self.db.read(lambda conn: identities.identities_of(conn, who))
        return [f"{row.kind}:{row.value}" for row in rows]

    async def open_surveys(self, ticket_id: int) -> int:
        """How many times somebody was asked about a ticket."""

        def job(conn: Connection) -> int:
            return len(conn.execute(schema.survey.select().where(schema.survey.c.ticket_id == ticket_id)).all())

        return await self.db.read(job)


def labels(notice: Notice) -> list[str]:
    """The words on its buttons."""
    return [button.label for row in notice.buttons for button in row]


def data_of(notice: Notice, label: str) -> str:
    """What comes back when this button is pressed."""
    return next(button.data for row in notice.buttons for button in row if button.label == label)
