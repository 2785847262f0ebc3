"""The tables that say how people are reached, beside `contact` and `identity` of `schema`."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, String, Table, Text

from gateway.store.schema_base import Instant, metadata

unreachable = Table(
    "unreachable",  # nothing arrives at this identity by this channel; by another one it may
    metadata,
    Column("kind", String(20), primary_key=True),
    Column("value", String(320), primary_key=True),
    Column("channel", String(20), primary_key=True),
    Column("why", Text, nullable=False),
    Column("at", Instant, nullable=False),
    ForeignKeyConstraint(["kind", "value"], ["identity.kind", "identity.value"]),
)

phone_fact = Table(
    "phone_fact",  # what is known of a telephone number, beside what the policy and the number itself say
    metadata,
    Column("value", String(320), primary_key=True),
    Column("shared", Boolean, nullable=False),  # false: staff say that it is one person's
    Column("why", String(24), nullable=False),  # staff, two contacts, no mobile
    Column("actor", Text, nullable=False),
    Column("at", Instant, nullable=False),
)
