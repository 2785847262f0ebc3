"""The rating page on a real port: looking counts nothing, a form counts, scanners do not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import select

from gateway import surveys
from gateway.store import schema
from gateway.store import surveys as store
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.people_desk import BOSS, IRA, LINE1, Desk
from tests.gateway.staffed import Site, served
from tests.gateway.web.page_reader import PageReader, contrast


class Visitor:
    """Somebody with a link to the rating page."""

    def __init__(self, site: Site, desk: Desk, ticket: int, token: str) -> None:
        self.site, self.desk, self.ticket, self.token = site, desk, ticket, token

    @property
    def url(self) -> str:
        return f"{self.site.url}/rate/{self.token}"

    async def look(self, query: str = "", **options: object) -> PageReader:
        async with self.site.session.get(self.url + query, **options) as response:  # type: ignore[arg-type]
            assert response.status == 200
            return PageReader(await response.text())

    async def send(self, headers: Mapping[str, str] | None = None, **form: str) -> PageReader:
        """Send a form and follow to the page after it, as a browser does."""
        async with self.site.session.post(self.url, data=form, headers=headers) as response:
            assert response.status == 200
            return PageReader(await response.text())

    async def votes(self) -> list[tuple[int, str, bool]]:
        found = await self.desk.do(lambda conn: store.votes(conn, 1))
        return [(vote.score, vote.comment, vote.current) for vote in found]

    async def counting(self) -> list[int]:
        return [score for score, _, current in await self.votes() if current]


@pytest.fixture
async def visitor(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Visitor]:
    desk = Desk(db, blobs, clock)
    ticket = await desk.open()
    await desk.act("resolve", ticket, result="Cable.")
    survey = await desk.do(lambda conn: store.get(conn, 1))
    token = surveys.token_of(desk.ctx, survey.nonce)
    async with served(db, blobs, clock, tmp_path, desk.ctx) as site:
        yield Visitor(site, desk, ticket, token)


# -- looking ------------------------------------------------------------------------------


async def test_looking_counts_nothing_and_preselects(visitor: Visitor) -> None:
    for method in ("GET", "HEAD"):
        for score in (1, 2, 3, 4, 5):
            async with visitor.site.session.request(method, f"{visitor.url}?score={score}") as response:
                assert response.status == 200
    page = await visitor.look("?score=4")
    assert page.form("vote").fields["score"] == "4"
    assert await visitor.votes() == []


@pytest.mark.parametrize(
    "query", ["?score=6", "?score=", "?score=x", "?score=5&score=1", "?note=<b>", "?note=nonsense"]
)
async def test_odd_queries_do_no_harm(visitor: Visitor, query: str) -> None:
    page = await visitor.look(query)
    assert page.form("vote").fields.get("score") in (None, "5")
    assert "nonsense" not in page.text


async def test_headers_keep_the_token_in(visitor: Visitor) -> None:
    async with visitor.site.session.get(visitor.url) as response:
        headers, text = response.headers, await response.text()
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "noindex" in headers["X-Robots-Tag"]
    assert "Set-Cookie" not in headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    page = PageReader(text)
    allowed = re.search(r"style-src 'sha256-([^']+)'", policy)
    assert allowed is not None
    assert base64.b64decode(allowed[1]) == hashlib.sha256(page.style.encode()).digest()


async def test_the_page_needs_nothing_from_anywhere_and_no_script(visitor: Visitor) -> None:
    for query in ("", "?score=1", "?stop=1", "?note=burst"):
        page = await visitor.look(query)
        assert page.loads == []
        assert page.scripts == 0
        assert "url(" not in page.style
        assert "@import" not in page.style


async def test_a_screen_reader_finds_its_way(visitor: Visitor) -> None:
    for page in (await visitor.look(), await visitor.send(action="vote", score="1"), await visitor.look("?stop=1")):
        assert page.language == "ru"
        assert page.unlabelled == []
        assert page.headings[0] == 1
        assert page.headings.count(1) == 1
        assert all(form.button.strip() for form in page.forms)
        assert "10000016" in page.text
    assert "5 — лучшая оценка." in page.text


def test_colours_can_be_told_apart() -> None:
    style = (Path(__file__).parents[3] / "gateway" / "web" / "templates" / "style.css").read_text(encoding="utf-8")
    for text, behind in (("#1f2328", "#ffffff"), ("#57606a", "#ffffff"), ("#ffffff", "#0b5cad"), ("#0b5cad", "#ffffff"),
                         ("#1f2328", "#e8f1fb"), ("#1f2328", "#fff4ec"), ("#57606a", "#f3f7fc")):  # fmt: skip
        assert text in style
        assert behind in style
        assert contrast(text, behind) >= 4.5
    assert "focus-visible" in style
    assert "outline: none" not in style


@pytest.mark.parametrize("path", ["/rate/aaaaaaaaaaaaaaaaaaaaaaaaaa", "/rate/short", "/rate/UPPER", "/t/x"])
async def test_an_unknown_link_ends_on_a_page_for_people(visitor: Visitor, path: str) -> None:
    async with visitor.site.session.get(visitor.site.url + path, headers={"Accept-Language": "uk"}) as response:
        assert response.status == 404
        page = PageReader(await response.text())
    assert page.language == "uk"
    assert "Посилання не працює" in page.text


# -- voting -------------------------------------------------------------------------------


async def test_a_vote_is_a_form_and_works_without_javascript(visitor: Visitor) -> None:
    page = await visitor.look("?score=5")
    form = page.form("vote")
    assert form.method == "post"
    after = await visitor.send(**form.fields)
    assert "Спасибо, ваша оценка — 5." in after.text
    assert await visitor.votes() == [(5, "", True)]
    assert "outbox" in visitor.site.woken
    assert "Спасибо, ваша оценка — 5." in (await visitor.look()).text


async def test_after_a_vote_comes_another_request_so_that_reloading_votes_for_nothing(visitor: Visitor) -> None:
    data = {"action": "vote", "score": "5"}
    async with visitor.site.session.post(visitor.url, data=data, allow_redirects=False) as response:
        assert response.status == 303
        assert response.headers["Location"] == visitor.token, "below whatever path a proxy shows us"


async def test_a_vote_can_be_changed(visitor: Visitor) -> None:
    await visitor.send(action="vote", score="5")
    visitor.desk.clock.forward(timedelta(minutes=1))
    page = await visitor.look("?score=2")
    assert "Спасибо, ваша оценка — 5." in page.text
    assert page.form("vote").fields["score"] == "2"
    after = await visitor.send(action="vote", score="2")
    assert "Жаль, что мы вас подвели" in after.text
    assert await visitor.counting() == [2]
    visitor.desk.clock.forward(timedelta(days=8))
    late = await visitor.send(action="vote", score="5")
    assert "уже нельзя изменить, в силе прежняя: 2" in late.text
    assert await visitor.counting() == [2]


async def test_no_score_is_no_vote(visitor: Visitor) -> None:
    for score in ("", "6", "0", "5.0", "٥"):
        page = await visitor.send(action="vote", score=score)
        assert "Выберите оценку" in page.text
    assert await visitor.votes() == []


async def test_a_comment(visitor: Visitor) -> None:
    after = await visitor.send(action="vote", score="1")
    assert "Что было не так?" in after.text
    visitor.desk.clock.forward(timedelta(seconds=20))
    said = await visitor.send(action="comment", comment="<b>Nobody</b> came.\r\nAt all.")
    assert "комментарий получен" in said.text
    assert (await visitor.votes())[-1] == (1, "<b>Nobody</b> came.\r\nAt all.", True)
    [notice] = await visitor.desk.sent_to(BOSS, seconds=121)
    assert "<b>Nobody</b> came.\nAt all." in notice.text
    assert "<b>Nobody" not in notice.html


async def test_do_not_ask_me_again(visitor: Visitor) -> None:
    page = await visitor.look("?stop=1")
    assert page.form("stop").button == "Больше не спрашивать"
    row = select(schema.contact.c.no_surveys).join(
        schema.identity, schema.identity.c.contact_id == schema.contact.c.id
    ).where(schema.identity.c.value == IRA)  # fmt: skip
    assert not await visitor.desk.do(lambda conn: conn.scalar(row))  # looking is not asking
    after = await visitor.send(action="stop")
    assert "больше не будем" in after.text
    assert await visitor.desk.do(lambda conn: conn.scalar(row))
    assert [form for form in after.forms if form.fields.get("action") == "stop"] == []


async def test_the_problem_remains(visitor: Visitor) -> None:
    after = await visitor.send(action="reopen", comment="It stopped again.")
    assert "Заявка 10000016 снова в работе." in after.text
    ticket = await visitor.desk.ticket(visitor.ticket)
    assert (ticket.status, ticket.resolved_at) == ("open", None)
    staff = await visitor.desk.sent_to(LINE1)
    assert "It stopped again." in staff[-1].text
    [event] = await visitor.desk.events(visitor.ticket, "reopened")
    assert event["status"] == ["resolved", "open"]
    await visitor.send(action="vote", score="1")
    assert await visitor.counting() == [1]  # an opinion about what was done is still welcome


async def test_reopening_wants_a_word_and_happens_once(visitor: Visitor) -> None:
    page = await visitor.send(action="reopen", comment=" ")
    assert "Напишите, что не работает" in page.text
    assert (await visitor.desk.ticket(visitor.ticket)).status == "resolved"
    for _ in range(2):
        await visitor.send(action="reopen", comment="Again.")
    assert len(await visitor.desk.events(visitor.ticket, "reopened")) == 1


async def test_an_expired_survey_says_so(visitor: Visitor) -> None:
    visitor.desk.clock.forward(timedelta(days=31))
    page = await visitor.look("?score=5")
    assert "уже прошёл" in page.text
    assert [form.fields["action"] for form in page.forms] == ["stop"]
    await visitor.send(action="vote", score="5")
    assert await visitor.votes() == []


# -- machines -----------------------------------------------------------------------------

PREFETCH = [
    {"Sec-Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Purpose": "prefetch"},
    {"X-Moz": "prefetch"},
    {"X-Purpose": "preview"},
]


@pytest.mark.parametrize("headers", PREFETCH)
async def test_looking_ahead_counts_nothing_whatever_the_method(visitor: Visitor, headers: dict[str, str]) -> None:
    await visitor.look("?score=5", headers=headers)
    await visitor.send(headers, action="vote", score="5")
    assert await visitor.votes() == []


async def test_a_scanner_that_presses_everything_counts_for_nothing(visitor: Visitor) -> None:
    for score in ("5", "4", "3", "2", "1"):
        page = await visitor.send(action="vote", score=score)
        visitor.desk.clock.forward(timedelta(milliseconds=150))
    assert "не засчитали ни одной" in page.text
    assert await visitor.counting() == []
    assert "staff_rating" not in await visitor.desk.told(BOSS)
    visitor.desk.clock.forward(timedelta(seconds=4))
    after = await visitor.send(action="vote", score="4")
    assert "Спасибо, ваша оценка — 4." in after.text
    assert await visitor.counting() == [4]


async def test_other_content_is_refused(visitor: Visitor) -> None:
    session, url = visitor.site.session, visitor.url
    async with session.post(url, json={"action": "vote", "score": "5"}) as response:
        assert response.status == 415
    async with session.post(
        url, data=b"x" * 200_000, headers={"Content-Type": "application/x-www-form-urlencoded"}
    ) as (response):
        assert response.status == 413
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for content in (b"score=5&comment=\xff\xfe", b"&".join(b"score=%d" % n for n in range(100))):
        async with session.post(url, data=content, headers=headers) as response:
            assert response.status == 400

    async def endless() -> AsyncIterator[bytes]:  # chunked: its length is not known before
        for _ in range(300):
            yield b"x" * 1000

    async with session.post(url, data=endless(), headers=headers) as response:
        assert response.status == 413
    form = aiohttp.FormData({"action": "vote", "score": "5"})
    form.add_field("file", b"x", filename="x.bin")
    async with session.post(url, data=form) as response:
        assert response.status == 415
    async with session.put(url) as response:
        assert response.status == 405
    assert await visitor.votes() == []


async def test_a_token_is_of_one_person_and_one_ticket(visitor: Visitor) -> None:
    other = await visitor.desk.open(requester="oleh@acme.example")
    await visitor.desk.act("resolve", other, result="Done.")
    tokens = await visitor.desk.do(lambda conn: conn.scalars(select(schema.survey.c.token_hash)).all())
    assert len(set(tokens)) == 2
    await visitor.send(action="vote", score="5")
    assert await visitor.desk.do(lambda conn: store.votes(conn, 2)) == []


# -- a real browser -----------------------------------------------------------------------


@pytest.mark.services("chromium")
async def test_a_browser_shows_the_page_on_a_phone_without_scrolling_sideways(visitor: Visitor, tmp_path: Path) -> None:
    command = [
        shutil.which("chromium") or "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}", "--force-device-scale-factor=1.5625", "--window-size=500,1600",
        "--virtual-time-budget=2000", f"--screenshot={tmp_path / 'page.png'}", f"{visitor.url}?score=4",
    ]  # fmt: skip
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=180, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-500:]
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert await visitor.votes() == []
