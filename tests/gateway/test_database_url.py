"""A database URL that cannot be is told of before anything uses it, and nothing of it is quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings_files import load_settings
from gateway.store.dialect import UnsafeDatabase
from gateway.store.postgres_url import driver_url
from tests.gateway.cli.running import gateway

ROOT = Path(__file__).parents[2]
UNREADABLE = (
    "postgresql://desk:hunter@2:x@db.example:5432/gateway",
    "postgresql://desk:hunter@2x@db.example/gateway",
    "postgresql://desk:hunter2@db.example:port/gateway",
    "hunter2",
)


@pytest.mark.parametrize("url", UNREADABLE)
def test_one_that_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(UnsafeDatabase, match=r"%40 for @") as refused:
        driver_url(url)
    assert not any(part in str(refused.value) for part in ("hunter", "2x", "x@", "db.example"))
    assert refused.value.__suppress_context__, "a traceback would quote it"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        *((url, "cannot be read") for url in UNREADABLE),
        ("postgresql://desk:hunter2@db.example/gateway", "write env:NAME or file:PATH"),
        ("postgresql://desk@db.example/gateway?password=hunter2", "write env:NAME or file:PATH"),
        ("mysql://db.example/gateway", "mysql is no kind of database here"),
        ("postgresql+asyncpg://db.example/gateway", "write postgresql+psycopg://"),
    ],
)
def test_a_wrong_one_is_a_fault_of_the_configuration(url: str, why: str) -> None:
    _, problems = load_settings(ROOT / "config", overrides=(f"database.url={url}",))
    (told,) = map(str, problems)
    assert why in told and "database.url" in told and "hunter" not in told.replace(url, "")


@pytest.mark.parametrize(
    "url", ["", "env:NOWHERE", "postgresql://desk@db.example/gateway", "sqlite:////srv/gateway/gateway.db"]
)
def test_a_good_one_is_none(url: str) -> None:
    _, problems = load_settings(ROOT / "config", overrides=(f"database.url={url}",))
    assert problems == []


@pytest.mark.parametrize(
    "words", [("check", "--online"), ("backup", "copy"), ("journal", "export", "mail"), ("restore", "none")]
)
def test_no_command_quotes_one_from_the_environment(words: tuple[str, ...], tmp_path: Path) -> None:
    target = [str(tmp_path / word) if word in ("copy", "mail", "none") else word for word in words]
    given = {"GATEWAY__DATABASE__URL": "env:DESK_DATABASE", "DESK_DATABASE": UNREADABLE[0]}
    done = gateway(*target, var=tmp_path / "var", code=1, **given)
    assert "cannot be read" in done.stdout + done.stderr
    assert "hunter" not in done.stdout + done.stderr and "Traceback" not in done.stderr
