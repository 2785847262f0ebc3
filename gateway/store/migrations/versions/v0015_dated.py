"""What the Date of a mail says: tells two mails with one Message-ID apart.

Written out and not taken from `gateway.store.schema`, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the column; of what was filed before, the date is not known."""
    op.add_column("message", sa.Column("dated", sa.BigInteger(), nullable=True))
