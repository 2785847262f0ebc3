"""The commands of staff and operators, against a real server; what they print and how they exit."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from sqlalchemy import Connection, insert

from gateway import cli
from gateway.store import outbox, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import draft
from tests.gateway.staffed import Site, served

Run: TypeAlias = Callable[..., Coroutine[Any, Any, tuple[int, str, str]]]


@pytest.fixture
async def site(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Site]:
    """The site, with the files by which the commands find it."""
    async with served(db, blobs, clock, tmp_path) as running:
        address = running.url.removeprefix("http://")
        (tmp_path / "listening.json").write_text(json.dumps({"http": address}), encoding="utf-8")
        (tmp_path / "token").write_text(await running.token() + "\n", encoding="ascii")
        yield running


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command as a terminal would: (exit code, stdout, stderr)."""

    def call(*words: str) -> int:
        try:
            cli.main([*words, "--var", str(tmp_path)])
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    async def runner(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(call, *words)
        said = capsys.readouterr()
        return code, said.out, said.err

    yield runner


async def _number(site: Site, ticket: int) -> str:
    return str((await site.get(f"/tickets/{ticket}", await site.token()))[1]["number"])


async def test_a_ticket_is_worked_on_from_the_terminal(site: Site, run: Run, tmp_path: Path) -> None:
    number = await _number(site, await site.ticket(proposed_class=4, proposed_line="L2"))
    log = tmp_path / "журнал.txt"
    log.write_text("log", encoding="utf-8")
    steps: list[tuple[str, ...]] = [
        ("accept", number),
        ("assign", number, "pavlo"),
        ("note", number, "looking"),
        ("ask", number, "Який кабінет?"),
        ("status", number, "open"),
        ("line", number, "L3", "needs a developer"),
        ("class", number, "none"),
        ("class", number, "5"),
        ("contract", number, "acme"),
        ("onsite", number),
        ("visit", number, "2026-03-03T09:00:00Z", "2026-03-03T10:00:00Z"),
        ("requester", number, "bob@client.example", "--name", "Bob"),
        ("reply", f"#{number}", "Готово", "--attach", str(log)),
        ("resolve", number, "Картридж замінено"),
        ("survey", number),
        ("close", number),
    ]
    for step in steps:
        code, out, err = await run("tickets", *step)
        assert (code, err) == (0, ""), step
        assert out.startswith(f"#{number} "), step
    code, out, _ = await run("tickets", "show", number)
    for part in (
        "closed, class 5, L3 on site, contract acme",
        "Bob <bob@client.example> by mail",
        "pavlo",
        "Готово",
        "журнал.txt (3 bytes)",
        "## ",
    ):
        assert part in out
    code, out, _ = await run("tickets", "events", number, "--json")
    assert len(json.loads(out)["items"]) == 18
    code, out, _ = await run("tickets", "download", number, "1", str(tmp_path / "copy.txt"))
    assert (code, (tmp_path / "copy.txt").read_text(encoding="utf-8")) == (0, "log")
    code, _, err = await run("tickets", "download", number, "1", str(tmp_path / "copy.txt"))
    assert code == 1
    assert "exists" in err


async def test_the_list_shows_numbers_and_pages(site: Site, run: Run) -> None:
    numbers = [await _number(site, await site.ticket(class_=4, line="L2")) for _ in range(3)]
    code, out, _ = await run("tickets", "list", "--limit", "2", "--status", "new")
    assert code == 0
    assert [number in out for number in numbers] == [False, True, True]
    code, out, _ = await run("tickets", "list", "--cursor", out.rpartition("--cursor ")[2].strip(), "--json")
    assert [item["number"] for item in json.loads(out)["items"]] == numbers[:1]
    assert (await run("tickets", "list", "--status", "held"))[:2] == (0, "No tickets.\n")


async def test_a_caller_is_registered(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = await run("tickets", "open", "ivan@acme.example", "Принтер", "Не друкує", "--quiet", "--json")
    assert code == 0
    code, out, _ = await run("tickets", "show", json.loads(out)["number"], "--json")
    assert json.loads(out)["contract"] == "acme"
    code, out, _ = await run("tickets", "ratings", json.loads(out)["number"])
    assert (code, out) == (0, "Not rated.\n")


async def test_what_somebody_wrote_cannot_drive_the_terminal(site: Site, run: Run) -> None:
    ticket, token = await site.ticket(), await site.token()
    await site.post(f"/tickets/{ticket}/note", token, {"text": "a\x1b[2Jb [bold]c[/bold]"})
    _, out, _ = await run("tickets", "show", str(ticket))
    assert "a�[2Jb [bold]c[/bold]" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("tickets", "show", "99999999"), 1, "no such ticket"),
        (("tickets", "reply", "1", " "), 2, "no text"),
        (("tickets", "class", "1", "nine"), 2, "1 to 6"),
        (("tickets", "class", "1", "9"), 2, "class"),
        (("tickets", "status", "1", "new"), 1, "already"),
        (("tickets", "list", "--class", "9"), 2, "--class"),
        (("tickets", "list", "--status", "lost"), 2, "status"),
        (("tickets", "dance"), 2, "dance"),
        (("tickets", "list", "--token", "gw_x"), 1, "unknown, expired or revoked"),
        (("tickets", "list", "--token", "env:NOT_THERE"), 1, "env:NOT_THERE"),
        (("tickets", "list", "--url", "http://127.0.0.1:9"), 1, "gateway serve"),
        (("replay",), 2, "say which"),
        (("tokens", "create", "stranger"), 2, "no such agent"),
        (("quarantine", "show", "4711"), 1, "no such journal entry"),
        (("outbox", "retry", "4711"), 1, "no such notice"),
    ],
)
async def test_a_command_that_fails_says_what_to_do(
    site: Site, run: Run, words: tuple[str, ...], code: int, said: str
) -> None:
    await site.ticket()
    got, out, err = await run(*words)
    assert (got, said in err) == (code, True), (out, err)
    assert "Traceback" not in err


async def test_without_a_server_it_is_told_how_to_start_one(run: Run) -> None:
    for words in (("status",), ("tickets", "list"), ("tokens", "list"), ("outbox", "list"), ("quarantine", "list")):
        code, _, err = await run(*words)
        assert code == 1
        assert "gateway serve" in err


async def test_tokens_are_made_used_and_ended(site: Site, run: Run) -> None:
    code, out, err = await run("tokens", "create", "pavlo", "--scope", "read", "--contract", "acme", "--note", "laptop")
    secret = out.strip()
    assert (code, secret.startswith("gw_")) == (0, True)
    assert "not shown again" in err
    assert (await run("tickets", "list", "--token", secret))[0] == 0
    assert (await run("tokens", "list", "--token", secret))[0] == 1
    code, out, _ = await run("tokens", "list")
    assert "pavlo" in out
    assert "laptop" in out
    assert secret not in out
    number = json.loads((await run("tokens", "list", "--json"))[1])["items"][0]["id"]
    assert (await run("tokens", "revoke", str(number)))[0] == 0
    assert (await run("tickets", "list", "--token", secret))[0] == 1


async def test_operators_see_what_waits(site: Site, run: Run) -> None:
    await site.ticket()
    assert (await run("quarantine", "list"))[:2] == (0, "Quarantine is empty.\n")
    assert (await run("outbox", "list"))[:2] == (0, "Nothing waits.\n")
    assert (await run("replay", "--quarantined"))[:2] == (0, "0 will be processed again.\n")
    assert (await run("quarantine", "replay"))[:2] == (0, "0 will be read again.\n")
    code, out, _ = await run("status")
    assert code == 0
    for part in ("ready", "journal      0 pending", "tickets      1 new", "GB free"):
        assert part in out
    assert json.loads((await run("status", "--json"))[1])["tickets"] == {"new": 1}


async def test_a_quarantined_message_and_a_dead_notice_are_dealt_with(site: Site, run: Run, tmp_path: Path) -> None:
    def write(conn: Connection) -> tuple[int, int]:
        entry = {
            "channel": "mail", "account": "support", "format": "mail/1", "external_id": "x", "fingerprint": "0" * 64,
            "dedupe": b"x", "peer": "ann@client.example", "received_at": START, "accepted_at": START, "size": 3,
            "sha256": "1" * 64, "facts": {}, "state": "quarantined", "error": "memory: 1 GB", "attempts": 3,
        }  # fmt: skip
        entry_id = int(conn.execute(insert(schema.entry).values(entry).returning(schema.entry.c.id)).scalar_one())
        conn.execute(insert(schema.raw).values(entry_id=entry_id, content=b"raw"))
        notice = outbox.put(conn, draft("dead"), START)
        assert notice is not None
        conn.execute(schema.outbox.update().values(state="dead", detail="550 no such user"))
        return entry_id, notice

    entry, notice = map(str, await site.db.write(write))
    assert "memory: 1 GB" in (await run("quarantine", "list"))[1]
    assert "ann@client.example" in (await run("quarantine", "show", entry))[1]
    assert (await run("quarantine", "raw", entry, str(tmp_path / "raw.eml")))[0] == 0
    assert (tmp_path / "raw.eml").read_bytes() == b"raw"
    assert (await run("quarantine", "raw", entry, str(tmp_path / "raw.eml")))[0] == 1
    assert (await run("quarantine", "replay", entry))[:2] == (0, "1 will be read again.\n")
    assert "1 pending (oldest" in (await run("status"))[1]
    assert "550 no such user" in (await run("outbox", "list"))[1]
    assert (await run("outbox", "retry", notice))[:2] == (0, f"Notice {notice} is waiting.\n")
    assert (await run("outbox", "drop", notice))[:2] == (0, f"Notice {notice} is suppressed.\n")
    assert (await run("outbox", "drop", notice))[0] == 1


async def test_text_comes_from_stdin(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ticket = await site.ticket()
    path = tmp_path / "text"
    path.write_text("з файлу\n", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert (await run("tickets", "reply", str(ticket), "-"))[0] == 0
    _, found = await site.get(f"/tickets/{ticket}", await site.token())
    assert found["messages"][0]["text"] == "з файлу"


async def test_an_incident_is_opened_listed_and_closed(site: Site, run: Run) -> None:
    assert (await run("incidents", "list"))[:2] == (0, "Nothing is known to be broken.\n")
    words = ("--uk", "не працює пошта", "--contract", "acme", "--class", "4", "--word", "пошта")
    code, out, err = await run("incidents", "open", *words)
    assert (code, err) == (0, "")
    assert out.startswith("Incident 1 is open")
    code, out, _ = await run("incidents", "list")
    assert code == 0
    for part in ("не працює пошта", "acme", "class 4, пошта", "agent:olena"):
        assert part in out
    assert json.loads((await run("incidents", "list", "--json"))[1])["items"][0]["id"] == 1
    assert (await run("incidents", "close", "1", "--uk", "Замінили диск."))[:2] == (
        0, "Incident 1 is over; tickets about it: 0.\n",
    )  # fmt: skip
    code, _, err = await run("incidents", "close", "1")
    assert code != 0
    assert "closed already" in err
    assert "agent:olena" in (await run("incidents", "list", "--all"))[1]
    assert (await run("incidents", "open", "--en", "x"))[0] == 2
