"""The pages that people see without signing in: the portal, a ticket, a rating."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from gateway.settings import Settings
from gateway.web import rating, ticket_view, upload
from gateway.web.page import Pages, Words, preferred
from gateway.web.services import SERVICES

TOKEN = "{token:[a-z2-7]{26}}"
"""A token of the key file, as it stands in a path."""


def routes() -> Sequence[web.RouteDef]:
    """What `build_site` mounts beside the API. Reads the templates."""
    pages = Pages()
    show, act = rating.handlers(pages)

    async def portal(request: web.Request) -> web.StreamResponse:
        ctx = request.app[SERVICES].ctx
        accounts = ctx.settings.accounts("mail")
        usual = next((account.language for account in accounts.values()), "en")
        words = Words(ctx.texts, preferred(request, usual))
        desk = next((account.brand for account in accounts.values() if account.brand), ctx.settings.desk.name)
        return pages.show(
            "portal",
            words,
            title=words("portal"),
            desk=desk,
            addresses=_addresses(ctx.settings),
            upload=bool(upload.accounts(ctx.settings)),
            phone=ctx.settings.desk.phone,
        )

    async def gone(request: web.Request) -> web.StreamResponse:
        ctx = request.app[SERVICES].ctx
        return pages.gone(request, ctx.texts, ctx.settings.desk.name)

    return [
        web.get("/", portal),
        web.get("/upload", upload.handler(pages)),
        web.get(f"/rate/{TOKEN}", show),
        web.post(f"/rate/{TOKEN}", act),
        web.get(f"/t/{TOKEN}", ticket_view.handler(pages)),
        # What mail clients cut off or add to a link must not end in a page for programmers.
        web.get("/rate/{token}", gone),
        web.get("/t/{token}", gone),
    ]


def _addresses(settings: Settings) -> list[str]:
    """The first address of each mail account that answers."""
    return [
        account.endpoints()[0]
        for account in settings.accounts("mail").values()
        if account.endpoints() and account.outbound != "off"
    ]
