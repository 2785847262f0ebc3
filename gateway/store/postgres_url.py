"""Which database a URL names, told without loading the driver of PostgreSQL: a desk on SQLite never needs it."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url

from gateway.store.dialect import UnsafeDatabase


def is_postgres_url(url: str) -> bool:
    """Does the URL name a PostgreSQL database? Raises UnsafeDatabase for a driver that is not ours."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        return False
    if parsed.drivername not in ("postgresql", "postgresql+psycopg"):
        raise UnsafeDatabase(f"database.url: write postgresql+psycopg://, not {parsed.drivername}://")
    return True


def driver_url(url: str) -> URL:
    """The URL with our driver named."""
    return make_url(url).set(drivername="postgresql+psycopg")
