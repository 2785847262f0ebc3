"""Logs carry ids; whatever looks like a person or a secret is blanked on the way out."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import log
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.staffed import served

TOKEN = "gw_01234567_" + "89abcdef" * 5


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging of this process goes here as JSON lines, and back to what it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    captured = io.StringIO()
    log.configure("info", captured)
    yield captured
    root.handlers[:] = handlers
    root.setLevel(level)


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_an_event_and_ids(stream: io.StringIO) -> None:
    log.get_logger("gateway.test").info("filed", entry=7, ticket=12, seconds=0.25, fresh=True)
    (line,) = _lines(stream)
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "filed", "entry": 7, "ticket": 12, "seconds": 0.25, "fresh": True, "level": "info",
        "logger": "gateway.test",
    }  # fmt: skip


@pytest.mark.parametrize(
    "secret",
    ["ann@client.example", "ганна@клієнт.example", TOKEN, f"Bearer {TOKEN}", "+380 44 123-45-67", "/rate/abcdefgh1234",
     "postgresql://gateway:hunter2@db/gateway"],
)  # fmt: skip
def test_what_looks_like_a_person_or_a_secret_is_blanked(stream: io.StringIO, secret: str) -> None:
    logger = log.get_logger("gateway.test")
    logger.info(f"sent to {secret} now", detail=f"<{secret}>", deep={"list": [secret, {"x": secret}]})
    logging.getLogger("some.library").warning("failed for %s", secret)
    core = secret.removeprefix("postgresql://").partition("@db")[0].removeprefix("Bearer ").removeprefix("/rate/")
    assert core not in stream.getvalue()
    assert len(_lines(stream)) == 2


@pytest.mark.parametrize(
    "name", ["body", "subject", "text", "recipient", "requester", "token", "Authorization", "facts"]
)
def test_private_keys_are_hidden_whatever_they_hold(stream: io.StringIO, name: str) -> None:
    log.get_logger("gateway.test").info("x", **{name: "сказане людиною", "deep": {name: ["words"]}})
    (line,) = _lines(stream)
    assert line[name] == line["deep"][name] == log.HIDDEN


def test_an_exception_is_its_type_and_place_without_its_words(stream: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError("cannot parse: Dear support, my password is hunter2")

    try:
        fail()
    except ValueError:
        log.get_logger("gateway.test").exception("boom", entry=7)
    try:
        (Path("/nonexistent-folder") / "x").read_text(encoding="utf-8")
    except OSError as error:
        log.get_logger("gateway.test").error("no file", exc_info=error)
    first, second = _lines(stream)
    assert (first["error"], first["entry"]) == ("ValueError", 7)
    assert first["trace"][-1].startswith("test_log.py:")
    assert first["trace"][-1].endswith(" fail")
    assert (second["error"], second["reason"]) == ("FileNotFoundError", "No such file or directory")
    assert "hunter2" not in stream.getvalue()
    assert "nonexistent" not in stream.getvalue()


def test_long_text_is_cut_and_bytes_are_counted() -> None:
    assert log.clean(b"secret") == "[6 bytes]"
    assert len(str(log.clean("ж" * 10_000))) < 400
    assert log.clean({"a": {"b": {"c": {"d": {"subject": "hunter2"}}}}}) == {"a": {"b": {"c": {"d": "[deep]"}}}}


@given(
    st.recursive(
        st.text() | st.integers() | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_cleaning_takes_anything_and_stays_json(value: object) -> None:
    json.dumps(log.clean(value))


def test_before_it_is_set_up_nothing_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    log.get_logger("gateway.test").info("quiet")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["mail.log", "aiohttp.access", "alembic.runtime.migration", "httpx"])
def test_libraries_that_name_peers_speak_of_errors_only(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).warning("sender: %r", "x")
    logging.getLogger(name).error("broken")
    assert [line["event"] for line in _lines(stream)] == ["broken"]


def test_levels_hold(stream: io.StringIO) -> None:
    log.configure("warning", stream)
    log.get_logger("gateway.test").info("not shown")
    log.get_logger("gateway.test").warning("shown")
    assert [line["event"] for line in _lines(stream)] == ["shown"]


async def test_a_run_of_the_site_logs_no_person_and_no_secret(
    stream: io.StringIO, db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path
) -> None:
    said = "Мій пароль hunter2, подзвоніть на +380441234567"
    async with served(db, blobs, clock, tmp_path) as site:
        ticket, token = await site.ticket(), await site.token()
        await site.post(f"/tickets/{ticket}/reply", token, {"text": said}, key="customer-key-1")
        await site.post(f"/tickets/{ticket}/requester", token, {"address": "bob@client.example"})
        await site.post(f"/tickets/{ticket}/reply", "gw_wrong", {"text": said})
        await site.get("/tickets?requester=ann@client.example", token)
        await site.post("/tokens", token, {"agent": "olena", "scopes": ["read"]})
        await site.get("/rate/abcdefgh12345678")
    text = stream.getvalue()
    assert len(_lines(stream)) >= 6
    assert all(line["route"].startswith(("/", "none")) for line in _lines(stream) if line["event"] == "request")
    for secret in ("hunter2", "380441234567", "@client.example", "olena@", token, "gw_", "customer-key-1", "abcdefgh"):
        assert secret not in text
