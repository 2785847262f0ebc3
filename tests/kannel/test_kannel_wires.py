"""Kannel's calls and answers one by one: what is believed, what is a repeat, what each answer of sendsms comes to."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web

from channels.contract import Unavailable, Unverified
from channels.segments import segments
from channels.sms.kannel_answers import receipt_of
from channels.sms.kannel_outbound import KannelSender
from gateway.settings_files import load_settings
from gateway.web.hooks import mounted_anew
from normalizer.message import Delivery, Fault, Notice
from tests.contract.channel_adapter import notice
from tests.kannel.wires import ANNA, OURS, PASSWORD, SECRET, account, hook, mounted, sender_for
from tests.twilio.provider import NOW, Journal, List

GOOD = f"secret={SECRET}&id=6e2df2fa&from=%2B380670000001&to=%2B380440000001&text=%D0%94%D0%B0&coding=0"


async def get(url: str, **more: Any) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as http, http.get(url, allow_redirects=False, **more) as answer:
        return answer.status, await answer.read()


async def test_a_call_is_kept_as_it_came_but_for_the_secret_and_its_repeat_is_known(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        for query in (GOOD, GOOD, GOOD.replace("coding=0", "coding=0&smsc=other")):
            assert await get(f"{url}?{query}") == (200, b"")
    assert len(journal.kept) == 1
    raw = journal.raws[0]
    assert list(journal.kept.values()) == [GOOD.partition("&")[2].encode()]
    assert (raw.format, raw.external_id, raw.peer) == ("kannel/1", "6e2df2fa", ANNA)
    assert raw.deliveries == (("main", OURS),)
    assert SECRET not in repr(raw)


@pytest.mark.parametrize("more", ["", "&id=%25I", "&id="])
async def test_an_address_without_ids_and_times_swallows_nothing(more: str, tmp_path: Path) -> None:
    """Who says "yes" today and tomorrow says it twice."""
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        for _ in range(2):
            assert await get(f"{url}?secret={SECRET}&from=%2B380670000001&text=yes{more}") == (200, b"")
    assert len(journal.kept) == 2


async def test_a_post_keeps_its_bytes_and_a_password_in_the_address_is_believed(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url, aiohttp.ClientSession() as http:
        content = "Не друкує".encode("utf-16-be")
        headers = {"Content-Type": 'text/plain; charset="UTF-16BE"', "X-Kannel-Coding": "2", "X-Kannel-From": ANNA}
        headers["Authorization"] = "Basic " + base64.b64encode(f"kannel:{SECRET}".encode()).decode()
        async with http.post(f"{url}?id=seven", data=content, headers=headers) as answer:
            assert answer.status == 200
    (raw,) = journal.raws
    assert list(journal.kept.values()) == [content]
    assert raw.facts["query"] == "id=seven"
    assert raw.peer == ANNA
    assert SECRET not in repr(raw)
    assert "authorization" not in repr(raw).lower()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "no secret"),
        ("secret=", "wrong secret"),
        (f"secret={SECRET}x", "wrong secret"),
        (f"Secret={SECRET}", "no secret"),
        ("secret=%ff%00", "wrong secret"),
        ("&".join(f"a{n}=1" for n in range(300)) + f"&secret={SECRET}", "no secret"),
    ],
)
async def test_what_brings_no_secret_is_403_and_kept_and_never_acted_on(
    query: str, reason: str, tmp_path: Path
) -> None:
    journal, suspects = Journal(), List()
    async with mounted(tmp_path, journal, suspects=suspects) as url:
        assert (await get(f"{url}?{query}"))[0] == 403
        assert (await get(f"{url}/status?{query}"))[0] == 403
    assert not journal.raws
    assert [one.reason for one in suspects.requests] == [reason] * 2


@pytest.mark.parametrize("header", ["Basic", "Basic !!", "Basic YQ==", "Bearer x", "Basic " + "A" * 900])
async def test_odd_passwords_are_403(header: str, tmp_path: Path) -> None:
    async with mounted(tmp_path, Journal()) as url:
        assert (await get(url, headers={"Authorization": header}))[0] == 403


async def test_what_was_refused_is_believed_after_the_secret_is_mended(tmp_path: Path) -> None:
    suspects = List()
    async with mounted(tmp_path, Journal(), suspects=suspects, secret="another-secret-of-no-worth") as url:
        assert (await get(f"{url}?{GOOD}"))[0] == 403
    (kept,) = suspects.requests
    (raw,) = hook(tmp_path).recheck(kept)
    assert raw.external_id == "6e2df2fa"
    with pytest.raises(PermissionError):
        hook(tmp_path, secret="another-secret-of-no-worth").recheck(kept)
    report = Unverified(
        method="GET", path=f"/x/status?secret={SECRET}&k=12345678&type=1", headers={}, body=b"", reason=""
    )
    assert hook(tmp_path).recheck(report)[0].format == "kannel_report/1"


def test_a_reload_brings_another_secret_into_force(tmp_path: Path) -> None:
    before, key = hook(tmp_path), ("sms", "main")
    assert mounted_anew({key: before}, {key: hook(tmp_path)}) == {key: before}
    changed = hook(tmp_path, next_secret="another-secret-of-no-worth")
    assert mounted_anew({key: before}, {key: changed}) == {key: changed}


async def test_nothing_is_taken_when_nothing_can_be_kept(tmp_path: Path) -> None:
    journal, suspects = Journal(failures=[Unavailable("locked")]), List(failing=True)
    async with mounted(tmp_path, journal, suspects=suspects) as url, aiohttp.ClientSession() as http:
        assert (await get(f"{url}?{GOOD}"))[0] == 503
        assert (await get(url))[0] == 503
        async with http.post(f"{url}?{GOOD}", data=b"x" * 100_000) as answer:
            assert answer.status == 413
        assert (await get(f"{url}?{GOOD}"))[0] == 200


@pytest.mark.parametrize(
    ("said", "at"),
    [
        (str(int((NOW - timedelta(hours=5)).timestamp())), NOW - timedelta(hours=5)),
        (str(int((NOW + timedelta(hours=5)).timestamp())), NOW),
        (str(int((NOW - timedelta(days=400)).timestamp())), NOW),
        ("now", NOW),
        ("9" * 11, NOW),
    ],
)
async def test_a_message_is_as_old_as_kannel_says_within_reason(said: str, at: datetime, tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        assert (await get(f"{url}?{GOOD}&time={said}"))[0] == 200
    assert journal.raws[0].received_at == at.replace(tzinfo=UTC)


async def test_a_report_is_one_of_our_key_and_its_type(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        for kind, number in (("8", "a"), ("1", "b"), ("1", "c")):
            query = f"secret={SECRET}&o=5&k=0123456789ab&type={kind}&id={number}&from=%2B380670000001"
            assert (await get(f"{url}/status?{query}"))[0] == 200
    assert [raw.external_id for raw in journal.raws] == ["0123456789ab:8", "0123456789ab:1", "0123456789ab:1"]
    assert len(journal.kept) == 2


@pytest.mark.parametrize(
    ("status", "words", "delivery", "fault"),
    [
        (202, "0: Accepted for delivery", Delivery.SENT, Fault.NONE),
        (202, "3: Queued for later delivery", Delivery.SENT, Fault.NONE),
        (200, "OK", Delivery.SENT, Fault.NONE),
        (403, "Authorization failed for sendsms", Delivery.RETRY, Fault.OURS),
        (403, "Not routable. Do not try again.", Delivery.UNREACHABLE, Fault.FAR_SIDE),
        (400, "Number(s) has/have been denied by white- and/or black-lists.", Delivery.UNREACHABLE, Fault.FAR_SIDE),
        (400, "Missing receiver number, rejected", Delivery.REFUSED, Fault.MESSAGE),
        (400, "Sender missing and no global set, rejected", Delivery.REFUSED, Fault.OURS),
        (404, "Unknown request.", Delivery.RETRY, Fault.OURS),
        (302, "", Delivery.RETRY, Fault.OURS),
        (500, "Sending failed.", Delivery.RETRY, Fault.FAR_SIDE),
        (503, "Temporal failure, try again later.", Delivery.RETRY, Fault.FAR_SIDE),
        (502, "<html>Bad Gateway</html>", Delivery.RETRY, Fault.FAR_SIDE),
        (999, "", Delivery.RETRY, Fault.FAR_SIDE),
    ],
)
def test_each_answer_of_sendsms_has_its_receipt(status: int, words: str, delivery: Delivery, fault: Fault) -> None:
    receipt = receipt_of(status, words, "sms:main:key")
    assert (receipt.delivery, receipt.fault) == (delivery, fault)
    assert bool(receipt.external_ids) == (delivery is Delivery.SENT)
    assert str(status) in receipt.detail


def letter(text: str, **more: Any) -> Notice:
    return notice("sms", **{"text": text, "destination": {"to": ANNA, "from": OURS}, **more})


@pytest.mark.parametrize(("text", "coding"), [("Hello {€}", "0"), ("Привіт 😀", "2"), ("Hello — you", "2")])
async def test_what_sendsms_gets(text: str, coding: str) -> None:
    got: list[tuple[dict[str, str], str, str]] = []

    async def sendsms(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.text(), request.path_qs))
        return web.Response(status=202, text="0: Accepted for delivery")

    site = web.Application()
    site.add_routes([web.post("/cgi-bin/sendsms", sendsms)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/cgi-bin/sendsms"
        receipt = await sender_for(url, lambda: "0123456789ab", smsc="net").send(letter(text))
    finally:
        await runner.cleanup()
    assert receipt.external_ids == ("sms:main:0123456789ab",)
    ((headers, body, path),) = got
    assert (body, path) == (text, "/cgi-bin/sendsms")
    assert headers["X-Kannel-Password"] == PASSWORD
    assert (headers["X-Kannel-To"], headers["X-Kannel-From"], headers["X-Kannel-Coding"]) == (ANNA, OURS, coding)
    assert (headers["X-Kannel-Validity"], headers["X-Kannel-SMSC"]) == ("240", "net")
    told = urlsplit(headers["X-Kannel-DLR-Url"])
    assert told.netloc + told.path == "desk.example/channels/sms/main/status"
    said = parse_qs(told.query)
    assert (said["o"], said["k"], said["secret"]) == (["7"], ["0123456789ab"], [SECRET])
    # Everything after a % is a parameter of Kannel's.
    assert set(re.findall("%.", headers["X-Kannel-DLR-Url"])) == {"%d", "%A", "%p", "%P", "%i", "%T"}


@pytest.mark.parametrize("to", ["KYIVSTAR", "hidden:7", "0501112233x", "", "+0", "+380670000001 +380670000002"])
async def test_who_cannot_be_written_to_is_unreachable_without_a_call(to: str) -> None:
    sender = sender_for("http://127.0.0.1:9/", lambda: "k")
    receipt = await sender.send(letter("x", destination={"to": to, "from": OURS}, recipient=notice("sms").recipient))
    assert receipt.delivery is Delivery.UNREACHABLE


async def test_operators_hear_of_a_password_that_kannel_refuses_until_it_takes_one() -> None:
    answers = [(403, "Authorization failed for sendsms"), (503, "Temporal failure"), (202, "0: Accepted for delivery")]

    async def sendsms(_request: web.Request) -> web.Response:
        status, words = answers.pop(0)
        return web.Response(status=status, text=words)

    site = web.Application()
    site.add_routes([web.post("/", sendsms)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sender = sender_for(f"http://127.0.0.1:{runner.addresses[0][1]}/", lambda: "k")
        assert isinstance(sender, KannelSender)
        assert await sender.troubles() == {}
        await sender.send(letter("x"))
        ((cause, why),) = (await sender.troubles()).items()
        assert (cause, "refuses our password" in why) == ("kannel sms/main", True)
        assert PASSWORD not in why
        await sender.send(letter("x"))
        assert await sender.troubles() == {}
    finally:
        await runner.cleanup()


async def test_a_country_that_is_not_written_to_is_left_to_the_next_channel() -> None:
    sender = sender_for("http://127.0.0.1:9/", lambda: "k")
    receipt = await sender.send(letter("x", destination={"to": "+48600000001", "from": OURS}))
    assert (receipt.delivery, receipt.about) == (Delivery.UNREACHABLE, "channel")
    allowing = sender_for("http://127.0.0.1:9/", lambda: "k", prefixes=["+48"])
    receipt = await allowing.send(letter("x", destination={"to": "+48600000001", "from": OURS}))
    assert receipt.delivery is Delivery.RETRY


async def test_a_kannel_that_is_not_there_has_surely_not_sent_it() -> None:
    receipt = await sender_for("http://127.0.0.1:9/cgi-bin/sendsms", lambda: "k").send(letter("x"))
    assert (receipt.delivery, receipt.uncertain) == (Delivery.RETRY, False)


def test_a_persons_words_go_out_whole_and_ours_end_with_their_link() -> None:
    sender = sender_for("http://127.0.0.1:9/", lambda: "k")
    assert isinstance(sender, KannelSender)
    words = "Перезавантажте, будь ласка, принтер і спробуйте ще раз. " * 12
    parts = sender.divide(letter(words, automatic=False))
    assert [part.part for part in parts] == list(range(len(parts)))
    assert all(segments(part.text) <= 3 for part in parts)
    assert " ".join(part.text for part in parts).split() == words.split()
    link = "https://desk.example/t/abc"
    (one,) = sender.divide(letter(f"{words} {link}", automatic=True, link=link))
    assert segments(one.text) <= 3
    assert one.text.endswith(link)


@pytest.mark.parametrize(
    ("more", "key", "said"),
    [
        ({"secret": "short"}, "channels.sms.main.secret", "less than 16 characters"),
        ({"secret": "with%percent%signs"}, "channels.sms.main.secret", "other characters"),
        ({"api_url": ""}, "channels.sms.main", "needs api_url, username and password"),
        ({"api_url": "http://gw:pw@127.0.0.1/"}, "channels.sms.main.api_url", "should be an address"),
        ({"numbers": []}, "channels.sms.main.numbers", "at least 1 item"),
        ({"segments": 99}, "channels.sms.main.segments", "less than or equal to 10"),
        ({"apiurl": "x"}, "channels.sms.main.apiurl", "did you mean api_url?"),
        ({"auth_token": "x"}, "channels.sms.main.auth_token", "not a known key"),
        ({"provider": "infobip"}, "channels.sms.main.provider", "should be one of: twilio, kannel"),
        ({"provider": 7}, "channels.sms.main.provider", "should be one of: twilio, kannel"),
        ({"provider": "twilio"}, "channels.sms.main.secret", "not a known key"),
    ],
)
def test_faults_of_the_settings_are_named_with_their_place(
    more: dict[str, Any], key: str, said: str, tmp_path: Path
) -> None:
    lines, given = ["channels:", "  sms:", "    main:"], account().model_dump(mode="python")
    wanted = {name: given[name] for name in ("provider", "username", "api_url")} | {"numbers": [OURS], **more}
    for name, value in (("secret", SECRET), ("password", PASSWORD)):
        file = tmp_path / name
        file.write_text(str(wanted.get(name, value)))
        wanted[name] = f"file:{file}"
    lines += [f"      {name}: {value!r}" for name, value in wanted.items()]
    (tmp_path / "gateway.yaml").write_text("\n".join(lines).replace("('", "['").replace(",)", "]"))
    _, problems = load_settings(tmp_path, environment={})
    found = {problem.key: problem for problem in problems}
    assert key in found, problems
    assert said in found[key].message
    name = key.rpartition(".")[2]
    # A fault of the account as a whole stands at its first key.
    written = [number for number, line in enumerate(lines, 1) if line.strip().startswith(f"{name}:")]
    assert found[key].line == (written[0] if name in wanted else 4)
