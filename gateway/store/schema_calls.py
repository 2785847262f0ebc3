"""The tables of telephone calls."""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from gateway.store.schema_base import ID, Instant, id_column, metadata

call = Table(
    "call",  # a telephone call: where it stands, and what it left behind
    metadata,
    id_column(),
    Column("channel", String(20), nullable=False),
    Column("account", String(64), nullable=False),
    Column("call", String(64), nullable=False),  # the provider's id
    Column("caller", String(320), nullable=False),  # "hidden:<call>" where the network does not say
    Column("called", String(320), nullable=False),
    Column("state", JSON, nullable=False),  # gateway.dialogs.ivr_states.State
    Column("step", Integer, nullable=False),  # answers given so far; -1: nothing was asked in it yet
    Column("ticket_id", ID, ForeignKey("ticket.id")),
    # ticket, put_through, no_ticket_needed, or why there is none; "" while it goes on
    Column("outcome", String(24), nullable=False),
    Column("begun_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("seconds", Integer, nullable=False),
    Column("entry_id", ID),  # the journal's first word of it
    Column("recalled_at", Instant),  # when the provider was asked what became of it; NULL: it was not
    UniqueConstraint("channel", "account", "call"),
)
Index("call_ticket", call.c.ticket_id)
Index("call_begun", call.c.channel, call.c.account, call.c.begun_at)

call_step = Table(
    "call_step",  # what a request was answered: a repeat gets the same
    metadata,
    Column("call_id", ID, ForeignKey("call.id"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("answer", JSON, nullable=False),
    Column("at", Instant, nullable=False),
)

call_recording = Table(
    "call_recording",  # what was recorded in a call, each once, whoever tells us of it first
    metadata,
    Column("call_id", ID, ForeignKey("call.id"), primary_key=True),
    Column("recording", String(64), primary_key=True),
    Column("source", Text, nullable=False),
    Column("seconds", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("message_id", ID),  # where it was put
    Column("attachment_id", ID),  # its file; NULL: nobody told us where it is
    Column("transcript", Text),  # what the provider wrote down; "": it could not
)

erasure = Table(
    "erasure",  # files that are here and still have to be deleted at the far side
    metadata,
    id_column(),
    Column("channel", String(20), nullable=False),
    Column("account", String(64), nullable=False),
    Column("source", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("detail", Text, nullable=False),  # why the last try failed
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("channel", "account", "source"),
)
Index("erasure_due", erasure.c.channel, erasure.c.account, erasure.c.due_at)
