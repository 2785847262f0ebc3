"""When, by a store's own time, each field of a ticket was changed there last: older news of it is known by that.

Written out and not taken from `gateway.store.schema`, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the column; of what was heard before, the time is not known."""
    op.add_column("feed_link", sa.Column("heard", sa.JSON(), nullable=True))
