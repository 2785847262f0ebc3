"""The tables that several nodes at one database need beside those of `schema`."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from gateway.store.schema_base import Instant, metadata

lease = Table(
    "lease",  # what one node at a time may do; `until` is by the database's clock
    metadata,
    Column("name", String(160), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("until", Instant, nullable=False),
    Column("trouble", JSON(none_as_null=True)),  # of a node: what is wrong with it alone, name -> reason
)

blob = Table(
    "blob",  # big bodies and attachments where several nodes must read them; else they are files
    metadata,
    Column("name", String(64), primary_key=True),  # SHA-256
    Column("size", BigInteger, nullable=False),
    Column("touched_at", Instant, nullable=False),  # by the database's clock
)
Index("blob_touched", blob.c.touched_at)

blob_content = Table(
    "blob_content",
    metadata,
    Column("name", String(64), ForeignKey("blob.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
