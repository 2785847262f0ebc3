"""Tables shaped like osTicket's on a real MariaDB, as a user who may do no more than is needed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.feeds.contract import Merged, Outcome, Replied, Set, Vanished
from gateway.feeds.sql_table_settings import SqlSettings
from tests.feeds import osticket
from tests.feeds.servers_mariadb import MariaServer
from tests.feeds.sql_desk import ENDLESS, LOCK, NOW, Clock, altering, desk, file, opening, said, saying, settings

pytestmark = [pytest.mark.services("mariadbd"), pytest.mark.xdist_group("mariadb")]

MAPPING = (Path(__file__).parent / "osticket.yaml").read_text(encoding="utf-8")
SAYS = (
    "INSERT INTO ost_thread_entry (thread_id, type, body, created, updated) SELECT id, 'R', '{text}', now(), now()"
    " FROM ost_thread WHERE object_id = {ticket} AND object_type = 'T'"
)


@dataclass(slots=True)
class Maria:
    """A database of a desk's."""

    server: MariaServer
    name: str

    def run(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        """One statement of the desk's own program."""
        return self.server.run(statement, self.name, args or None)

    def settings(self, text: str = MAPPING, **more: Any) -> SqlSettings:
        """Of a feed that comes as the user with the grants."""
        return settings(text, url=f"file:{self.password_file}", **more)

    @property
    def password_file(self) -> Path:
        """Where the URL with the password is."""
        path = self.server.folder / f"{self.name}.url"
        path.write_text(self.server.url(self.name, "gw", "gw-pass"))
        return path

    def schema(self) -> list[str]:
        """All that was ever declared."""
        tables = [row[0] for row in self.run("SHOW TABLES")]
        made = [self.run(f"SHOW CREATE TABLE {table}")[0][1] for table in tables]
        return [re.sub(r" AUTO_INCREMENT=\d+", "", each) for each in made]


@pytest.fixture
def maria(mariadb: MariaServer) -> Iterator[Maria]:
    made = Maria(mariadb, mariadb.fresh())
    made.server.run(osticket.SCHEMA, made.name)
    made.server.run([each.format(db=made.name) for each in osticket.GRANTS])
    yield made
    mariadb.run(["DROP USER IF EXISTS 'gw'@'127.0.0.1'", f"DROP DATABASE {made.name}"])


async def test_a_ticket_its_thread_and_its_first_entry_are_one_transaction(maria: Maria) -> None:
    schema = maria.schema()
    async with desk(maria.settings()) as there:
        pushed = await there.feed.push(opening(first=said(files=[file()])))
        assert pushed.outcome is Outcome.DONE and pushed.left_out == (), pushed
        again = await there.feed.push(opening(first=said(files=[file()])))
        assert again.ref == pushed.ref and pushed.ref is not None
        assert (pushed.ref.id, pushed.ref.number) == ("2", "1000005")
        assert pushed.ref.url == "https://desk.example/scp/tickets.php?id=2"
        found = await there.feed.find(opening())
        assert found == pushed.ref
    [ticket] = maria.run(
        "SELECT ticket_pid, number, user_id, status_id, dept_id, staff_id, source, source_extra, flags, isanswered,"
        " CAST(created AS CHAR), closed FROM ost_ticket WHERE ticket_id = 2"
    )
    assert ticket == (None, "1000005", 31, 1, 1, 0, "API", "0badcafe-1000005", 0, 0, "2026-11-20 11:30:15", None)
    assert maria.run("SELECT subject, priority FROM ost_ticket__cdata WHERE ticket_id = 2") == [
        ("Не працює пошта", None)
    ]
    [entry] = maria.run(
        "SELECT e.type, e.poster, e.body, e.format, e.title, e.staff_id FROM ost_thread t JOIN ost_thread_entry e"
        " ON e.thread_id = t.id WHERE t.object_id = 2 AND t.object_type = 'T'"
    )
    assert entry == ("M", "Олена", "Сервер не відповідає", "text", "Не працює пошта", 0)
    assert maria.run("SELECT name, type, size, filedata FROM ost_file") == [
        ("log.txt", "text/plain", 10, b"error 502\n")
    ]
    assert maria.run("SELECT count(*) FROM ost_thread WHERE object_type = 'T'") == [(2,)]
    assert maria.schema() == schema


async def test_entries_are_appended_once_and_a_note_stays_one(maria: Maria) -> None:
    async with desk(maria.settings()) as there:
        ref = await there.opened()
        note = said(message=2, text="Підозра на диск", public=False, inward=False)
        reply = said(message=3, text="Дивимось", inward=False)
        for write in (saying(ref, note), saying(ref, note), saying(ref, reply)):
            assert (await there.feed.push(write)).outcome is Outcome.DONE
        assert await there.feed.find(saying(ref, note)) == ref
        assert await there.feed.find(saying(ref, said(message=4))) is None
    entries = maria.run("SELECT type, body FROM ost_thread_entry WHERE id > 2 ORDER BY id")
    assert entries == [("N", "Підозра на диск"), ("R", "Дивимось")]


async def test_only_mapped_columns_are_touched(maria: Maria) -> None:
    def rest() -> list[tuple[Any, ...]]:
        return maria.run(
            "SELECT t.ticket_id, flags, isanswered, user_id, priority, h.extra, lastmessage FROM ost_ticket t"
            " JOIN ost_ticket__cdata USING (ticket_id) JOIN ost_thread h ON object_id = ticket_id AND object_type = 'T'"
        )

    old = "SELECT * FROM ost_ticket WHERE ticket_id = 1"
    before = maria.run(old)
    async with desk(maria.settings()) as there:
        ref = await there.opened()
        maria.run("UPDATE ost_ticket SET flags = 9, isanswered = 1, user_id = 77 WHERE ticket_id = 2")
        maria.run("UPDATE ost_ticket__cdata SET priority = 'high'")
        untouched = rest()
        there.clock.passes(minutes=5)
        write = altering(ref, "status", "line", status="resolved", line="L2", updated_at=NOW + timedelta(minutes=4))
        done = await there.feed.push(write)
        assert done.outcome is Outcome.DONE and done.left_out == ()
    assert rest() == untouched and maria.run(old) == before
    [row] = maria.run(
        "SELECT status_id, dept_id, CAST(closed AS CHAR), CAST(updated AS CHAR) FROM ost_ticket WHERE ticket_id = 2"
    )
    assert row == (3, 2, "2026-11-20 11:34:15", "2026-11-20 11:35:15")


async def test_what_staff_does_is_heard_once_and_notes_stay_private(maria: Maria) -> None:
    async with desk(maria.settings()) as there:
        ref = await there.opened()
        await there.begins()
        await there.feed.push(saying(ref, said(message=2, inward=False)))
        await there.feed.push(altering(ref, "status", status="waiting"))
        there.clock.passes(seconds=30)
        assert await there.news() == []
        add = (
            "INSERT INTO ost_thread_entry (thread_id, type, poster, body, format, created, updated)"
            " SELECT id, %s, 'Ivan', %s, %s, '2026-11-20 11:31:00', '2026-11-20 11:31:00' FROM ost_thread"
            " WHERE object_id = 2 AND object_type = 'T'"
        )
        maria.run(add, "R", "<p>Готово,<br>перевірте</p>", "html")
        maria.run("INSERT INTO ost_file (entry_id, name, type, filedata, created) SELECT max(id), 'звіт.pdf',"
                  " 'application/pdf', 'PDF', now() FROM ost_thread_entry")  # fmt: skip
        maria.run(add, "N", "між нами", "text")
        maria.run(add, "M", "дякую", "text")
        maria.run(
            "UPDATE ost_ticket SET status_id = 3, staff_id = 5, updated = '2026-11-20 11:31:00' WHERE ticket_id = 2"
        )
        heard = await there.news()
        replies = [each.change for each in heard if isinstance(each.change, Replied)]
        assert [(each.text.strip(), each.public) for each in replies] == [
            ("Готово,\nперевірте", True), ("між нами", False), ("дякую", False),
        ]  # fmt: skip
        [attached] = replies[0].files
        assert (attached.filename, attached.size, attached.read()) == ("звіт.pdf", 3, b"PDF")
        sets = [each.change for each in heard if isinstance(each.change, Set)]
        assert sets == [
            Set(field="status", value="resolved", raw="Resolved"), Set(field="assignee", value="ivan", raw="5"),
        ]  # fmt: skip
        assert {each.ref for each in heard} == {"2"} and heard[0].actor == "Ivan"
        assert await there.news() == []


async def test_two_changes_in_one_second_and_late_transactions_are_heard(maria: Maria) -> None:
    async with desk(maria.settings()) as there:
        refs = [await there.opened(number, first=said(number)) for number in (1000005, 1000013)]
        await there.begins()
        late = maria.server.connect(maria.name)
        cursor = late.cursor()
        cursor.execute("BEGIN")
        cursor.execute("UPDATE ost_ticket SET status_id = 3, updated = '2026-11-20 11:30:20' WHERE ticket_id = 3")
        cursor.execute(SAYS.format(text="late", ticket=3))
        there.clock.passes(minutes=2)
        change = "UPDATE ost_ticket SET status_id = %s, updated = '2026-11-20 11:31:50' WHERE ticket_id = 2"
        maria.run(change, 2)
        maria.run(SAYS.format(text="early", ticket=2))
        first = await there.changes()
        assert [getattr(each, "text", None) or each.value for each in first] == ["early", "waiting"]
        maria.run(change, 3)
        assert await there.changes() == [Set(field="status", value="resolved", raw="Resolved")]
        cursor.execute("COMMIT")
        late.close()
        heard = await there.news()
        assert {(each.ref, getattr(each.change, "text", None) or each.change.value) for each in heard} == {
            (refs[1].id, "late"), (refs[1].id, "resolved"),
        }  # fmt: skip


async def test_merged_and_deleted_tickets_are_heard(maria: Maria) -> None:
    async with desk(maria.settings()) as there:
        refs = [await there.opened(number, first=said(number)) for number in (1000005, 1000013, 1000021)]
        await there.begins()
        maria.run("UPDATE ost_ticket SET ticket_pid = 2, updated = '2026-11-20 11:30:40' WHERE ticket_id = 3")
        assert await there.changes() == [Merged(into=refs[0])]
        maria.run("DELETE FROM ost_ticket WHERE ticket_id = 4")
        assert await there.news() == []
        there.clock.passes(minutes=10)
        assert [(each.ref, each.change) for each in await there.news()] == [("4", Vanished())]


async def test_pushes_at_the_same_time_make_one_ticket(maria: Maria, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOCK, ENDLESS)
    maria.run("ALTER TABLE ost_thread_entry DROP INDEX extra")  # so that no unique key helps
    async with desk(maria.settings()) as one, desk(maria.settings()) as two:
        writes = [opening(number, first=said(number)) for number in (1000005, 1000013, 1000021)]
        done = await asyncio.gather(*(each.feed.push(write) for write in writes for each in (one, two, one)))
        assert {each.outcome for each in done} == {Outcome.DONE}
        assert len({each.ref for each in done}) == 3
        assert await one.feed.doubles() == {}
        maria.run("INSERT INTO ost_ticket (number, dept_id, source, source_extra, created, updated)"
                  " VALUES ('7', 1, 'Web', '0badcafe-1000013', now(), now())")  # fmt: skip
        [(key, refs)] = (await one.feed.doubles()).items()
        assert key == "0badcafe-1000013" and [each.number for each in refs] == ["1000013", "7"]


async def test_characters_and_lengths_that_do_not_fit_are_said(maria: Maria) -> None:
    async with desk(maria.settings()) as there:
        long = "я" * 40_000
        pushed = await there.feed.push(opening(subject="Пошта \U0001f525", first=said(text=long)))
        assert pushed.outcome is Outcome.DONE
        assert sorted(pushed.left_out) == [
            "subject: characters that its character set does not have (column ost_thread_entry.title)",
            "subject: characters that its character set does not have (column ost_ticket__cdata.subject)",
            "text: its end (the column holds 65535) (column ost_thread_entry.body)",
        ]
    assert maria.run("SELECT subject FROM ost_ticket__cdata WHERE ticket_id = 2") == [("Пошта \ufffd",)]
    [(body,)] = maria.run("SELECT body FROM ost_thread_entry WHERE id = 2")
    assert body.endswith("я […]") and 65_500 < len(body.encode()) <= 65_535


async def test_clocks_turned_back_lose_nothing(maria: Maria) -> None:
    # 2026-10-25 at 01:00 UTC clocks in Kyiv went from 04:00 back to 03:00.
    clock = Clock(NOW.replace(month=10, day=25, hour=0, minute=58))
    async with desk(maria.settings(), clock) as there:
        await there.opened()
        await there.begins()
        clock.passes(minutes=4)
        maria.run("UPDATE ost_ticket SET status_id = 2, updated = '2026-10-25 03:01:30' WHERE ticket_id = 2")
        assert await there.changes() == [Set(field="status", value="waiting", raw="Waiting")]


async def test_a_zone_that_is_not_the_servers_is_told(maria: Maria) -> None:
    async with desk(maria.settings()) as there:
        [warned] = [each for each in await there.feed.check() if "server's clock" in each.what]
        assert warned.warning and "Europe/Kyiv" in warned.what and "ost_ticket.created" in warned.what
    async with desk(maria.settings(timezone="UTC")) as there:
        assert not [each for each in await there.feed.check() if "server's clock" in each.what]


async def test_a_server_that_is_not_strict_changes_no_value_silently(maria: Maria) -> None:
    mode = maria.run("SELECT @@GLOBAL.sql_mode")[0][0]
    maria.server.run("SET GLOBAL sql_mode = ''")
    try:
        async with desk(maria.settings(MAPPING.replace("ivan: 5", "ivan: 99999999999"))) as there:
            refused = await there.feed.push(opening(assignee="ivan"))
            assert refused.outcome is Outcome.REFUSED and "staff_id" in refused.detail
    finally:
        maria.run("SET GLOBAL sql_mode = %s", mode)
    assert maria.run("SELECT count(*) FROM ost_ticket") == [(1,)]
