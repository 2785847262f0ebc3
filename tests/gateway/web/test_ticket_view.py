"""The requester's view of a ticket, and the portal, on a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from gateway.notices import view_token
from gateway.store import people, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import Attachment
from tests.gateway.conftest import FrozenClock
from tests.gateway.people_desk import IRA, Desk
from tests.gateway.staffed import Site, served
from tests.gateway.web.page_reader import PageReader


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock)


@pytest.fixture
async def site(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path, desk: Desk) -> AsyncIterator[Site]:
    async with served(db, blobs, clock, tmp_path, desk.ctx) as running:
        yield running


async def look(site: Site, desk: Desk, ticket: int, *, who: str = IRA, status: int = 200) -> PageReader:
    token = view_token(desk.ctx, await desk.ticket(ticket), who)
    async with site.session.get(f"{site.url}/t/{token}") as response:
        assert response.status == status
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "noindex" in response.headers["X-Robots-Tag"]
        return PageReader(await response.text())


STATES = [
    ("new", "Принята"),
    ("open", "В работе"),
    ("waiting", "Ждём вашего ответа"),
    ("resolved", "Выполнена"),
    ("closed", "Закрыта"),
    ("held", "Принята"),
]


@pytest.mark.parametrize(("status", "said"), STATES)
async def test_the_state_in_words(site: Site, desk: Desk, status: str, said: str) -> None:
    ticket = await desk.open()
    await desk.do(lambda conn: tickets.update(conn, ticket, status=status))
    page = await look(site, desk, ticket)
    assert said in page.text
    assert page.language == "ru"
    assert (page.loads, page.scripts, page.unlabelled) == ([], 0, [])


async def test_the_link_in_the_notice_leads_here(site: Site, desk: Desk) -> None:
    ticket = await desk.open()
    [notice] = await desk.sent_to()
    token = view_token(desk.ctx, await desk.ticket(ticket), IRA)
    assert f"https://help.example/t/{token}" in notice.text
    page = await look(site, desk, ticket)
    assert "Заявка 10000016" in page.text
    assert "Ответим сегодня до 13:30." in page.text


async def test_nothing_of_ours_is_shown(site: Site, desk: Desk) -> None:
    ticket = await desk.open(line="L2", class_=3)
    await desk.act("note", ticket, text="Difficult client.")
    await desk.act("set_line", ticket, line="L3", reason="too hard")
    await desk.act("reply", ticket, text="We look.")

    def write(conn: Connection) -> None:
        now = desk.clock()
        for kind, verified in (("message", False), ("bounce", True), ("auto_reply", True)):
            tickets.add_message(
                conn, ticket, direction="in", kind=kind, author="x@evil.example", text=f"hidden {kind}", at=now,
                verified=verified,
            )  # fmt: skip

    await desk.do(write)
    page = await look(site, desk, ticket)
    assert "We look." in page.text
    assert "It prints nothing." in page.text
    for hidden in ("Difficult", "too hard", "hidden", "L2", "L3", "evil"):
        assert hidden not in page.text


async def test_result_files_and_names(site: Site, desk: Desk) -> None:
    ticket = await desk.open(text="<b>bold</b>\n  indented")
    file = Attachment(filename="<plan>.pdf", content_type="application/pdf", size=1, sha256="0" * 64, content=b"x")
    await desk.act("reply", ticket, text="See the plan.", attachments=[file])
    await desk.act("resolve", ticket, result="New cable.")
    page = await look(site, desk, ticket)
    for said in ("<b>bold</b>\n  indented", "Файлы: <plan>.pdf", "Что сделано: New cable.", "Olena", "Вы"):
        assert said in page.text
    assert "Ответим" not in page.text


async def test_a_visit_is_shown_while_it_is_to_come(site: Site, desk: Desk) -> None:
    ticket = await desk.open()
    start = desk.clock() + timedelta(hours=3)
    await desk.act("set_visit", ticket, agreed=(start, start + timedelta(hours=1)))
    assert "приедет специалист сегодня с 14:30 до 15:30." in (await look(site, desk, ticket)).text


async def test_links_expire_and_are_of_one_person(site: Site, desk: Desk) -> None:
    ticket = await desk.open()
    await look(site, desk, ticket, who="oleh@acme.example", status=404)
    desk.clock.forward(timedelta(days=89))
    await look(site, desk, ticket)
    desk.clock.forward(timedelta(days=2))
    page = await look(site, desk, ticket, status=404)
    assert "This link does not work" in page.text
    await desk.act("resolve", ticket, result="Done.")  # a new notice makes it work again
    await look(site, desk, ticket)


async def test_a_former_requesters_link_shows_nothing_any_more(site: Site, desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("set_requester", ticket, address="oleh@acme.example")
    await look(site, desk, ticket, status=404)
    await look(site, desk, ticket, who="oleh@acme.example")


async def test_the_persons_own_language(site: Site, desk: Desk) -> None:
    ticket = await desk.open()
    await desk.do(lambda conn: people.set_language(conn, people.contact_for(conn, "mail", IRA, "", desk.clock()), "uk"))
    page = await look(site, desk, ticket)
    assert page.language == "uk"
    assert "Листування" in page.text


async def test_looking_changes_nothing(site: Site, desk: Desk) -> None:
    ticket = await desk.open()
    before = await desk.ticket(ticket)
    await look(site, desk, ticket)
    assert await desk.ticket(ticket) == before


ACCEPTED = [
    ("ru", "Служба поддержки"),
    ("uk-UA,ru;q=0.8", "Служба підтримки"),
    ("de, ru;q=0.5, uk;q=0.9", "Служба підтримки"),
    ("ru;q=0, en", "Support desk"),
    ("", "Support desk"),
    ("x;q=y, " + "a" * 2000, "Support desk"),
]


@pytest.mark.parametrize(("header", "title"), ACCEPTED)
async def test_the_portal_speaks_the_visitors_language(site: Site, header: str, title: str) -> None:
    async with site.session.get(f"{site.url}/", headers={"Accept-Language": header}) as response:
        assert response.status == 200
        page = PageReader(await response.text())
    assert title in page.text
    assert "support@desk.example" in page.text
    assert "+380 44 000 00 00" in page.text
    assert (page.loads, page.scripts) == ([], 0)
