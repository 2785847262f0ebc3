"""What people wish for on a channel of ours: whether they want notices there that nobody wrote by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, bindparam, select, update

from gateway.store.dialect import insert_new
from gateway.store.people import normal
from gateway.store.prepared import Prepared
from gateway.store.schema import consent

Wish: TypeAlias = Literal["stop", "start"]

_FIND = Prepared(
    select(consent.c.wish).where(
        consent.c.channel == bindparam("of_channel"),
        consent.c.endpoint == bindparam("of_endpoint"),
        consent.c.peer == bindparam("of_peer"),
    )
)


def endpoint(account: str, answer_to: Mapping[str, Any] | None) -> str:
    """Whom of us a wish concerns: the number of ours where the conversation names one, else the account."""
    ours = (answer_to or {}).get("from")
    return ours if isinstance(ours, str) and ours else account


def stopped(conn: Connection, channel: str, endpoint: str, peer: str) -> bool:
    """The last that this person said here was stop. `endpoint` is ours: the account of a chat, a number."""
    wanted = {"of_channel": channel, "of_endpoint": endpoint, "of_peer": normal(peer)}
    return bool(_FIND.scalar(conn, wanted) == "stop")


def stopped_anywhere(conn: Connection, channels: Sequence[str], peers: Sequence[str]) -> bool:
    """The last that one of these said to any end of ours on one of these channels was stop."""
    wanted = (consent.c.channel.in_(channels), consent.c.peer.in_([normal(peer) for peer in peers]))
    return conn.execute(select(consent.c.peer).where(*wanted, consent.c.wish == "stop").limit(1)).first() is not None


def said_since(conn: Connection, channel: str, endpoint: str, peer: str, at: datetime) -> bool:
    """This person has said what they wish for here after that time."""
    place = (consent.c.channel == channel, consent.c.endpoint == endpoint, consent.c.peer == normal(peer))
    return conn.execute(select(consent.c.at).where(*place, consent.c.at > at)).first() is not None


def wish(conn: Connection, channel: str, endpoint: str, peer: str, what: Wish, *, how: str, now: datetime) -> None:
    """Remember it, with the time at which it was said."""
    place = {"channel": channel, "endpoint": endpoint, "peer": normal(peer)}
    said = {"wish": what, "how": how, "at": now}
    if insert_new(conn, consent, {**place, **said}) is None:
        same = (consent.c[name] == value for name, value in place.items())
        conn.execute(update(consent).where(*same).values(said))


def refused(conn: Connection, channel: str, endpoint: str, peer: str, *, sent_at: datetime, now: datetime) -> None:
    """The far side let nothing through, because of a STOP. What the person said after we sent it counts more."""
    if not said_since(conn, channel, endpoint, peer, sent_at):
        wish(conn, channel, endpoint, peer, "stop", how="far side", now=now)
