"""Who asks: bearer tokens of agents, with scopes and contracts (RFC 6750)."""

from __future__ import annotations

from typing import Literal

from aiohttp import web
from sqlalchemy import Connection

from gateway.store import tokens
from gateway.store.tokens import Caller
from gateway.web.problems import Problem
from gateway.web.services import Services

NOBODY = Caller(token_id=0, agent="", scopes=frozenset(), contracts=None)


async def authenticate(
    request: web.Request, services: Services, scope: Literal["read", "reply", "admin"] | None, *, whole: bool = False
) -> Caller:
    """The caller, who holds `scope`. Raises Problem 401 (who are you) or 403 (you may not).

    `whole`: a token that is limited to contracts may not, whatever its scopes.
    """
    if scope is None:
        return NOBODY
    text = _bearer(request)
    now = services.clock()

    def look(conn: Connection) -> tuple[Caller | None, bool]:
        found = tokens.find(conn, text, now)
        return found, found is not None and tokens.stale(conn, found.token_id, now)

    caller, stale = await services.db.read(look)
    # Who is taken out of `agents` has left: their tokens end with them, and nothing is done in a name nobody has.
    if caller is None or caller.agent not in (tokens.ADMIN, *services.ctx.settings.agents):
        raise Problem(
            401,
            "this token is unknown, expired or revoked",
            headers={"WWW-Authenticate": 'Bearer realm="gateway", error="invalid_token"'},
        )
    if not caller.may(scope):
        raise Problem(
            403,
            f"this token lacks the scope {scope}",
            headers={"WWW-Authenticate": f'Bearer realm="gateway", error="insufficient_scope", scope="{scope}"'},
        )
    if whole and caller.contracts is not None:
        raise Problem(403, "this token is limited to contracts; this needs one that is not")
    if stale:
        token_id = caller.token_id
        await services.db.write(lambda conn: tokens.touch(conn, token_id, now))
    return caller


def _bearer(request: web.Request) -> str:
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not text.strip():
        raise Problem(
            401,
            "send a token: Authorization: Bearer gw_…; `gateway tokens create` makes one",
            headers={"WWW-Authenticate": 'Bearer realm="gateway"'},
        )
    return text.strip()
