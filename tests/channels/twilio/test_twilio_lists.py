"""Lists of a provider that lies, hangs and leads elsewhere: nobody else is told who we are, and nothing is made up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from channels.sms.settings import SmsAccount
from channels.twilio import lists
from channels.twilio.lists import Lists, NotListed
from gateway.demo.twilio_api.media import MediaHost
from tests.twilio.provider import ACCOUNT, OURS, SID, TOKEN

PATH = f"/2010-04-01/Accounts/{SID}/Messages.json"
ASKED = f"{PATH}?To=%2B380440000001&DateSent%3E=2026-05-04&DateSent%3C=2026-05-05&PageSize=200"


@pytest.fixture
async def host() -> AsyncIterator[MediaHost]:
    async with MediaHost(account_sid=SID, token=TOKEN).opened() as opened:
        yield opened


def reader(host: MediaHost, prefix: str = "", *tokens: str) -> Lists:
    account = SmsAccount.model_validate({**ACCOUNT, "api_url": host.url + prefix})
    return Lists(account, tokens or (TOKEN,))


def put(host: MediaHost, said: Any, path: str = ASKED, **about: Any) -> None:
    content = said if isinstance(said, bytes) else json.dumps(said).encode()
    host.put(path, content, content_type="application/json", private=True, **about)


async def first(one: Lists) -> lists.Page:
    try:
        return await one.page(one.messages(OURS, date(2026, 5, 4), date(2026, 5, 5)), "messages")
    finally:
        await one.close()


async def failure(one: Lists) -> NotListed:
    with pytest.raises(NotListed) as caught:
        await first(one)
    said = str(caught.value)
    assert TOKEN not in said
    assert OURS[1:] not in said
    return caught.value


async def test_a_page_and_the_next(host: MediaHost) -> None:
    more = f"{PATH}?Page=1&PageToken=PASM1"
    put(host, {"messages": [{"sid": "SM1"}, "no message", None], "next_page_uri": more})
    put(host, {"messages": [], "next_page_uri": None}, more)
    page = await first(one := reader(host))
    assert (page.items, page.next) == ([{"sid": "SM1"}], more)
    assert (await one.page(page.next, "messages")).next == ""
    await one.close()
    assert host.passwords() == [f"{SID}:{TOKEN}"] * 2


async def test_an_api_below_a_path_of_its_own(host: MediaHost) -> None:
    put(host, {"messages": [], "next_page_uri": f"{PATH}?Page=1"}, f"/api/laml{ASKED}")
    page = await first(one := reader(host, "/api/laml"))
    assert page.next == f"/api/laml{PATH}?Page=1"
    assert one.url("/api/laml/x/ME1") == f"{host.url}/api/laml/x/ME1"


@pytest.mark.parametrize(
    "leads", ["http://evil.example/x", "//evil.example/x", "/\\evil.example/x", "x", "/x y", "/x\r\nHost: evil", "/ї"]
)
async def test_no_page_leads_to_another_host(host: MediaHost, leads: str) -> None:
    put(host, {"messages": [], "next_page_uri": leads})
    assert "elsewhere" in str(await failure(reader(host)))
    with pytest.raises(NotListed):
        reader(host).url(leads)


async def test_a_redirect_is_not_followed(host: MediaHost) -> None:
    async with MediaHost().opened() as other:
        put(host, b"", status=307, location=other.url + ASKED)
        assert (await failure(reader(host))).status == 307
        assert other.asked == []


@pytest.mark.parametrize(
    "said",
    [b"", b"<html>", b"[]", b"null", b'{"messages": {}}', b'{"other": []}', b"{", b"[" * 100_000, b"\xff",
     b'{"messages": [' + b"{}," * 9 + b"}"],
)  # fmt: skip
async def test_what_is_no_list_is_nothing(host: MediaHost, said: bytes) -> None:
    put(host, said)
    assert "no list" in str(await failure(reader(host)))


@pytest.mark.parametrize(
    ("status", "body", "after", "says"),
    [(429, b'{"code": 20429}', 7.0, "answers 429 (error 20429)"), (500, b"<html>", 7.0, "answers 500"),
     (503, b'{"code": "x"}', 7.0, "answers 503"), (404, b"[]", 7.0, "answers 404")],
)  # fmt: skip
async def test_what_the_far_side_says_is_told(
    host: MediaHost, status: int, body: bytes, after: float, says: str
) -> None:
    put(host, body, status=status, headers={"Retry-After": "7", "X": "y"})
    found = await failure(reader(host))
    assert (found.status, found.retry_after) == (status, after)
    assert str(found).partition(" (error")[0].endswith(says.partition(" (error")[0])


@pytest.mark.parametrize("trouble", ["truncated", "broken", "reset", "nonsense", "length"])
async def test_a_list_that_breaks_off_is_none(host: MediaHost, trouble: Any) -> None:
    put(host, {"messages": [{"sid": "SM1"}] * 100}, trouble=trouble)
    assert (await failure(reader(host))).status is None


@pytest.mark.parametrize("trouble", ["silent", "mute", "slow"])
async def test_nobody_waits_for_ever(host: MediaHost, trouble: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "SECONDS", 0.3)
    put(host, {"messages": [{"sid": "SM1"}] * 100}, trouble=trouble)
    assert "in time" in str(await failure(reader(host)))


async def test_an_endless_list_ends(host: MediaHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "LONGEST", 1_000_000)
    put(host, b"", trouble="endless")
    assert (await failure(reader(host))).status is None


async def test_the_next_token_is_tried_when_the_first_is_refused(host: MediaHost) -> None:
    put(host, {"messages": []})
    assert (await first(reader(host, "", "old", TOKEN))).items == []
    assert (await failure(reader(host, "", "old", "older"))).status == 401
