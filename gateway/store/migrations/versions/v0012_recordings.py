"""Recordings of calls: where they were put, what the provider wrote down, and files to delete at the far side.

Written out and not taken from `gateway.store.schema`, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("call", sa.Column("entry_id", ID, nullable=True))
    op.add_column("call_recording", sa.Column("message_id", ID, nullable=True))
    op.add_column("call_recording", sa.Column("attachment_id", ID, nullable=True))
    op.add_column("call_recording", sa.Column("transcript", sa.Text(), nullable=True))
    op.create_index("call_ticket", "call", ["ticket_id"])
    op.create_table(
        "erasure",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("channel", "account", "source"),
    )
    op.create_index("erasure_due", "erasure", ["channel", "account", "due_at"])
