"""The page for files that are too big for a mail: the form, and what became of it.

The form posts to the webhook of an account (`/channels/mail/<account>/upload`), which answers after the commit
with a redirect back to this page; so reloading sends nothing twice. The id in the redirect is 128 random bits
that only the one who sent the files has.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web
from sqlalchemy import Connection

from channels.contract import AccountSettings
from gateway.facts import desk_name
from gateway.settings import Settings
from gateway.store import journal
from gateway.web.page import Pages, Words, preferred
from gateway.web.services import SERVICES, Services

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
CHANNEL = "mail"
WAIT = 3.0
"""Seconds that the answer waits for the ticket's number."""
_MEGABYTE = 1024 * 1024
_ID = re.compile(r"[0-9a-f]{32}")


def accounts(settings: Settings) -> dict[str, AccountSettings]:
    """The accounts that take uploads."""
    found = settings.accounts(CHANNEL)
    return {name: account for name, account in found.items() if account.upload_limit()}


def handler(pages: Pages) -> Handler:
    """GET /upload: the form; `?got=` what became of one; `?to=` the form of this account."""

    async def show(request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        if "got" in request.query:
            return await _done(pages, request, services, request.query["got"])
        return _form(pages, request, services)

    return show


class UploadAnswers:
    """How a webhook tells a person that nothing was taken: a `channels.contract.Answer`."""

    def __init__(self) -> None:
        """Reads the templates."""
        self._pages = Pages()

    def __call__(self, request: web.Request, reason: str, status: int) -> web.Response:
        """The page with the words of this reason."""
        ctx = request.app[SERVICES].ctx
        # …/channels/mail/<account>/upload
        name = request.path.split("/")[-2]
        account = ctx.settings.account(CHANNEL, name)
        words = Words(ctx.texts, preferred(request, account.language if account else "en"))
        return self._pages.show(
            "upload_answer",
            words,
            title=words("upload_not"),
            status=status,
            desk=desk_name(ctx, account),
            note=words(reason),
            back=f"../../../upload?to={name}" if account else "../../../upload",
        )


def _form(pages: Pages, request: web.Request, services: Services) -> web.Response:
    ctx, found = services.ctx, accounts(services.ctx.settings)
    asked = request.query.get("to", "")
    chosen = asked if asked in found else next(iter(found)) if len(found) == 1 else ""
    account = found.get(chosen) or next(iter(found.values()), None)
    if account is None:
        return pages.gone(request, ctx.texts, ctx.settings.desk.name)
    words = Words(ctx.texts, preferred(request, account.language))
    return pages.show(
        "upload",
        words,
        title=words("upload"),
        desk=desk_name(ctx, account if chosen else None),
        chosen=chosen,
        accounts=[(name, one.brand or one.endpoints()[0]) for name, one in found.items()],
        size=(account.upload_limit() or 0) // _MEGABYTE,
    )


async def _done(pages: Pages, request: web.Request, services: Services, upload: str) -> web.Response:
    ctx = services.ctx

    def look(conn: Connection) -> tuple[int, str] | None:
        return journal.named(conn, CHANNEL, f"upload:{upload}")

    found = await services.db.read(look) if _ID.fullmatch(upload) else None
    if found is None:
        return pages.gone(request, ctx.texts, ctx.settings.desk.name)
    entry, name = found
    number = await services.processed(entry, WAIT)
    account = ctx.settings.account(CHANNEL, name)
    words = Words(ctx.texts, preferred(request, account.language if account else "en"))
    mailed = account is not None and account.outbound == "on"
    note = "upload_done_number" if number else "upload_done_mail" if mailed else "upload_done_quiet"
    return pages.show(
        "upload_answer",
        words,
        title=words("upload_done"),
        desk=desk_name(ctx, account),
        note=words(note, number=number or ""),
        back="",
    )
