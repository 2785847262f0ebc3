"""What the provider lists and no webhook brought is taken in, once, in order, and never more than that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from channels.contract import Unavailable
from channels.twilio import lists, reconcile
from channels.twilio.inbound import raw_message
from gateway.context import Context
from gateway.demo.twilio_api import Fault
from gateway.demo.twilio_api.rest import Kind
from gateway.listening import troubles
from gateway.store.database import migrate
from normalizer.message import InlineBody, Message, RawMessage
from normalizer.normalize import normalize
from tests.mailboxes.desk import until
from tests.twilio.lists_desk import START, Desk, context, lists_desk
from tests.twilio.provider import ANNA, OURS, TOKEN

MISSED = "reconciliation sms/main"
OTHER = "+380440000002"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Context]:
    """An empty database and a configuration, made once."""
    folder = tmp_path_factory.mktemp("ground")
    migrate(f"sqlite:///{folder / 'gateway.db'}", backup_to=folder / "backups")
    return folder / "gateway.db", context(folder)


@pytest.fixture
async def desk(tmp_path: Path, ground: tuple[Path, Context]) -> AsyncIterator[Desk]:
    async with lists_desk(tmp_path, *ground) as made:
        yield made


async def test_a_first_start_takes_nothing_from_before_its_hour(desk: Desk) -> None:
    desk.write("a year ago", ago=365 * 24 * 60)
    desk.write("yesterday", ago=24 * 60)
    desk.write("too old", ago=61)
    young = desk.write("while it was installed", ago=59)
    desk.write("under way", ago=1)
    assert await desk.compared() == {}, "what came before us is nobody's loss"
    assert desk.kept() == [young]
    assert desk.api.count("list") == 1, "pages behind what is wanted are not asked for"
    assert await desk.compared(reconcile_back="2d") == {}, "the beginning stands"
    assert desk.kept() == [young]


async def test_what_came_while_we_were_down_is_taken_in_once_in_its_order(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=5)
    sids = [desk.write(f"Лист {number}", ago=200 - number) for number in range(120)]
    desk.clock.forward(minutes=3)
    found = await desk.compared()
    assert list(found) == [MISSED]
    assert "120 messages that no webhook had brought" in found[MISSED]
    assert desk.kept() == sids
    received = [row[0] for row in desk.store.rows("SELECT received_at FROM entry ORDER BY id")]
    assert received == sorted(received)
    assert received[0] == int((START + timedelta(minutes=100)).timestamp() * 1_000_000)
    for _ in range(2):
        desk.clock.forward(minutes=15)
        assert await desk.compared() == {}, "it is over when a comparison finds nothing"
    assert desk.kept() == sids


async def test_a_message_that_the_webhook_brought_is_known(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    sid = desk.write("Один раз", ago=10)
    said = list(desk.network.kept[0].items())
    hooked = raw_message(
        said, "0" * 64, kind="message", channel="sms", account="main", body=InlineBody(content=b"From=x"),
        now=desk.clock(), facts={},
    )  # fmt: skip
    await desk.pipeline.accept([hooked])
    assert await desk.compared() == {}
    assert desk.kept() == [sid]
    late = desk.write("Спочатку список", ago=5)
    assert list(await desk.compared()) == []
    desk.clock.forward(minutes=5)
    assert list(await desk.compared()) == [MISSED]
    said = list(desk.network.kept[1].items())
    again = raw_message(
        said, "1" * 64, kind="message", channel="sms", account="main", body=InlineBody(content=b"From=x&ErrorCode=1"),
        now=desk.clock(), facts={},
    )  # fmt: skip
    (accepted,) = await desk.pipeline.accept([again])
    assert accepted.duplicate
    assert desk.kept() == [sid, late]


@pytest.mark.parametrize("size", [1, 7, 200])
async def test_every_page_is_read(desk: Desk, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "PAGE", size)
    await desk.compared()
    desk.clock.forward(hours=2)
    sids = [desk.write(f"{number}", ago=60 - number) for number in range(15)]
    await desk.compared()
    assert desk.kept() == sids
    assert desk.api.count("list") >= 15 // size


async def test_a_long_outage_is_read_day_by_day_and_what_is_too_much_at_once_in_parts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PAGE", 5)
    monkeypatch.setattr(reconcile, "UNSEEN", 10)
    monkeypatch.setattr(reconcile, "TOGETHER", 4)
    await desk.compared()
    desk.clock.forward(days=9)
    sids = [desk.write(f"{number}", ago=9 * 24 * 60 - number * 300) for number in range(36)]
    burst = [desk.write(f"burst {number}", ago=30) for number in range(33)]
    await desk.compared()
    assert sorted(desk.kept()) == sorted(sids + burst)
    assert desk.kept()[:36] == sids
    assert len({cursor for _, cursor in desk.commits}) >= 10
    assert max(count for count, _ in desk.commits) <= 4


@pytest.mark.parametrize("kind", ["too_many", "error", "server", "html", "empty", "reset", "half", "lost", "never"])
async def test_a_list_that_fails_in_the_middle_is_read_again(
    desk: Desk, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PAGE", 4)
    await desk.compared()
    before = desk.cursors()
    desk.clock.forward(hours=2)
    sids = [desk.write(f"{number}", ago=60 - number) for number in range(10)]
    desk.api.plan(Fault(kind="late", on="list"), Fault(kind=kind, on="list"), Fault(kind=kind, on="list"))
    async with desk.comparing() as one:
        await until(lambda: desk.api.count("list") >= 2, "the first page")
        assert desk.cursors() == before
        # From here on an answer that is late is asked for once more, and no more.
        monkeypatch.setattr(lists, "SECONDS", 2.0 if kind == "never" else lists.SECONDS)
        desk.api.go_on()
        await until(lambda: desk.kept() == sids, "all of them")
        await until(lambda: desk.cursors() != before, "the cursor")
        assert list(await troubles([one])) in ([], [MISSED])
    assert desk.kept() == sids


async def test_operators_hear_of_a_token_at_once_and_of_other_trouble_after_a_while(desk: Desk) -> None:
    desk.api.plan(*(Fault(kind="html", on="list") for _ in range(1000)))
    async with desk.comparing(longest=0.05) as one:
        await until(lambda: desk.api.count("list") >= 3, "three tries")
        assert await troubles([one]) == {}
        desk.clock.forward(minutes=5)
        found = await troubles([one])
        assert "answers 503" in found["twilio sms/main"]
        desk.api._plan.clear()
        await until(lambda: one._rounds.trouble() == "", "a good one")
    desk.network.token = "changed"
    desk.clock.forward(minutes=15)
    async with desk.comparing() as one:
        await until(lambda: one._rounds.trouble(), "the refusal")
        said = (await troubles([one]))["twilio sms/main"]
        assert "answers 401 (error 20003)" in said
        assert TOKEN not in said


async def test_the_next_token_is_tried(desk: Desk) -> None:
    sid = desk.write("Нові ключі", ago=10)
    await desk.compared(auth_token="old")
    assert desk.kept() == [sid]


async def test_nothing_is_passed_that_is_not_committed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "TOGETHER", 3)
    await desk.compared()
    before = desk.cursors()
    desk.clock.forward(hours=2)
    sids = [desk.write(f"{number}", ago=60 - number) for number in range(8)]
    desk.fails += [Unavailable("locked"), Unavailable("locked")]
    async with desk.comparing():
        await until(lambda: not desk.fails, "both failures")
        await until(lambda: len(desk.kept()) == 8, "all of them")
        await until(lambda: desk.cursors() != before, "the cursor")
    assert desk.kept() == sids
    assert [count for count, _ in desk.commits[-3:]] == [3, 3, 2]
    assert [bool(cursor) for _, cursor in desk.commits[-3:]] == [False, False, True]


async def test_files_are_asked_for_only_of_messages_that_have_some_and_are_new(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    desk.write("без файлів", ago=30)
    with_files = desk.network.new_sid("MM")
    said = desk.attached.files(desk.api.url, with_files, (b"\xff\xd8\xffa", "image/jpeg"), (b"OggSb", "audio/ogg"))
    desk.write("знімки", ago=20, sid=with_files, **said)
    await desk.compared()
    desk.clock.forward(minutes=15)
    await desk.compared()
    assert desk.attached.listed == [with_files]
    brought = desk.bodies()[-1]
    assert {name: brought[name] for name in said} == said


@pytest.mark.parametrize(("statuses", "asked", "files"), [([404], 1, 0), ([500, 503], 3, 1), ([400] * 9, 3, 0)])
async def test_files_that_cannot_be_listed_hold_nobody_up_for_long(
    desk: Desk, statuses: list[int], asked: int, files: int
) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    sid = desk.network.new_sid("MM")
    said = desk.attached.files(desk.api.url, sid, (b"\xff\xd8\xffa", "image/jpeg"))
    desk.write("знімок", ago=30, sid=sid, **said)
    plain = desk.write("слова", ago=20)
    desk.attached.failing = [*statuses]
    await desk.compared()
    assert sorted(desk.kept()) == sorted([sid, plain])
    assert len(desk.attached.listed) == asked
    brought = next(one for one in desk.bodies() if one["MessageSid"] == sid)
    assert brought["NumMedia"] == "1"
    assert ("MediaUrl0" in brought) == bool(files)


async def test_trouble_of_the_host_costs_no_files_unless_it_goes_on(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    pictures = []
    for number in range(3):
        sid = desk.network.new_sid("MM")
        said = desk.attached.files(desk.api.url, sid, (b"\xff\xd8\xffa", "image/jpeg"))
        pictures.append(desk.write(f"знімок {number}", ago=30, sid=sid, **said))
    plain = desk.write("слова", ago=20)
    desk.attached.failing = [503] * 5 + [429] * 10_000
    async with desk.comparing(often=timedelta(milliseconds=50)) as one:
        await until(lambda: len(desk.attached.listed) > 8, "several tries")
        assert desk.kept() == [plain], "nobody waits for the files of others"
        assert set(desk.attached.listed) == {pictures[0]}, "who wants a rest is not asked for the others"
        desk.clock.forward(minutes=11)
        await until(lambda: one.compared, "a whole comparison")
        assert sorted(desk.kept()) == sorted([plain, *pictures])
        # It was over without a word, and what fails the next day is another trouble.
        desk.attached.failing = [503]
        desk.clock.forward(hours=24)
        sid = desk.network.new_sid("MM")
        said = desk.attached.files(desk.api.url, sid, (b"\xff\xd8\xffa", "image/jpeg"))
        desk.write("ще один", ago=30, sid=sid, **said)
        await until(lambda: sid in desk.kept(), "the next picture")
    assert "MediaUrl0" in desk.bodies()[-1]


async def test_files_that_are_listed_elsewhere_hold_nobody_up_for_ever(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    sid = desk.network.new_sid("MM")
    said = desk.attached.files(desk.api.url, sid, (b"\xff\xd8\xffa", "image/jpeg"))
    desk.attached.elsewhere.add(sid)
    desk.write("знімок", ago=30, sid=sid, **said)
    await desk.compared()
    desk.clock.forward(hours=3)
    later = desk.write("слова", ago=20)
    await desk.compared()
    assert desk.kept() == [sid, later]


async def test_a_name_that_is_none_ends_nothing(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    desk.write("odd", ago=30, sid="SM\ud83d")
    sid = desk.write("слова", ago=20)
    await desk.compared()
    assert desk.kept() == [sid]


async def test_a_whatsapp_number_is_asked_for_as_such_and_each_number_has_a_cursor(desk: Desk) -> None:
    sms = desk.write("sms", ago=10)
    wrote = desk.write("whatsapp", ago=10, sender=f"whatsapp:{ANNA}", to=f"whatsapp:{OURS}")
    other = desk.write("other", ago=10, sender=f"whatsapp:{ANNA}", to=f"whatsapp:{OTHER}")
    await desk.compared("whatsapp", numbers=[OURS, OTHER])
    assert sorted(desk.kept()) == sorted([wrote, other])
    assert set(desk.cursors()) == {f"messages {OURS}", f"messages {OTHER}"}
    assert sms not in desk.kept()


async def test_a_listed_message_means_what_the_webhook_s_would(desk: Desk) -> None:
    text = "Не друкує №5\r\nдруга & третя = 😀 \x00"
    sid = desk.write(text, ago=10)
    await desk.compared()
    (row,) = desk.store.rows("SELECT format, peer, facts FROM entry")
    assert row[:2] == ("twilio_message/1", ANNA)
    hook = desk.network.kept[0]
    found = []
    for body in (desk.bodies()[0], hook):
        raw = RawMessage(
            channel="sms", account="main", format="twilio_message/1", external_id=sid, fingerprint="", peer=ANNA,
            received_at=START, body=InlineBody(content=urlencode(body).encode()),
            facts={}, deliveries=(),
        )  # fmt: skip
        found.append(normalize(raw))
    assert isinstance(found[0], Message)
    assert found[0] == found[1]


async def test_half_a_character_in_a_list_is_no_end_of_it(desk: Desk) -> None:
    sids = [desk.write(text, ago=10) for text in ("\ud83d half", "\x00", "", "x" * 100_000, "ok")]
    await desk.compared()
    assert desk.kept() == sids
    for row in desk.bodies():
        row["Body"].encode()


async def test_what_we_sent_and_what_is_still_coming_in_is_left_alone(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=2)
    desk.api.messages.send({"From": OURS, "To": OURS}, "to ourselves")
    for one in desk.api.sent:
        desk.api.messages.advance(one, "delivered")
    sid = desk.write("ще йде", ago=10, SmsStatus="receiving")
    stuck = desk.write("ніколи не дійде", ago=10, SmsStatus="receiving")
    desk.clock.forward(minutes=5)
    await desk.compared()
    assert desk.kept() == []
    desk.network.kept[0]["SmsStatus"] = "received"
    desk.clock.forward(minutes=15)
    await desk.compared()
    assert desk.kept() == [sid]
    desk.clock.forward(minutes=15)
    await desk.compared()
    assert desk.kept() == [sid, stuck], "not waited for until it is out of sight"


async def test_a_clock_that_was_ahead_does_not_end_it(desk: Desk) -> None:
    desk.clock.forward(days=400)
    await desk.compared()
    desk.clock.forward(days=-400)
    sid = desk.write("Година назад", ago=-5)
    desk.clock.forward(minutes=10)
    await desk.compared()
    assert desk.kept() == [sid]


async def test_it_is_done_again_and_again(desk: Desk) -> None:
    one = desk.reconciler(often=timedelta(milliseconds=50))
    await one.start(desk.intake)
    try:
        for number in range(3):
            sid = desk.write(f"Ще {number}", ago=10)
            await until(lambda: len(desk.kept()) > number, "the message")  # noqa: B023 - it is waited for here
            assert desk.kept()[-1] == sid
            desk.clock.forward(minutes=20)
    finally:
        await one.stop()
    assert len(desk.kept()) == 3


async def test_stopping_waits_for_nobody_and_may_be_followed_by_a_start(desk: Desk) -> None:
    desk.api.plan(Fault(kind="never", on="list"))
    one = desk.reconciler()
    await one.start(desk.intake)
    await until(lambda: desk.api.count("list") == 1, "the question")
    await one.stop()
    sid = desk.write("Після зупинки", ago=10)
    await one.start(desk.intake)
    await until(lambda: desk.kept() == [sid], "the message")
    await one.stop()
    assert one.lease == "sms/main list"
    assert one.listening() == {}
