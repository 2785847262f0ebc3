"""kill -9 while a bot is told things: what is done and said is what an undisturbed run does and says."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from gateway.store import schema
from gateway.store.database import migrate
from tests import ready
from tests.gateway.bot_child import PEOPLE, SAID

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(480)  # three runs of a process, each of which is waited for
KEPT: dict[str, tuple[Any, ...]] = {
    "outbox": (schema.outbox.c.template, schema.outbox.c.recipient, schema.outbox.c.language),
    "dialog": (schema.dialog.c.peer, schema.dialog.c.entry_id),
    "consent": (schema.consent.c.peer, schema.consent.c.wish),
    "proof": (schema.proof.c.asked_by, schema.proof.c.attempts),
    "contact": (schema.contact.c.language,),
    "message": (schema.message.c.sha256, schema.message.c.direction),
    "entry": (schema.entry.c.sha256, schema.entry.c.state),
}


def tell(folder: Path, url: str, date: int, *bomb: str) -> int:
    """Run the child; its return code."""
    command = ["-m", "tests.gateway.bot_child", str(folder), url, str(date), *bomb]
    return ready.run(*command, timeout=100).returncode


def outcome(url: str) -> dict[str, list[Any]]:
    """What is there at the end, without times."""
    engine = create_engine(url)
    try:
        with engine.connect() as conn:
            return {name: sorted(map(repr, conn.execute(select(*columns)))) for name, columns in KEPT.items()}
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, list[Any]]]:
    """The date of the messages, and what they come to."""
    folder, date = tmp_path_factory.mktemp("bot"), int(time.time())
    url = f"sqlite:///{folder / 'gateway.db'}"
    migrate(url, backup_to=folder / "backups")
    assert tell(folder, url, date) == 0
    return date, outcome(url)


@pytest.mark.parametrize(("point", "count"), [("before-commit", 2), ("filed-unreported", 1)])
def test_everything_is_done_and_said_once(
    undisturbed: tuple[int, dict[str, list[Any]]], db_url: str, tmp_path: Path, point: str, count: int
) -> None:
    date, expected = undisturbed
    assert tell(tmp_path, db_url, date, point, str(count)) == -signal.SIGKILL
    assert tell(tmp_path, db_url, date) == 0
    found = outcome(db_url)
    assert len(found["entry"]) == len(PEOPLE) * len(SAID)
    for name in KEPT:
        assert found[name] == expected[name], name
