"""Calls of which nobody told us the end: when the provider was asked.

Written out and not taken from `gateway.store.schema`, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the column, and find young calls by account."""
    op.add_column("call", sa.Column("recalled_at", sa.BigInteger(), nullable=True))
    op.create_index("call_begun", "call", ["channel", "account", "begun_at"])
