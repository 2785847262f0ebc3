"""Which database a URL names, told without loading the driver of PostgreSQL: a desk on SQLite never needs it."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from gateway.store.dialect import UnsafeDatabase


def parsed(url: str) -> URL:
    """The parts of a URL. Raises UnsafeDatabase for what is none; nothing of it is quoted: it may hold a password."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        found = None
    # Of `user:p@ss@host` an at sign stays in the host, which errors of the driver would name.
    if found is None or "@" in (found.host or ""):
        raise UnsafeDatabase(
            "database.url: cannot be read; write postgresql://user:password@host:5432/name, in a password %40 for @, "
            "%3A for : and %2F for /"
        ) from None
    return found


def is_postgres_url(url: str) -> bool:
    """Does the URL name a PostgreSQL database? Raises UnsafeDatabase for one that is no URL or a driver not ours."""
    found = parsed(url)
    if found.get_backend_name() != "postgresql":
        return False
    if found.drivername not in ("postgresql", "postgresql+psycopg"):
        raise UnsafeDatabase(f"database.url: write postgresql+psycopg://, not {found.drivername}://")
    return True


def driver_url(url: str) -> URL:
    """The URL with our driver named. Raises UnsafeDatabase."""
    return parsed(url).set(drivername="postgresql+psycopg")


def wrong_in_a_file(url: str) -> str:
    """Why this URL cannot stand in a configuration file; "" when it can."""
    try:
        postgres = is_postgres_url(url)
    except UnsafeDatabase as error:
        return str(error).removeprefix("database.url: ")
    found = parsed(url)
    if not postgres and found.get_backend_name() != "sqlite":
        return f"{found.get_backend_name()} is no kind of database here; write postgresql:// or sqlite:////path"
    if found.password is not None or "password" in found.query:
        return "a password does not stand in a file; write env:NAME or file:PATH, which holds the whole URL"
    return ""
