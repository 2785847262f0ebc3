"""A described interface against a store that behaves as an HTTP service of 1C's, by the description in docs/feeds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from gateway.feeds.contract import CannotTell, FeedError, Merged, Outcome, Ref, Replied, Set
from gateway.feeds.described_rest import DescribedRest
from gateway.feeds.rest_settings import RestFeed
from tests.feeds.onec import PASSWORD, Fault, Store, onec
from tests.feeds.writes import NOW, alter, file, opened, said, say, ticket

PAGE = Path(__file__).parents[2] / "docs" / "feeds" / "rest.md"


def described(url: str, **over: Any) -> RestFeed:
    """The settings of the page, with the stand-in's address."""
    block = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    read = YAML(typ="safe", pure=True).load(block[1])
    return RestFeed.model_validate({**read, "url": url, "basic": {"user": "Шлюз", "password": PASSWORD}, **over})


@asynccontextmanager
async def feed_of(store: Store, **over: Any) -> AsyncIterator[DescribedRest]:
    """A feed that is open."""
    made = DescribedRest(described(store.url, **over), clock=lambda: NOW)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def test_a_ticket_is_made_with_everything_the_description_names() -> None:
    async with onec() as store, feed_of(store) as feed:
        due = datetime.fromisoformat("2026-11-20T15:00:00+00:00")
        pushed = await feed.push(opened(ticket(resolution_due=due), said(files=[file()])))
        assert pushed.outcome is Outcome.DONE
        assert pushed.ref == Ref(id="c0ffee00-0000-4000-8000-000000000001", number="000000001")
        [(key, _, body, state)] = store.requests()
    assert (key, state) == ("0a1b2c3d-10000017:open", "Новая")
    assert (body["Класс"], body["Линия"], body["Срок"]) == ("Сервер", "Вторая", "2026-11-20T17:00:00")
    assert body["Описание"] == "Не відкривається з 9:00 📎"
    [sent] = body["Файлы"]
    assert (sent["filename"], sent["size"], sent["content"]) == ("звіт.txt", 6, "cmVwb3J0")


async def test_a_message_and_a_status_follow() -> None:
    async with onec() as store, feed_of(store) as feed:
        ref = (await feed.push(opened())).ref
        assert ref is not None
        note = said("m2", "внутрішнє", public=False, inward=False)
        assert (await feed.push(say(ref, note))).outcome is Outcome.DONE
        assert (await feed.push(alter(ref, {"status"}, ticket(status="resolved")))).outcome is Outcome.DONE
        [(key, body)] = store.said()
        assert (key, body["Внутреннее"], body["Автор"]) == ("0a1b2c3d-10000017:m2", True, "Олена Коваль")
        assert [state for *_, state in store.requests()] == ["Выполнена"]


@pytest.mark.parametrize(
    ("fault", "outcome", "uncertain"),
    [
        ("500", Outcome.RETRY, True),
        ("429", Outcome.RETRY, False),
        ("html", Outcome.RETRY, True),
        ("cut", Outcome.RETRY, True),
        ("refuse", Outcome.REFUSED, False),
    ],
)
async def test_a_fault_is_what_it_is(fault: Fault, outcome: Outcome, *, uncertain: bool) -> None:
    async with onec() as store, feed_of(store) as feed:
        store.faults.append(fault)
        pushed = await feed.push(opened())
        assert (pushed.outcome, pushed.uncertain) == (outcome, uncertain)
        assert await feed.find(opened()) is None
        assert store.requests() == []
    assert pushed.retry_after == (7.0 if fault == "429" else None)


@pytest.mark.parametrize("fault", ["done and cut", "half"])
async def test_what_was_done_without_an_answer_is_found(fault: Fault) -> None:
    async with onec() as store, feed_of(store) as feed:
        store.faults.append(fault)
        pushed = await feed.push(opened())
        assert (pushed.outcome, pushed.uncertain) == (Outcome.RETRY, True)
        ref = await feed.find(opened())
        assert isinstance(ref, Ref)
        assert ref.number == "000000001"
        store.faults.append(fault)
        assert (await feed.push(say(ref, said("m2")))).uncertain
        assert await feed.find(say(ref, said("m2"))) == ref
        assert await feed.find(say(ref, said("m3"))) is None


async def test_a_refusal_in_words_with_a_200_is_a_refusal() -> None:
    async with onec() as store, feed_of(store) as feed:
        pushed = await feed.push(opened(ticket(subject="")))
    assert (pushed.outcome, pushed.detail) == (Outcome.REFUSED, "Не заполнена тема")


async def test_a_wrong_password_is_said_without_it() -> None:
    async with onec() as store, feed_of(store, basic={"user": "Шлюз", "password": "не-то"}) as feed:
        pushed = await feed.push(opened())
        [finding] = await feed.check()
    assert (pushed.outcome, pushed.uncertain) == (Outcome.RETRY, False)
    assert "answers 401" in pushed.detail
    assert not finding.good
    assert "не-то" not in pushed.detail + finding.what
    assert "<html>" not in pushed.detail


async def test_a_store_that_is_away_was_surely_not_written_to() -> None:
    async with onec() as store:
        url = store.url
    async with feed_of(replace(Store(), url=url)) as feed:
        pushed = await feed.push(opened())
        assert (pushed.outcome, pushed.uncertain) == (Outcome.RETRY, False)
        assert isinstance(await feed.find(opened()), CannotTell)
        with pytest.raises(FeedError):
            await feed.changes("0")


async def test_a_ticket_that_vanished_is_said() -> None:
    async with onec() as store, feed_of(store) as feed:
        pushed = await feed.push(say(Ref(id="no/such", number="1"), said("m2")))
    assert pushed.outcome is Outcome.VANISHED


async def test_a_value_without_a_word_is_left_out_and_told() -> None:
    async with onec() as store, feed_of(store, map={"class": {"1": "Инфраструктура"}}) as feed:
        pushed = await feed.push(opened())
    assert list(pushed.left_out) == ["map.class has no word for '2'"]


async def test_changes_are_read_page_by_page_and_ours_are_known() -> None:
    async with onec() as store, feed_of(store) as feed:
        ref = (await feed.push(opened())).ref
        assert ref is not None
        store.change(ref.id, Состояние="В работе")
        store.change(ref.id, Ответ="Перезавантажили", Открыто=True, Файлы=[{"filename": "a.txt", "content": "aGk="}])
        store.change(ref.id, Ответ="для своїх")
        store.change(ref.id, Состояние="Отклонена", Линия="Третья")
        store.change(ref.id, Объединена="c0ffee00-0000-4000-8000-000000000009")
        first = await feed.changes(None)
        assert (first.heard, first.cursor) == ((), "0")
        heard, cursor, more = [], first.cursor, True
        while more:
            page = await feed.changes(cursor)
            assert page.odd == []
            heard, cursor, more = [*heard, *page.heard], page.cursor, page.more
        again = await feed.changes(cursor)
    assert [one.ours for one in heard] == [True] + [False] * 6
    changes = [one.change for one in heard[1:]]
    assert changes[0] == Set(field="status", value="open", raw="В работе")
    assert isinstance(changes[1], Replied)
    assert (changes[1].public, changes[1].files[0].read()) == (True, b"hi")
    assert isinstance(changes[2], Replied)
    assert not changes[2].public
    assert changes[3] == Set(field="status", value="", raw="Отклонена", known=False)
    assert changes[4] == Set(field="line", value="L3", raw="Третья")
    into = "c0ffee00-0000-4000-8000-000000000009"
    assert changes[5] == Merged(into=Ref(id=into, number=into))
    assert len({one.id for one in heard}) == len(heard)
    assert heard[1].at.isoformat() == "2026-11-20T10:00:00+00:00"
    assert (again.heard, again.cursor) == ([], cursor)


async def test_a_cursor_is_never_cut_short() -> None:
    async with onec() as store:
        changes = {**described(store.url).changes.model_dump(exclude_unset=True), "cursor": "'x' * 5000"}  # type: ignore[union-attr]
        async with feed_of(store, changes=changes) as feed:
            store.change("c0ffee00", Состояние="Новая")
            with pytest.raises(FeedError, match="more than 4000"):
                await feed.changes("0")


async def test_an_item_that_cannot_be_read_is_told_and_passed() -> None:
    async with onec() as store, feed_of(store) as feed:
        store.change("", Состояние="В работе")
        store.change("c0ffee00", Состояние="Новая", Момент="завтра")
        store.change("c0ffee00", Ответ="так", Открыто=True, Файлы=[{"content": "%%"}])
        page = await feed.changes("0")
        assert page.heard == []
        assert page.more
        assert [each.split(": ")[0] for each in page.odd] == [f"item {n} of the list of changes" for n in (0, 1)]
        assert (await feed.changes(page.cursor)).odd == ["item 0 of the list of changes: ValueError"]


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"open": {"path": "/x", "id": "answer.id"}}, "needs `find`"),
        ({"open": {"path": "/{{ x", "id": "a", "idempotent": True}}, "is no template"),
        ({"open": {"path": "/", "id": "answer[", "idempotent": True}}, "is no expression"),
        ({"open": {"path": "/", "id": "answer", "idempotent": True, "body": {"a": ["{{ 1 + }}"]}}}, "is no template"),
        ({"timezone": "Kiev"}, "there is no time zone"),
        ({"say": {"path": "/", "find": {"path": "/", "id": "x"}, "repeat": True}}, "repeat"),
    ],
)
def test_a_description_that_cannot_work_is_refused(over: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        described("http://127.0.0.1:1", **over)


async def test_a_template_reaches_nothing_but_its_values() -> None:
    async with onec() as store:
        over = {"open": {"path": "/{{ key.__class__.__mro__ }}", "id": "answer", "idempotent": True}}
        async with feed_of(store, **over) as feed:
            pushed = await feed.push(opened())
    assert pushed.outcome is Outcome.REFUSED
    assert "cannot be computed: SecurityError" in pushed.detail
