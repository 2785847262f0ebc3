"""Feeds: which ticket is which in a store of the desk's, and what still has to be written there.

Written out and not taken from `gateway.store.schema`, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "feed_link",
        sa.Column("feed", sa.String(length=64), nullable=False),
        sa.Column("ticket_id", ID, nullable=False),
        sa.Column("ref", sa.String(length=255), nullable=True),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.Column("url", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.String(length=12), server_default="wanted", nullable=False),
        sa.Column("into", sa.String(length=255), nullable=True),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"]),
        sa.PrimaryKeyConstraint("feed", "ticket_id"),
        sa.UniqueConstraint("feed", "ref", name="feed_link_ref"),
    )
    op.create_index("feed_link_ticket", "feed_link", ["ticket_id"])
    op.create_index("feed_link_number", "feed_link", ["number"])
    op.create_index("feed_link_into", "feed_link", ["feed", "into"])
    op.create_table(
        "feed_write",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("feed", sa.String(length=64), nullable=False),
        sa.Column("ticket_id", ID, nullable=False),
        sa.Column("key", sa.String(length=190), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("message_id", ID, nullable=True),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=True),
        sa.Column("state", sa.String(length=12), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("uncertain", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("sending_at", sa.BigInteger(), nullable=True),
        sa.Column("first_sending_at", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"]),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("feed", "key", name="feed_write_key"),
    )
    op.create_index("feed_write_lane", "feed_write", ["feed", "ticket_id", "id"])
    is_open = sa.text("state IN ('waiting', 'sending', 'refused', 'dead')")
    op.create_index("feed_write_open", "feed_write", ["feed", "due_at"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("feed_write_message", "feed_write", ["message_id"])
    op.create_index("feed_write_ticket", "feed_write", ["ticket_id"])
