"""A desk for tests of staff's side: two clients, two agents, and the real site on a real port."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from sqlalchemy import Connection, func, select

from channels.contract import Clock
from gateway.context import Context
from gateway.metrics import Metrics
from gateway.store import schema, tokens
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.web.application import open_site
from gateway.web.services import Services
from router.policy import Calendar, Contract, Policy, Terms
from tests.gateway.outgoing import context, open_ticket

ALWAYS = Calendar(key="always", zone="UTC", week=(((0, 1440),),) * 7)
POLICY = Policy(
    version="test",
    calendars={"always": ALWAYS},
    contracts={
        "acme": Contract(
            key="acme",
            name="Acme",
            domains=("acme.example",),
            calendar="always",
            lines=("L1", "L2", "L3"),
            terms={
                4: Terms(reaction=timedelta(minutes=30), resolution=timedelta(hours=4)),
                6: Terms(reaction=timedelta(hours=8), resolution=timedelta(days=5)),
            },
        ),
        "borealis": Contract(key="borealis", domains=("borealis.example",), calendar="always"),
    },
)
AGENTS = {
    "olena": {"name": "Olena", "addresses": ["olena@desk.example"], "lines": ["L1"]},
    "pavlo": {"name": "Pavlo", "addresses": ["pavlo@desk.example"], "lines": ["L2"]},
}


def desk_context(**settings: Any) -> Context:
    """Settings and policy of the desk."""
    return context(POLICY, agents=AGENTS, **settings)


def rows(conn: Connection, table: str) -> list[Mapping[str, Any]]:
    """Every row of a table, by id."""
    found = schema.metadata.tables[table]
    return [dict(row) for row in conn.execute(select(found).order_by(*found.primary_key.columns)).mappings()]


def count(conn: Connection, table: str) -> int:
    """How many rows a table has."""
    return int(conn.execute(select(func.count()).select_from(schema.metadata.tables[table])).scalar_one())


@dataclass
class Site:
    """The running site, and a client of it."""

    db: Database
    services: Services
    url: str
    session: aiohttp.ClientSession
    woken: list[str]
    secrets: Any = field(default_factory=lambda: (f"{number:048x}" for number in itertools.count(1)))

    async def ticket(self, **columns: Any) -> int:
        """A new ticket; returns its id."""
        now = self.services.clock()
        return await self.db.write(lambda conn: open_ticket(conn, now, **columns))

    async def token(
        self,
        scopes: Sequence[str] = ("admin",),
        agent: str = "olena",
        contracts: Sequence[str] | None = None,
        expires_in: timedelta | None = None,
    ) -> str:
        """A token, written straight into the store."""
        text, now = tokens.make(next(self.secrets)), self.services.clock()
        ends = None if expires_in is None else now + expires_in
        await self.db.write(
            lambda conn: tokens.create(
                conn, text, agent=agent, scopes=scopes, contracts=contracts, expires_at=ends, now=now
            )
        )
        return text

    async def ask(
        self, method: str, path: str, token: str | None = None, *, key: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """(status, JSON or text) of a request below `/api/v1`."""
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if key is not None:
            headers["Idempotency-Key"] = key
        async with self.session.request(method, f"{self.url}/api/v1{path}", headers=headers, **options) as response:
            if "json" in response.content_type:
                return response.status, await response.json(content_type=None)
            return response.status, await response.read()

    async def get(self, path: str, token: str | None = None, **options: Any) -> tuple[int, Any]:
        """GET below `/api/v1`."""
        return await self.ask("GET", path, token, **options)

    async def post(self, path: str, token: str | None = None, body: Any = None, **options: Any) -> tuple[int, Any]:
        """POST of JSON below `/api/v1`."""
        return await self.ask("POST", path, token, json=body or {}, **options)


@asynccontextmanager
async def served(
    db: Database, blobs: Blobs, clock: Clock, var: Path, ctx: Context | None = None, **more: Any
) -> AsyncIterator[Site]:
    """The site on a free port of loopback."""
    woken: list[str] = []
    services = Services(
        ctx=ctx or desk_context(),
        db=db,
        blobs=blobs,
        clock=clock,
        metrics=Metrics(),
        var=var,
        wake_outbox=lambda: woken.append("outbox"),
        wake_journal=lambda: woken.append("journal"),
        **more,
    )
    runner = await open_site(services)
    try:
        listening = web.TCPSite(runner, "127.0.0.1", 0)
        await listening.start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session:
            yield Site(db=db, services=services, url=f"http://{host}:{port}", session=session, woken=woken)
    finally:
        await runner.cleanup()
