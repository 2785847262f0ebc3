"""The tables of feeds: which ticket is which in a store of the desk's, and what still has to be written there."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint, text

from gateway.store.schema_base import ID, Instant, id_column, metadata

feed_link = Table(
    "feed_link",  # a ticket's place in a store; made when its first write is queued, and never moved to another store
    metadata,
    Column("feed", String(64), primary_key=True),
    Column("ticket_id", ID, ForeignKey("ticket.id"), primary_key=True),
    Column("ref", String(255)),  # what the store's interface calls it; NULL until it is there
    Column("number", String(64)),  # what people type
    Column("url", Text, nullable=False, server_default=""),
    # wanted -> linked -> merged (a part of the ticket `into`) | vanished
    Column("state", String(12), nullable=False, server_default="wanted"),
    Column("into", String(255)),
    Column("told", JSON, nullable=False),  # field -> the value on which both sides agreed last
    Column("created_at", Instant, nullable=False),
    Column("heard", JSON),  # field -> when it was changed there last, of what is applied, by the store's own time
    UniqueConstraint("feed", "ref", name="feed_link_ref"),
)
Index("feed_link_ticket", feed_link.c.ticket_id)
Index("feed_link_number", feed_link.c.number)
Index("feed_link_into", feed_link.c.feed, feed_link.c.into)

feed_write = Table(
    "feed_write",  # what a store still has to be told, and what became of it; in order within feed + ticket (rule 13)
    metadata,
    id_column(),
    Column("feed", String(64), nullable=False),
    Column("ticket_id", ID, ForeignKey("ticket.id"), nullable=False),
    Column("key", String(190), nullable=False),  # the effect happens once: "open:<ticket>", "say:<message>" …
    Column("kind", String(8), nullable=False),  # open say file alter
    Column("message_id", ID, ForeignKey("message.id")),
    Column("fields", JSON, nullable=False),  # of an alter: field -> the value that it was queued for
    Column("files", JSON),  # attachments that went with it
    # waiting sending done refused dead skipped
    Column("state", String(12), nullable=False, server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("uncertain", Boolean, nullable=False, server_default=text("false")),  # ask the store before a repeat
    Column("owner", String(64)),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("sending_at", Instant),
    Column("first_sending_at", Instant),
    Column("settled_at", Instant),
    Column("detail", Text, nullable=False, server_default=""),
    UniqueConstraint("feed", "key", name="feed_write_key"),
)
_OPEN = feed_write.c.state.in_(["waiting", "sending", "refused", "dead"])
Index("feed_write_lane", feed_write.c.feed, feed_write.c.ticket_id, feed_write.c.id)
Index("feed_write_open", feed_write.c.feed, feed_write.c.due_at, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("feed_write_message", feed_write.c.message_id)
Index("feed_write_ticket", feed_write.c.ticket_id)
