"""Reachability by channel instead of by identity, and what is known of telephone numbers.

Written out and not taken from `gateway.store.schema`, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the tables, carry the marks over, and drop the columns that they stood in."""
    op.create_table(
        "unreachable",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("value", sa.String(length=320), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["kind", "value"], ["identity.kind", "identity.value"]),
        sa.PrimaryKeyConstraint("kind", "value", "channel"),
    )
    op.create_table(
        "phone_fact",
        sa.Column("value", sa.String(length=320), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("why", sa.String(length=24), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("value"),
    )
    # A telephone was marked by what became of text messages.
    op.execute(
        "INSERT INTO unreachable (kind, value, channel, why, at) "
        "SELECT kind, value, CASE kind WHEN 'phone' THEN 'sms' ELSE kind END, unreachable_why, unreachable_at "
        "FROM identity WHERE unreachable_at IS NOT NULL"
    )
    op.drop_column("identity", "unreachable_at")
    op.drop_column("identity", "unreachable_why")
