"""Alembic revisions of the schema; `gateway.store.migrate` runs them."""
