"""Tokens over the API: list, make, end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field
from sqlalchemy import Connection

from gateway.store import tokens
from gateway.web.frame import ApiModel, Asked, Call, Job
from gateway.web.problems import Problem


class TokenItem(ApiModel):
    """One token, without its secret."""

    id: int
    prefix: str
    agent: str
    scopes: Sequence[str]
    contracts: Sequence[str] | None
    note: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None
    """To the hour."""


class TokenList(ApiModel):
    """Every token, the newest first."""

    items: Sequence[TokenItem]


class NewToken(Asked):
    """A token for an agent."""

    agent: str
    scopes: Annotated[Sequence[Literal["read", "reply", "admin"]], Field(min_length=1)]
    contracts: Sequence[str] | None = None
    """None: all of them."""
    note: Annotated[str, Field(max_length=200)] = ""
    expires_at: AwareDatetime | None = None


class MadeToken(ApiModel):
    """A new token."""

    id: int
    agent: str
    token: str | None
    """The secret: shown now and never again (none when this answer is a repeat)."""


async def token_list(call: Call) -> TokenList:
    """Every token."""
    names = TokenItem.model_fields
    return await call.read(
        lambda conn: TokenList(
            items=[TokenItem(**{name: getattr(row, name) for name in names}) for row in tokens.listed(conn)]
        )
    )


async def token_create(call: Call) -> Job:
    """Make a token; its secret is in this answer and nowhere else."""
    asked, ctx, now = call.body, call.services.ctx, call.services.clock()
    if asked.agent != tokens.ADMIN and asked.agent not in ctx.settings.agents:
        raise Problem(422, "no such agent; agents are named in the configuration under `agents`")
    unknown = sorted(set(asked.contracts or ()) - set(ctx.policy.contracts))
    if unknown:
        raise Problem(422, f"no such contract: {', '.join(unknown)}; contracts are named in contracts.yaml")
    if asked.expires_at is not None and asked.expires_at <= now:
        raise Problem(422, "the token would be over before it begins; `expires_at` is in the past")
    text = tokens.make(call.services.new_secret())

    def job(conn: Connection) -> MadeToken:
        token_id = tokens.create(
            conn,
            text,
            agent=asked.agent,
            scopes=asked.scopes,
            contracts=asked.contracts,
            note=asked.note,
            expires_at=asked.expires_at,
            now=now,
        )
        return MadeToken(id=token_id, agent=asked.agent, token=text)

    return job


async def token_revoke(call: Call) -> Job:
    """End a token at once."""
    token_id, now = call.number("token"), call.services.clock()

    def job(conn: Connection) -> TokenList:
        if not tokens.revoke(conn, token_id, now):
            raise Problem(404, "there is no such token")
        names = TokenItem.model_fields
        rows = [row for row in tokens.listed(conn) if row.id == token_id]
        return TokenList(items=[TokenItem(**{name: getattr(row, name) for name in names}) for row in rows])

    return job
