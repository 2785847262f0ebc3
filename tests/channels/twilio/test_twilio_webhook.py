"""The webhooks: committed before they are answered, believed by the signature alone, never a 500, 429 or redirect."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from channels.contract import Unavailable
from channels.twilio.webhook import LONGEST
from gateway.demo.twilio_api import Network, signed_form, signed_json
from gateway.demo.twilio_api.signing import encoded, signature
from gateway.web.hooks import mounted_anew
from normalizer.message import SpooledBody
from tests.twilio.provider import ANNA, ANSWERED, OURS, SID, TOKEN, Journal, List, hook, mounted, post

NETWORK = Network(account_sid=SID, token=TOKEN)
FIELDS = list(NETWORK.message("Не печатает принтер", sender=ANNA, to=OURS).items())
FORM = encoded(FIELDS)


async def send(url: str, fields: list[tuple[str, str]] | None = None, *, token: str = TOKEN, **more: str) -> int | None:
    body, headers = signed_form(token, url, FIELDS if fields is None else fields)
    return await post(url, body, {**headers, **more})


async def test_it_is_answered_only_after_the_commit_and_with_an_answer_that_says_nothing(tmp_path: Path) -> None:
    journal = Journal(gate=asyncio.Event())
    async with mounted(tmp_path, journal) as url, aiohttp.ClientSession() as http:
        body, headers = signed_form(TOKEN, url, FIELDS)
        answer = asyncio.create_task(http.post(url, data=body, headers=headers))
        await asyncio.wait_for(journal.news.wait(), ANSWERED)
        done, _ = await asyncio.wait({answer}, timeout=0.2)
        assert not done
        assert journal.gate is not None
        journal.gate.set()
        async with await asyncio.wait_for(answer, ANSWERED) as got:
            assert (got.status, got.content_type) == (200, "text/xml")
            assert (await got.read()).endswith(b"<Response/>")
    (raw,) = journal.raws
    assert list(journal.kept.values()) == [FORM]
    assert (raw.format, raw.external_id, raw.peer) == ("twilio_message/1", dict(FIELDS)["MessageSid"], ANNA)
    assert raw.deliveries == (("main", OURS),)
    assert raw.facts == {"transport": "webhook"}


async def test_a_report_is_one_of_its_sid_and_state_and_keeps_our_own_parameters(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        network = Network(account_sid=SID, token=TOKEN, timeout=ANSWERED)
        network.number(OURS, url)
        for state in ("delivered", "sent", "sent"):
            assert await network.report("SM" + "1" * 32, state, sender=OURS, to=ANNA, query="o=17")
        assert [one.status for one in network.tried] == [204] * 3
    assert [raw.external_id[34:] for raw in journal.raws] == [":delivered", ":sent", ":sent"]
    assert len(journal.kept) == 2
    raw = journal.raws[0]
    assert (raw.format, raw.peer, raw.deliveries) == ("twilio_status/1", ANNA, (("main", OURS),))
    assert raw.facts["query"] == "o=17"


async def test_what_it_is_it_says_itself_whichever_address_it_was_sent_to(tmp_path: Path) -> None:
    journal = Journal()
    report = [("MessageSid", "SM" + "1" * 32), ("MessageStatus", "delivered"), ("From", OURS), ("To", ANNA)]
    async with mounted(tmp_path, journal) as url:
        assert await send(url + "/status") == 200 or journal.raws
        assert await send(url, report) is not None
    assert [raw.format for raw in journal.raws] == ["twilio_message/1", "twilio_status/1"]


async def test_the_fallback_a_replay_and_ten_copies_at_once_are_one_message(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        assert await send(url) == 200
        failed = [*FIELDS, ("ErrorCode", "11200"), ("ErrorUrl", url)]
        assert await send(url, failed, **{"I-Twilio-Idempotency-Token": "another"}) == 200
        assert await asyncio.gather(*(send(url) for _ in range(10))) == [200] * 10
        assert await send(url + "?again=1") == 200
    assert len(journal.raws) == 13
    assert list(journal.kept.values()) == [FORM]


async def test_a_get_has_its_parameters_in_its_address(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url, aiohttp.ClientSession() as http:
        asked = f"{url}?{FORM.decode()}"
        from yarl import URL

        sign = {"X-Twilio-Signature": signature(TOKEN, asked)}
        async with http.get(URL(asked, encoded=True), headers=sign) as answer:
            assert answer.status == 200
        async with http.head(URL(asked, encoded=True), headers=sign) as answer:
            assert answer.status == 405
    assert list(journal.kept.values()) == [FORM]


async def test_json_is_taken_by_its_digest(tmp_path: Path) -> None:
    journal, suspects = Journal(), List()
    body = json.dumps(dict(FIELDS)).encode()
    async with mounted(tmp_path, journal, suspects=suspects) as url:
        whole, headers = signed_json(TOKEN, url, body)
        assert await post(whole, body, headers) == 200
        assert await post(whole, body + b" ", headers) == 403
        # The digest of an empty body in the address lets no form in.
        whole, headers = signed_json(TOKEN, url, b"{}")
        form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        assert await post(whole, FORM, form) == 403
    (raw,) = journal.raws
    assert raw.facts["json"] is True
    assert raw.external_id == dict(FIELDS)["MessageSid"]


# -- what is not believed -------------------------------------------------------------------


async def test_what_is_not_signed_is_kept_and_never_acted_on(tmp_path: Path) -> None:
    journal, suspects = Journal(), List()
    async with mounted(tmp_path, journal, suspects=suspects) as url:
        assert await send(url, token="another") == 403
        assert await post(url, FORM, {}) == 403
        assert await post(url + "?x=1", FORM, signed_form(TOKEN, url, FIELDS)[1]) == 403
        foreign = [(name, "AC" + "9" * 32 if name == "AccountSid" else value) for name, value in FIELDS]
        assert await send(url, foreign) == 403
        assert await send(url + "/status", token="another") == 403
    assert journal.raws == []
    reasons = ["wrong signature", "no signature", "wrong signature", "another account", "wrong signature"]
    assert [kept.reason for kept in suspects.requests] == reasons
    kept = suspects.requests[2]
    assert (kept.body, kept.path) == (FORM, urlsplit(url).path + "?x=1")
    assert set(kept.headers) == {"x-twilio-signature", "content-type"}


async def test_what_cannot_even_be_suspected_now_is_asked_for_again(tmp_path: Path) -> None:
    async with mounted(tmp_path, Journal(), suspects=List(failing=True)) as url:
        assert await send(url, token="another") == 503


async def test_a_request_is_believed_when_the_address_or_the_token_was_mended(tmp_path: Path) -> None:
    suspects = List()
    async with mounted(tmp_path, Journal(), suspects=suspects, public_url="https://wrong.example") as url:
        assert await send(url) == 403
        base = url.removesuffix("/channels/sms/main")
    (request,) = suspects.requests
    with pytest.raises(PermissionError):
        hook(tmp_path, public_url="https://wrong.example").recheck(request)
    with pytest.raises(PermissionError):
        hook(tmp_path, public_url=base, auth_token="another").recheck(request)
    (raw,) = hook(tmp_path, public_url=base).recheck(request)
    assert (raw.external_id, raw.format) == (dict(FIELDS)["MessageSid"], "twilio_message/1")
    (raw,) = hook(tmp_path, public_url=base, auth_token="new", next_auth_token=TOKEN).recheck(request)
    assert raw.external_id == dict(FIELDS)["MessageSid"]


async def test_a_subaccount_is_an_account_with_a_token_of_its_own(tmp_path: Path) -> None:
    journal, suspects, sub = Journal(), List(), "AC" + "5" * 32
    theirs = [(name, sub if name == "AccountSid" else value) for name, value in FIELDS]
    async with mounted(tmp_path, journal, suspects=suspects, account_sid=sub, auth_token="of-the-sub") as url:
        assert await send(url, theirs, token="of-the-sub") == 200
        assert await send(url, theirs) == 403
        assert await send(url, FIELDS, token="of-the-sub") == 403
    assert [kept.reason for kept in suspects.requests] == ["wrong signature", "another account"]
    assert len(journal.raws) == 1


async def test_headers_that_a_proxy_may_write_are_no_address(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        forged = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
        assert await send(url, **forged) == 200
        signed = signed_form(TOKEN, "https://evil.example/channels/sms/main", FIELDS)
        assert await post(url, signed[0], {**signed[1], **forged}) == 403


# -- bad input ------------------------------------------------------------------------------


async def test_a_big_body_goes_to_disk_and_a_bigger_one_is_refused(tmp_path: Path) -> None:
    journal, suspects = Journal(), List()
    fields = [(name, "x" * 300_000 if name == "Body" else value) for name, value in FIELDS]
    async with mounted(tmp_path, journal, suspects=suspects) as url:
        assert await send(url, fields) == 200
        (raw,) = journal.raws
        assert isinstance(raw.body, SpooledBody)
        assert list(journal.kept.values()) == [encoded(fields)]
        assert await send(url, fields, token="another") == 403
        assert await post(url, b"x" * (LONGEST + 1), {}) == 413
        chunked = b"POST " + urlsplit(url).path.encode() + b" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(chunked + b"400000\r\n" + b"y" * 0x400000 + b"\r\n")
        assert (await asyncio.wait_for(reader.readline(), ANSWERED)).split(b" ")[1] == b"413"
        writer.close()
        assert await send(url) == 200
    assert suspects.requests == []
    assert list(tmp_path.iterdir()) == []


async def test_twelve_megabytes_packed_into_few_bytes_are_refused(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        bomb = gzip.compress(b"Body=" + b"x" * 12 * 1024 * 1024)
        assert await post(url, bomb, {"Content-Encoding": "gzip"}) in (400, 413)
        assert await post(url, b"no gzip at all", {"Content-Encoding": "gzip"}) == 400
        body, headers = signed_form(TOKEN, url, FIELDS)
        assert await post(url, gzip.compress(body), {**headers, "Content-Encoding": "gzip"}) == 200
    assert list(journal.kept.values()) == [FORM]


async def test_twenty_thousand_fields_are_nobodys_message(tmp_path: Path) -> None:
    journal, suspects = Journal(), List()
    many = [(f"x{number}", "") for number in range(20_000)]
    async with mounted(tmp_path, journal, suspects=suspects) as url:
        assert await send(url, many) == 403
        assert await send(url) == 200
    assert [kept.reason for kept in suspects.requests] == ["too many fields"]


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"Body=%FF%FE", b"Body=%ZZ&&&=;", b"\x00" * 100, b"=" * 1000, "Тело".encode(), b"{"]
)
async def test_bytes_that_are_no_form_are_a_403_and_nothing_worse(body: bytes, tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        for headers in ({}, {"Content-Type": "application/json"}, {"Content-Type": "multipart/form-data; boundary=x"}):
            signed = {"X-Twilio-Signature": "A" * 27 + "=", **headers}
            assert await post(url, body, signed) == 403
        assert await send(url) == 200
    assert len(journal.raws) == 1


@pytest.mark.parametrize("failure", [Unavailable("locked"), OSError(28, "full")])
async def test_trouble_of_ours_is_no_success(failure: Exception, tmp_path: Path) -> None:
    journal = Journal(failures=[failure])
    async with mounted(tmp_path, journal) as url:
        assert await send(url) == 503
        assert await send(url) == 200
    assert list(journal.kept.values()) == [FORM]


async def test_what_does_not_arrive_whole_is_not_taken(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        head = f"POST {urlsplit(url).path} HTTP/1.1\r\nHost: h\r\n".encode()
        for rest in (
            b"Content-Length: 1000\r\n\r\n" + FORM[:20],
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nBod",
            b"Content-Length: -1\r\n\r\n",
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"X-Twilio-Signature: a\x00b\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
            writer.write(head + rest)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), ANSWERED)
            writer.close()
            assert answer.split(b" ")[1:2] in ([], [b"400"])
        assert await send(url) == 200
    assert list(journal.kept.values()) == [FORM]


# -- what Twilio does when we are not there -------------------------------------------------


async def test_by_default_nothing_is_repeated_but_the_other_address_is_asked(tmp_path: Path) -> None:
    journal = Journal(failures=[Unavailable("locked")])
    async with mounted(tmp_path, journal) as url:
        network = Network(account_sid=SID, token=TOKEN, timeout=ANSWERED)
        network.number(OURS, url)
        assert not await network.say("verloren", sender=ANNA, to=OURS)
        journal.failures.append(Unavailable("locked"))
        network.number(OURS, url, fallback=url)
        assert await network.say("Принтер", sender=ANNA, to=OURS)
        assert [one.status for one in network.tried] == [503, 503, 200]
    (raw,) = journal.raws
    assert b"ErrorCode=11200" in next(iter(journal.kept.values()))
    assert raw.external_id == network.kept[1]["MessageSid"]


def test_a_reload_brings_another_address_or_token_into_force(tmp_path: Path) -> None:
    before, key = hook(tmp_path), ("sms", "main")
    assert mounted_anew({key: before}, {key: hook(tmp_path)}) == {key: before}
    for changed in (
        hook(tmp_path, base="https://other.example"),
        hook(tmp_path, auth_token="another-token-of-no-worth"),
    ):
        assert mounted_anew({key: before}, {key: changed}) == {key: changed}


async def test_the_fragment_of_the_address_has_it_repeated_and_is_not_signed(tmp_path: Path) -> None:
    journal = Journal(failures=[Unavailable("locked"), OSError(28, "full"), Unavailable("locked")])
    async with mounted(tmp_path, journal) as url:
        network = Network(account_sid=SID, token=TOKEN, timeout=ANSWERED)
        network.number(OURS, f"{url}#rc=3&rp=all")
        assert await network.say("Принтер", sender=ANNA, to=OURS)
        assert [(one.url, one.status) for one in network.tried] == [(url, 503)] * 3 + [(url, 200)]
    assert len(journal.raws) == 1
