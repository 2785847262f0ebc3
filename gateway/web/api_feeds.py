"""What operators do about writes to the desk's own ticket store: see which wait or failed, run them again, drop."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, select

from gateway.store import feeds, schema
from gateway.web import cursors
from gateway.web.api_asked import Limit
from gateway.web.api_models import WriteItem, WritePage
from gateway.web.frame import Asked, Call, Job
from gateway.web.problems import Problem

State = Literal["waiting", "sending", "done", "refused", "dead", "skipped"]


class WriteQuery(Asked):
    """Which writes; none of a state: those that need somebody or are still to come."""

    state: State | Literal["all"] | None = None
    feed: str | None = None
    limit: Limit = 50
    cursor: str | None = None


def _rows() -> Select[Any]:
    write, ticket = schema.feed_write, schema.ticket
    return select(write, ticket.c.number).join(ticket, ticket.c.id == write.c.ticket_id).order_by(write.c.id.desc())


def _item(row: Row[Any]) -> WriteItem:
    same = set(WriteItem.model_fields) - {"ticket", "fields"}
    return WriteItem(ticket=row.ticket_id, fields=sorted(row.fields), **{name: getattr(row, name) for name in same})


async def writes(call: Call) -> WritePage:
    """Writes to ticket stores."""
    asked, before = call.query, cursors.read(call.query.cursor)
    write = schema.feed_write
    wanted = _rows().limit(asked.limit + 1)
    if asked.state != "all":
        wanted = wanted.where(write.c.state.in_([asked.state] if asked.state else feeds.BLOCKING))
    if asked.feed is not None:
        wanted = wanted.where(write.c.feed == asked.feed)
    if before is not None:
        wanted = wanted.where(write.c.id < before)

    def job(conn: Connection) -> WritePage:
        page, following = cursors.after(conn.execute(wanted).all(), asked.limit)
        return WritePage(items=[_item(row) for row in page], next_cursor=following)

    return await call.read(job)


async def retry(call: Call) -> Job:
    """Run it again; the store is asked first whether it has it."""
    write_id, now = call.number("write"), call.services.clock()

    def job(conn: Connection) -> WriteItem:
        done = feeds.retry(conn, write_id, now)
        return _one(conn, write_id, changed=done, why="only a write that was refused or given up can be run again")

    return job


async def drop(call: Call) -> Job:
    """Give it up: what is behind it goes on without it."""
    write_id, now, actor = call.number("write"), call.services.clock(), call.caller.actor

    def job(conn: Connection) -> WriteItem:
        done = feeds.drop(conn, write_id, now, why=f"dropped by {actor}")
        return _one(conn, write_id, changed=done, why="only a write that is not done and not under way can be dropped")

    return job


def _one(conn: Connection, write_id: int, *, changed: bool, why: str) -> WriteItem:
    row = conn.execute(_rows().where(schema.feed_write.c.id == write_id)).one_or_none()
    if row is None:
        raise Problem(404, "there is no such write")
    if not changed:
        raise Problem(409, f"{why}; this one is {row.state}")
    return _item(row)
