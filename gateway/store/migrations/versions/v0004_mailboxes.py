"""The ledger of mailboxes, and secrets that change while the gateway runs.

Written out and not taken from `gateway.store.schema`, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _imap_seen() -> None:
    op.create_table(
        "imap_seen",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("folder", sa.String(length=400), nullable=False),
        sa.Column("uidvalidity", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", ID, nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("quiet", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"]),
        sa.PrimaryKeyConstraint("account", "folder", "uidvalidity", "uid"),
    )
    op.create_index("imap_seen_entry", "imap_seen", ["entry_id"], unique=False)
    unsettled = sa.text("state IN ('filed', 'listed', 'failed')")
    op.create_index(
        "imap_seen_open",
        "imap_seen",
        ["account", "folder", "state"],
        unique=False,
        sqlite_where=unsettled,
        postgresql_where=unsettled,
    )


def _sealed() -> None:
    op.create_table(
        "sealed",
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def upgrade() -> None:
    """Make the tables."""
    _imap_seen()
    _sealed()
