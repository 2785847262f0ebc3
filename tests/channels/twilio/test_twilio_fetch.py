"""Fetching files from hosts that are good, slow, endless, lying, and elsewhere; and who gets to know our token."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from channels.contract import FetchFailed
from channels.sms.settings import SmsAccount
from channels.twilio import fetch as module
from channels.twilio.fetch import ABSENT, HOPS, TwilioFetcher
from gateway.demo.twilio_api.media import MediaHost
from tests.twilio.provider import ACCOUNT, ANSWERED, NOW, SID, TOKEN

MB = 1024 * 1024
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 2000
PATH = f"/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1"
US = f"{SID}:{TOKEN}"


class Now:
    """The time of the test."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> Any:
        return self.at


def fetcher(api_url: str, *tokens: str, clock: Now | None = None) -> TwilioFetcher:
    account = SmsAccount.model_validate({**ACCOUNT, "api_url": api_url})
    return TwilioFetcher(account, tokens or (TOKEN,), clock=clock or Now(), unique=lambda: uuid4().hex)


@asynccontextmanager
async def host(**about: Any) -> AsyncIterator[MediaHost]:
    async with MediaHost(account_sid=SID, token=TOKEN, **about).opened() as opened:
        yield opened


async def failure(work: Awaitable[Any], folder: Path) -> FetchFailed:
    """How it fails; nothing is left behind, and neither the token nor the address is told."""
    with pytest.raises(FetchFailed) as caught:
        await asyncio.wait_for(work, ANSWERED)
    assert list(folder.iterdir()) == []
    assert TOKEN not in str(caught.value)
    assert "ME1" not in str(caught.value)
    return caught.value


# -- good ones ------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [None, "late"])
async def test_a_file_comes_whole_from_where_it_lies(trouble: Any, tmp_path: Path) -> None:
    async with host() as api, host() as cdn:
        there = cdn.put("/store/ME1?sig=abc", JPEG, trouble=trouble)
        source = api.put(PATH, status=307, location=there, private=True)
        file = await fetcher(api.url).fetch(source, 20 * MB, tmp_path)
    assert file.path.read_bytes() == JPEG
    assert (file.size, file.sha256) == (len(JPEG), hashlib.sha256(JPEG).hexdigest())
    assert (file.content_type, file.spoken) == ("image/jpeg", False)
    assert (api.passwords(), cdn.passwords()) == ([US], [""])
    assert [one.headers.get("accept-encoding") for one in (*api.asked, *cdn.asked)] == ["identity"] * 2


async def test_the_next_token_is_tried_while_tokens_change(tmp_path: Path) -> None:
    async with host() as api:
        source = api.put(PATH, JPEG, private=True)
        assert (await fetcher(api.url, "old", TOKEN).fetch(source, MB, tmp_path)).size == len(JPEG)
        assert api.passwords() == [f"{SID}:old", US]


# -- who is told our token ------------------------------------------------------------------


async def test_a_foreign_host_never_sees_the_token(tmp_path: Path) -> None:
    async with host() as api, host() as foreign:
        source = foreign.put("/ME1", JPEG)
        assert (await fetcher(api.url).fetch(source, MB, tmp_path)).size == len(JPEG)
        # Another port, another scheme, another way to write the host: none of them is the API.
        port = foreign.url.rpartition(":")[2]
        for api_url in (f"https://127.0.0.1:{port}", f"http://localhost:{port}", "http://127.0.0.1"):
            await fetcher(api_url).fetch(source, MB, tmp_path)
    assert foreign.passwords() == [""] * 4
    assert api.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_carries_the_token_on_even_back_to_ourselves(status: int, tmp_path: Path) -> None:
    async with host() as api, host() as cdn:
        api.put("/second", status=307, location=cdn.put("/ME1", JPEG))
        source = api.put(PATH, status=status, location="/second", private=True)
        assert (await fetcher(api.url).fetch(source, MB, tmp_path)).size == len(JPEG)
        assert api.passwords() == [US, ""]
        back = api.put("/back", JPEG)
        await fetcher(api.url).fetch(cdn.put("/leads-back", status=302, location=back), MB, tmp_path)
    assert api.passwords() == [US, "", ""]
    assert cdn.passwords() == ["", ""]


@pytest.mark.parametrize(
    "address",
    ["http://user:secret@{host}/ME1", "ftp://{host}/ME1", "file:///etc/passwd", "http://", "http://[::1/ME1", "",
     "http://{host}:99999/ME1", "http://{host} /ME1", "javascript:1", "//{host}/ME1"],
)  # fmt: skip
async def test_what_is_no_address_is_asked_of_nobody(address: str, tmp_path: Path) -> None:
    async with host() as api:
        source = address.replace("{host}", api.url.removeprefix("http://").partition(":")[0])
        assert (await failure(fetcher(api.url).fetch(source, MB, tmp_path), tmp_path)).permanent
        assert api.asked == []


@pytest.mark.parametrize(
    "private",
    ["127.0.0.2", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "10.0.0.1", "169.254.169.254", "192.168.1.1",
     "100.64.0.1", "[::1]", "[::ffff:127.0.0.1]", "[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]", "localhost",
     "localhost.", "224.0.0.1", "１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "%31%32%37.0.0.1"],
)  # fmt: skip
async def test_nobody_leads_us_into_a_network_of_our_own(private: str, tmp_path: Path) -> None:
    """The provider is on the Internet here, so nothing at all may be elsewhere."""
    public = fetcher("https://api.twilio.com")
    async with MediaHost().opened() as inside:
        port = inside.url.rpartition(":")[2]
        inside.put("/ME1", JPEG)
        for each in (private, "127.0.0.1"):
            found = await failure(public.fetch(f"http://{each}:{port}/ME1", MB, tmp_path), tmp_path)
            assert found.permanent or private in ("localhost.", "%31%32%37.0.0.1")
    assert inside.asked == []


async def test_no_redirect_leads_us_there_either(tmp_path: Path) -> None:
    async with host() as api, MediaHost().opened("127.0.0.2") as inside:
        secret = inside.put("/metadata", JPEG)
        source = api.put(PATH, status=302, location=secret)
        found = await failure(fetcher(api.url).fetch(source, MB, tmp_path), tmp_path)
    assert (inside.asked, found.permanent) == ([], True)
    assert "not the Internet" in str(found)


async def test_we_are_led_on_a_few_times_only(tmp_path: Path) -> None:
    async with host() as api:
        source = api.put(PATH, status=302, location=PATH)
        found = await failure(fetcher(api.url).fetch(source, MB, tmp_path), tmp_path)
        assert (len(api.asked), found.permanent) == (HOPS + 1, False)
        api.put("/nowhere", status=302)
        assert not (await failure(fetcher(api.url).fetch(f"{api.url}/nowhere", MB, tmp_path), tmp_path)).permanent


# -- what an answer means -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "home", "foreign", "led"),
    [(401, False, True, False), (403, True, True, False), (410, True, True, True), (400, True, True, False),
     (404, False, False, False), (408, False, False, False), (429, False, False, False), (500, False, False, False),
     (503, False, False, False), (204, False, False, False), (304, False, False, False), (418, True, True, True)],
)  # fmt: skip
async def test_every_answer_says_whether_to_ask_again(
    status: int, home: bool, foreign: bool, led: bool, tmp_path: Path
) -> None:
    async with host() as api, host() as other:
        ours, theirs = (each.put(PATH, status=status, headers={"Retry-After": "7"}) for each in (api, other))
        leads = api.put("/leads", status=302, location=theirs)
        for source, permanent in ((ours, home), (theirs, foreign), (leads, led)):
            found = await failure(fetcher(api.url).fetch(source, MB, tmp_path), tmp_path)
            assert (found.permanent, found.too_big) == (permanent, False)
            assert found.retry_after == (None if status == 404 else 7.0)


async def test_a_file_that_is_not_there_is_asked_for_during_a_while(tmp_path: Path) -> None:
    clock = Now()
    async with host() as api:
        one = fetcher(api.url, clock=clock)
        source, other = f"{api.url}{PATH}", f"{api.url}/other"
        assert not (await failure(one.fetch(source, MB, tmp_path), tmp_path)).permanent
        clock.at += ABSENT - timedelta(seconds=1)
        assert not (await failure(one.fetch(source, MB, tmp_path), tmp_path)).permanent
        clock.at += timedelta(seconds=1)
        assert not (await failure(one.fetch(other, MB, tmp_path), tmp_path)).permanent
        assert (await failure(one.fetch(source, MB, tmp_path), tmp_path)).permanent
        api.put(PATH, JPEG, first=[404])
        late = fetcher(api.url, clock=clock)
        assert not (await failure(late.fetch(source, MB, tmp_path), tmp_path)).permanent
        assert (await late.fetch(source, MB, tmp_path)).size == len(JPEG)


# -- hosts as none should be ----------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["truncated", "broken", "reset", "packed", "bomb", "nonsense", "length"])
async def test_a_host_that_breaks_off_or_lies_is_asked_again(trouble: Any, tmp_path: Path) -> None:
    async with host() as api:
        source = api.put(PATH, JPEG, trouble=trouble)
        found = await failure(fetcher(api.url).fetch(source, MB, tmp_path), tmp_path)
        assert (found.permanent, found.too_big) == (False, False)
        api.files[PATH].trouble = None
        assert (await fetcher(api.url).fetch(source, MB, tmp_path)).size == len(JPEG)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "image/jpeg"), (b"<!DOCTYPE html><p>log in", "image/jpeg"), (b"\xef\xbb\xbf \n<HTML>", "application/pdf"),
     (b"<html>", ""), (b"log in", "text/html; charset=utf-8")],
)  # fmt: skip
async def test_a_page_is_no_file(content: bytes, said: str, tmp_path: Path) -> None:
    async with host() as api:
        source = api.put(PATH, content, content_type=said)
        assert not (await failure(fetcher(api.url).fetch(source, MB, tmp_path), tmp_path)).permanent


@pytest.mark.parametrize(
    ("content", "said", "kept"),
    [
        (JPEG, "image/jpeg", "image/jpeg"),
        (JPEG, "image/png", "image/jpeg"),
        (b"MZ\x90 a program", "image/jpeg", "application/octet-stream"),
        (b"MZ\x90 a program", "application/pdf", "application/octet-stream"),
        (b"words", "", ""),
        (b"words", "application/octet-stream", ""),
        (b"<html> explained", "text/plain", "text/plain"),
        (b"BEGIN:VCARD", "text/x-vcard; charset=utf-8", "text/x-vcard"),
        (b"\xff\xfb\x90 a song without a tag", "audio/mpeg", "audio/mpeg"),
    ],
)
async def test_a_type_that_is_a_lie_is_not_told_on(content: bytes, said: str, kept: str, tmp_path: Path) -> None:
    async with host() as api:
        source = api.put(PATH, content, content_type=said)
        file = await fetcher(api.url).fetch(source, MB, tmp_path)
    assert (file.content_type, file.path.read_bytes()) == (kept, content)


async def test_an_endless_file_ends_at_the_limit_and_a_great_length_is_believed(tmp_path: Path) -> None:
    async with host() as api:
        endless = await failure(fetcher(api.url).fetch(api.put(PATH, trouble="endless"), MB, tmp_path), tmp_path)
        great = await failure(fetcher(api.url).fetch(api.put(PATH, b"x" * 2000), 1000, tmp_path), tmp_path)
    for found in (endless, great):
        assert (found.permanent, found.too_big) == (True, True)


@pytest.mark.parametrize("trouble", ["silent", "mute"])
async def test_a_silent_host_is_left(trouble: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_SECONDS", 0.3)
    async with host() as api:
        source = api.put(PATH, JPEG, trouble=trouble)
        assert not (await failure(fetcher(api.url).fetch(source, MB, tmp_path), tmp_path)).permanent


async def test_a_dripping_host_is_left_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_SECONDS", 0.5)
    monkeypatch.setattr(module, "SLOWEST", 100 * MB)
    async with host() as api:
        source = api.put(PATH, JPEG, trouble="slow")
        assert str(await failure(fetcher(api.url).fetch(source, MB, tmp_path), tmp_path)).endswith("in time")


async def test_a_disk_that_is_full_is_our_trouble(tmp_path: Path) -> None:
    async with host() as api:
        with pytest.raises(OSError, match="No such file"):
            await fetcher(api.url).fetch(api.put(PATH, JPEG), MB, tmp_path / "gone")


async def test_nothing_is_logged_of_an_address_or_a_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with host() as api:
        await failure(fetcher(api.url).fetch(api.put(PATH, JPEG, trouble="reset"), MB, tmp_path), tmp_path)
        await fetcher(api.url).fetch(api.put(PATH, JPEG, private=True), MB, tmp_path)
    assert TOKEN not in caplog.text
    assert "ME1" not in caplog.text
