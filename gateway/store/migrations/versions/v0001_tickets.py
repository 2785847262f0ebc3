"""What comes in: journal, people, tickets.

Written out and not taken from `gateway.store.schema`, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _contact() -> None:
    op.create_table(
        "contact",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("language", sa.String(length=8), nullable=True),
        sa.Column("no_surveys", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _conversation() -> None:
    op.create_table(
        "conversation",
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("peer", sa.String(length=320), nullable=False),
        sa.Column("ticket_id", ID, nullable=True),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("last_digest", sa.String(length=64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("channel", "account", "peer"),
    )


def _cursor() -> None:
    op.create_table(
        "cursor",
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "account", "name"),
    )


def _entry() -> None:
    op.create_table(
        "entry",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=32), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("dedupe", sa.LargeBinary(length=32), nullable=False),
        sa.Column("variant", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("blob", sa.String(length=64), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=12), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reroute", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("notify", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("alone", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.Column("processed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dedupe"),
    )
    op.create_index("entry_blob", "entry", ["blob"], unique=False)
    op.create_index(
        "entry_blob_age",
        "entry",
        ["accepted_at"],
        unique=False,
        sqlite_where=sa.text("blob IS NOT NULL"),
        postgresql_where=sa.text("blob IS NOT NULL"),
    )
    op.create_index("entry_external", "entry", ["channel", "external_id"], unique=False)
    op.create_index(
        "entry_pending",
        "entry",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "entry_quarantined",
        "entry",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'quarantined'"),
        postgresql_where=sa.text("state = 'quarantined'"),
    )


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("entry_id", ID, nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["entry.id"],
        ),
        sa.PrimaryKeyConstraint("entry_id", "account", "recipient"),
    )


def _identity() -> None:
    op.create_table(
        "identity",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("value", sa.String(length=320), nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("unreachable_at", sa.BigInteger(), nullable=True),
        sa.Column("unreachable_why", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["contact.id"],
        ),
        sa.PrimaryKeyConstraint("kind", "value"),
    )
    op.create_index("identity_contact", "identity", ["contact_id"], unique=False)


def _raw() -> None:
    op.create_table(
        "raw",
        sa.Column("entry_id", ID, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["entry.id"],
        ),
        sa.PrimaryKeyConstraint("entry_id"),
    )


def _ticket() -> None:
    op.create_table(
        "ticket",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("number", sa.String(length=16), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("entry_id", ID, nullable=True),
        sa.Column("requester_id", ID, nullable=False),
        sa.Column("requester", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("class", sa.Integer(), nullable=True),
        sa.Column("proposed_class", sa.Integer(), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("line", sa.String(length=2), nullable=False),
        sa.Column("proposed_line", sa.String(length=2), nullable=True),
        sa.Column("onsite", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("visit", sa.JSON(), nullable=True),
        sa.Column("contract", sa.String(length=64), nullable=True),
        sa.Column("assignee", sa.String(length=64), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("reaction_due", sa.BigInteger(), nullable=True),
        sa.Column("reaction_met_at", sa.BigInteger(), nullable=True),
        sa.Column("resolution_due", sa.BigInteger(), nullable=True),
        sa.Column("deadline_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("resolutions", sa.Integer(), server_default="0", nullable=False),
        sa.Column("because", sa.JSON(), nullable=False),
        sa.Column("related", sa.JSON(), nullable=True),
        sa.Column("registered_by", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["entry.id"],
        ),
        sa.ForeignKeyConstraint(
            ["requester_id"],
            ["contact.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
    )
    op.create_index("ticket_assignee", "ticket", ["assignee", "id"], unique=False)
    op.create_index("ticket_channel", "ticket", ["channel", "id"], unique=False)
    op.create_index("ticket_contact", "ticket", ["requester_id", "id"], unique=False)
    op.create_index("ticket_contract", "ticket", ["contract", "id"], unique=False)
    op.create_index("ticket_entry", "ticket", ["entry_id"], unique=True)
    op.create_index("ticket_line", "ticket", ["line", "id"], unique=False)
    op.create_index("ticket_requester", "ticket", ["requester", "id"], unique=False)
    op.create_index("ticket_status", "ticket", ["status", "id"], unique=False)
    op.create_index("ticket_updated", "ticket", ["updated_at", "id"], unique=False)


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("ticket_id", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=True),
        sa.ForeignKeyConstraint(
            ["ticket_id"],
            ["ticket.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("event_ticket", "event", ["ticket_id", "id"], unique=False)


def _message() -> None:
    op.create_table(
        "message",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("ticket_id", ID, nullable=False),
        sa.Column("entry_id", ID, nullable=True),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("current", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("outbox_id", ID, nullable=True),
        sa.Column("direction", sa.String(length=4), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("author_name", sa.Text(), server_default="", nullable=False),
        sa.Column("verified", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("visible_text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), server_default="", nullable=False),
        sa.Column("language", sa.String(length=8), server_default="", nullable=False),
        sa.Column("sha256", sa.String(length=64), server_default="", nullable=False),
        sa.Column("oddities", sa.JSON(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["entry.id"],
        ),
        sa.ForeignKeyConstraint(
            ["ticket_id"],
            ["ticket.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("entry_id", "generation", name="message_revision"),
    )
    op.create_index("message_ticket", "message", ["ticket_id", "id"], unique=False)


def _participant() -> None:
    op.create_table(
        "participant",
        sa.Column("ticket_id", ID, nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_id"],
            ["ticket.id"],
        ),
        sa.PrimaryKeyConstraint("ticket_id", "address"),
    )


def _thread_key() -> None:
    op.create_table(
        "thread_key",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("ticket_id", ID, nullable=False),
        sa.Column("issued", sa.Boolean(), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=True),
        sa.ForeignKeyConstraint(
            ["ticket_id"],
            ["ticket.id"],
        ),
        sa.PrimaryKeyConstraint("kind", "value"),
    )
    op.create_index("thread_key_ticket", "thread_key", ["ticket_id"], unique=False)


def _attachment() -> None:
    op.create_table(
        "attachment",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("message_id", ID, nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("content_type", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("inline", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("content_id", sa.Text(), server_default="", nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("blob", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=12), server_default="here", nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("attachment_blob", "attachment", ["blob"], unique=False)
    op.create_index("attachment_message", "attachment", ["message_id"], unique=False)


def upgrade() -> None:
    """Make the tables."""
    _contact()
    _conversation()
    _cursor()
    _entry()
    _delivery()
    _identity()
    _raw()
    _ticket()
    _event()
    _message()
    _participant()
    _thread_key()
    _attachment()
