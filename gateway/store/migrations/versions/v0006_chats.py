"""Chats: conversations, edits and albums, media by reference, unverified requests, dialogs, proofs, consent.

Written out and not taken from `gateway.store.schema`, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _columns() -> None:
    op.add_column("ticket", sa.Column("conversation", sa.JSON(), nullable=True))
    op.add_column("message", sa.Column("external_key", sa.String(length=255), nullable=True))
    op.add_column("message", sa.Column("group_key", sa.String(length=255), nullable=True))
    op.add_column("message", sa.Column("edited_at", sa.BigInteger(), nullable=True))
    op.create_index("message_external", "message", ["external_key"], unique=False)
    op.create_index("message_group", "message", ["group_key"], unique=False)
    op.add_column("attachment", sa.Column("transcript", sa.Text(), nullable=True))
    op.add_column("outbox", sa.Column("destination", sa.JSON(), nullable=True))
    op.add_column("outbox", sa.Column("act", sa.String(length=8), server_default="send", nullable=False))
    op.add_column("outbox", sa.Column("target", sa.String(length=255), server_default="", nullable=False))
    op.add_column("outbox", sa.Column("part", sa.Integer(), server_default="0", nullable=False))


def _media() -> None:
    op.create_table(
        "media",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("attachment_id", ID, nullable=False),
        sa.Column("ticket_id", ID, nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["attachment_id"], ["attachment.id"]),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("attachment_id"),
    )
    unsettled = sa.text("state IN ('waiting', 'fetching')")
    op.create_index("media_due", "media", ["due_at"], unique=False, sqlite_where=unsettled, postgresql_where=unsettled)


def _unverified() -> None:
    op.create_table(
        "unverified",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("unverified_account", "unverified", ["channel", "account", "at"], unique=False)


def _dialogs() -> None:
    op.create_table(
        "dialog",
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("peer", sa.String(length=320), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("entry_id", ID, nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"]),
        sa.PrimaryKeyConstraint("channel", "account", "peer"),
    )
    op.create_table(
        "consent",
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("endpoint", sa.String(length=64), nullable=False),
        sa.Column("peer", sa.String(length=320), nullable=False),
        sa.Column("wish", sa.String(length=8), nullable=False),
        sa.Column("how", sa.String(length=24), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "endpoint", "peer"),
    )


def _people() -> None:
    op.create_table(
        "proof",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("asked_by", sa.String(length=320), server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"]),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index("proof_contact", "proof", ["contact_id"], unique=False)
    op.create_table(
        "identity_change",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("value", sa.String(length=320), nullable=False),
        sa.Column("from_contact", ID, nullable=False),
        sa.Column("to_contact", ID, nullable=False),
        sa.Column("how", sa.String(length=24), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["from_contact"], ["contact.id"]),
        sa.ForeignKeyConstraint(["to_contact"], ["contact.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("identity_change_identity", "identity_change", ["kind", "value"], unique=False)


def upgrade() -> None:
    """Add the columns, make the tables."""
    _columns()
    _media()
    _unverified()
    _dialogs()
    _people()
