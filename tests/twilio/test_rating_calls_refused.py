"""Whom nobody calls for a mark: the ticket's history says why, and a second request of the day is asked about later."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.demo.twilio_api import Person, Press, Rings
from tests.twilio.calling import LANDLINE, kyiv, story
from tests.twilio.provider import LONG

PATIENCE = pytest.mark.timeout(LONG)


@PATIENCE
async def test_why_nobody_was_called_stands_in_the_tickets_history(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        await desk.solved()
        desk.desk.store.change(
            f"INSERT INTO phone_fact (value, shared, why, actor, at) VALUES ('{LANDLINE}', 1, 'two contacts', 'x', 1)"
        )
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.until("SELECT 1 FROM event WHERE kind = 'rating_call'")
        assert desk.notes() == [{"call": 1, "state": "not_made", "detail": "a shared number"}]
        assert desk.api.outgoing.made == []


@PATIENCE
async def test_who_was_called_about_one_request_is_called_about_the_other_the_next_day(tmp_path: Path) -> None:
    async with story(tmp_path) as desk:
        rated = Rings(answers="person", person=Person(doings=(Press(keys="5"),)))
        desk.rings(LANDLINE, rated, rated)
        for _ in range(2):
            await desk.solved()
        await desk.later(kyiv(5, 4, 13, 5))
        await desk.called(1)
        await desk.later(kyiv(5, 4, 18))
        await desk.called(1)
        await desk.later(kyiv(5, 5, 10, 5))
        await desk.called(2)
        await desk.until("SELECT 1 WHERE (SELECT count(*) FROM rating WHERE current AND score = 5) = 2")
        assert desk.rows("SELECT count(DISTINCT ticket_id) FROM outbox WHERE kind = 'rating_call'") == [(2,)]
