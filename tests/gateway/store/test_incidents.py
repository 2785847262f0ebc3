"""Open incidents and the tickets tied to them, as every new ticket asks for them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from gateway.store import incidents, people, tickets

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


def test_only_open_incidents_are_found_the_newest_first(conn: Connection) -> None:
    texts, words = {"uk": "Пошта стоїть", "en": "Mail is down"}, ["mail down"]
    older, newer = (
        incidents.add(conn, texts=texts, contracts=[], classes=[3], words=words, actor="agent:olha", now=NOW).id
        for _ in range(2)
    )
    contact = people.contact_for(conn, "mail", "ann@client.example", "Ann", NOW)
    ticket = tickets.open_ticket(
        conn, channel="mail", account="support", requester_id=contact, requester="ann@client.example",
        requester_name="Ann", subject="", language="en", opened_at=NOW, now=NOW,
    )  # fmt: skip
    assert incidents.open_of(conn, ticket) is None
    assert incidents.link(conn, older, ticket, silent="", now=NOW)
    found = incidents.open_of(conn, ticket)
    assert found is not None
    assert (found.id, found.texts, found.classes, found.opened_at) == (older, texts, [3], NOW)
    assert [row.id for row in incidents.open_ones(conn)] == [newer, older]
    assert incidents.end(conn, older, outcome={}, actor="agent:olha", now=NOW)
    assert [row.id for row in incidents.open_ones(conn)] == [newer]
    assert incidents.open_of(conn, ticket) is None
