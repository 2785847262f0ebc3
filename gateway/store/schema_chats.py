"""The tables that chats, text messages and telephones need beside those of `schema`."""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from gateway.store.schema_base import ID, Instant, id_column, metadata

media = Table(
    "media",  # attachments that are still at the far side (rule 10): one row each, fetched after the commit
    metadata,
    id_column(),
    Column("attachment_id", ID, ForeignKey("attachment.id"), nullable=False, unique=True),
    Column("ticket_id", ID, ForeignKey("ticket.id"), nullable=False),
    Column("channel", String(20), nullable=False),
    Column("account", String(64), nullable=False),
    Column("source", Text, nullable=False),  # what the channel's Fetcher needs
    # waiting -> fetching -> here | failed
    Column("state", String(12), nullable=False, server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("settled_at", Instant),
    Column("owner", String(64)),
    Column("detail", Text, nullable=False, server_default=""),
)
_DUE = media.c.state.in_(["waiting", "fetching"])
Index("media_due", media.c.due_at, sqlite_where=_DUE, postgresql_where=_DUE)

unverified = Table(
    "unverified",  # requests whose signature did not fit: never acted on, kept for a while (rule 5)
    metadata,
    id_column(),
    Column("channel", String(20), nullable=False),
    Column("account", String(64), nullable=False),
    Column("method", String(8), nullable=False),
    Column("path", Text, nullable=False),  # raw path and query, as signed
    Column("headers", JSON, nullable=False),  # those that the check needs
    Column("body", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Instant, nullable=False),
)
Index("unverified_account", unverified.c.channel, unverified.c.account, unverified.c.at)

dialog = Table(
    "dialog",  # where a conversation with a menu stands: bot commands, a telephone call
    metadata,
    Column("channel", String(20), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("peer", String(320), primary_key=True),
    Column("state", JSON, nullable=False),
    Column("entry_id", ID, ForeignKey("entry.id")),  # the step that made this state
    Column("updated_at", Instant, nullable=False),
)

proof = Table(
    "proof",  # a one-time token or code that shows that two identities are one person's
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("kind", String(12), nullable=False),  # link: a deep link; code: digits sent to the other identity
    Column("contact_id", ID, ForeignKey("contact.id"), nullable=False),  # whom it links to
    Column("asked_by", String(320), nullable=False, server_default=""),  # identity that asked: only it may use it
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
)
Index("proof_contact", proof.c.contact_id)

identity_change = Table(
    "identity_change",  # which identity went from which contact to which, and why: what undoing needs
    metadata,
    id_column(),
    Column("kind", String(20), nullable=False),
    Column("value", String(320), nullable=False),
    Column("from_contact", ID, ForeignKey("contact.id"), nullable=False),
    Column("to_contact", ID, ForeignKey("contact.id"), nullable=False),
    Column("how", String(24), nullable=False),  # deep link, shared contact, code, staff
    Column("actor", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("undone_at", Instant),
)
Index("identity_change_identity", identity_change.c.kind, identity_change.c.value)

consent = Table(
    "consent",  # whether a person's number wants messages from a number of ours
    metadata,
    Column("channel", String(20), primary_key=True),
    Column("endpoint", String(64), primary_key=True),  # ours
    Column("peer", String(320), primary_key=True),
    Column("wish", String(8), nullable=False),  # stop, start
    Column("how", String(24), nullable=False),  # word, button, key, far side
    Column("at", Instant, nullable=False),
)

send_status = Table(
    "send_status",  # how far a message of ours has got, where the far side reports it; one row each, never going back
    metadata,
    Column("external_key", String(255), primary_key=True),
    Column("outbox_id", ID, ForeignKey("outbox.id"), nullable=False),
    Column("channel", String(20), nullable=False),
    Column("account", String(64), nullable=False),
    Column("state", String(12), nullable=False),  # normalizer.message.SendState
    Column("verdict", String(12), nullable=False),  # normalizer.message.Verdict
    Column("detail", Text, nullable=False),
    Column("at", Instant, nullable=False),
)
Index("send_status_outbox", send_status.c.outbox_id)
Index("send_status_at", send_status.c.at)
