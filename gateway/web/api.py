"""The API as one table: routing and the OpenAPI document are both made from it."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from gateway import shadow, status
from gateway.web import (
    api_acts,
    api_asked,
    api_contacts,
    api_feeds,
    api_import,
    api_incidents,
    api_models,
    api_ops,
    api_suspects,
    api_tickets,
    api_tokens,
    openapi,
)
from gateway.web.frame import ApiModel, Asked, Call, Nothing, Reads, Route, Writes, endpoint

_TICKET = "/tickets/{ticket}"
_CONTACT = "/contacts/{contact}"


async def document(_call: Call) -> web.Response:
    """The description of all this."""
    return web.json_response(text=openapi.text(ROUTES))


_READS: Sequence[tuple[str, str, type[ApiModel] | None, Reads, type[Asked]]] = (
    ("/tickets", "List tickets", api_models.TicketPage, api_tickets.listing, api_asked.TicketQuery),
    (_TICKET, "Show a ticket", api_models.TicketDetail, api_tickets.one, Nothing),
    (f"{_TICKET}/events", "What happened to a ticket", api_models.EventList, api_tickets.events, Nothing),
    (f"{_TICKET}/decision", "Why it is filed and routed so", api_models.Decision, api_tickets.decision, Nothing),
    (f"{_TICKET}/notices", "What went out about it", api_models.NoticePage, api_tickets.notices, Nothing),
    (f"{_TICKET}/ratings", "How it was rated", api_models.RatingList, api_tickets.ratings, Nothing),
    (f"{_TICKET}/attachments/{{attachment}}", "Download a file", None, api_tickets.attachment, Nothing),
)
_OPERATOR_READS: Sequence[tuple[str, str, type[ApiModel] | None, Reads, type[Asked]]] = (
    ("/status", "The gateway on one screen", status.Status, api_ops.show_status, Nothing),
    ("/quarantine", "What could not be read", api_ops.EntryPage, api_ops.quarantine, api_ops.QuarantineQuery),
    (
        "/unverified",
        "Requests that webhooks did not believe",
        api_suspects.UnverifiedPage,
        api_suspects.listing,
        api_suspects.UnverifiedQuery,
    ),
    ("/journal", "Journal entries", api_ops.EntryPage, api_ops.entries, api_ops.EntryQuery),
    ("/journal/{entry}", "One journal entry", api_ops.EntryItem, api_ops.entry, Nothing),
    ("/journal/{entry}/raw", "Its exact bytes", None, api_ops.raw, Nothing),
    (
        "/feed-writes",
        "Writes to a ticket store that need somebody",
        api_models.WritePage,
        api_feeds.writes,
        api_feeds.WriteQuery,
    ),
    ("/outbox", "Notices that need somebody", api_models.NoticePage, api_ops.notices, api_ops.OutboxQuery),
    (
        "/reports/shadow",
        "What a pilot would have said and routed",
        shadow.ShadowReport,
        api_ops.shadow_report,
        api_ops.ShadowQuery,
    ),
    ("/tokens", "List tokens", api_tokens.TokenList, api_tokens.token_list, Nothing),
)
_OPERATOR_WRITES: Sequence[tuple[str, str, type[ApiModel], Writes, type[Asked]]] = (
    ("/journal/replay", "Process entries again", api_ops.Replayed, api_ops.replay, api_ops.Replay),
    (
        "/unverified/replay",
        "Look again at what webhooks did not believe",
        api_suspects.Rechecked,
        api_suspects.replay,
        api_suspects.Recheck,
    ),
    ("/feed-writes/{write}/retry", "Write to a ticket store again", api_models.WriteItem, api_feeds.retry, Nothing),
    ("/feed-writes/{write}/drop", "Never write this to a ticket store", api_models.WriteItem, api_feeds.drop, Nothing),
    ("/outbox/{notice}/retry", "Send a notice again", api_models.NoticeItem, api_ops.retry, Nothing),
    ("/outbox/{notice}/drop", "Never send a notice", api_models.NoticeItem, api_ops.drop, Nothing),
    ("/outbox/hold", "Hold everything outbound", api_ops.Outbound, api_ops.hold_all, api_ops.HoldBody),
    ("/outbox/release", "Let notices go out again", api_ops.Outbound, api_ops.release_all, api_ops.ReleaseBody),
    (
        "/feeds/{feed}/import",
        "Take over open tickets of a store",
        api_import.Imported,
        api_import.import_page,
        api_import.ImportBody,
    ),
    ("/reload", "Bring a changed configuration into force", api_ops.InForce, api_ops.reload, Nothing),
    ("/tokens", "Make a token", api_tokens.MadeToken, api_tokens.token_create, api_tokens.NewToken),
    ("/tokens/{token}/revoke", "End a token", api_tokens.TokenList, api_tokens.token_revoke, Nothing),
)

ROUTES: Sequence[Route] = (
    Route(method="GET", path="/openapi.json", summary="This description", scope=None, answer=None, reads=document),
    *(
        Route(method="GET", path=path, summary=summary, scope="read", answer=answer, reads=reads, query=query)
        for path, summary, answer, reads, query in _READS
    ),
    Route(method="POST", path="/tickets", summary="Register a ticket for somebody", scope="reply", status=201,
          answer=api_models.TicketState, writes=api_acts.register, body=api_asked.NewTicket),
    *(
        Route(method="POST", path=f"{_TICKET}/{act.path}", summary=act.summary, scope="reply",
              answer=api_models.TicketState, writes=api_acts.writer(act), body=act.body)
        for act in api_acts.ACTS
    ),
    Route(method="GET", path="/incidents", summary="List known incidents", scope="reply",
          answer=api_incidents.IncidentPage, reads=api_incidents.listing, query=api_incidents.IncidentQuery),
    Route(method="GET", path="/incidents/{incident}", summary="Show a known incident", scope="reply",
          answer=api_incidents.IncidentDetail, reads=api_incidents.one),
    Route(method="POST", path="/incidents", summary="Open a known incident", scope="reply", status=201,
          answer=api_incidents.IncidentDetail, writes=api_incidents.create, body=api_incidents.NewIncident),
    Route(method="POST", path="/incidents/{incident}/close", summary="Close it and tell who waits", scope="reply",
          answer=api_incidents.IncidentDetail, writes=api_incidents.close, body=api_incidents.Over),
    *(
        Route(method="GET", path=path, summary=summary, scope="reply", answer=api_contacts.ContactDetail, reads=reads,
              query=query, whole=True)
        for path, summary, reads, query in (
            ("/contacts", "Find a contact by an identity", api_contacts.find, api_contacts.ContactQuery),
            (_CONTACT, "Show a contact", api_contacts.one, Nothing),
        )
    ),
    Route(method="POST", path=f"{_CONTACT}/links", summary="Make a one-time link for a contact", scope="reply",
          status=201, answer=api_contacts.OneTimeLink, writes=api_contacts.invite, body=api_contacts.NewLink,
          once=frozenset({"url"}), whole=True),
    Route(method="POST", path=f"{_CONTACT}/identities", summary="Give a contact an identity", scope="reply",
          answer=api_contacts.ContactDetail, writes=api_contacts.link, body=api_contacts.NewIdentity, whole=True),
    Route(method="POST", path="/contacts/phones", summary="Say whether a telephone number is one person's",
          scope="reply", answer=api_contacts.ContactDetail, writes=api_contacts.share, body=api_contacts.SharedPhone,
          whole=True),
    Route(method="POST", path="/contacts/changes/{change}/undo", summary="Take a change of identities back",
          scope="reply", answer=api_contacts.ContactDetail, writes=api_contacts.undo, whole=True),
    *(
        Route(method="GET", path=path, summary=summary, scope="admin", answer=answer, reads=reads, query=query,
              whole=True)
        for path, summary, answer, reads, query in _OPERATOR_READS
    ),
    *(
        Route(method="POST", path=path, summary=summary, scope="admin", answer=answer, writes=writes, whole=True,
              once=frozenset({"token"} & set(answer.model_fields)), body=body)
        for path, summary, answer, writes, body in _OPERATOR_WRITES
    ),
)  # fmt: skip


def routes() -> list[web.RouteDef]:
    """The table for aiohttp."""
    return [web.route(route.method, route.pattern, endpoint(route)) for route in ROUTES]
