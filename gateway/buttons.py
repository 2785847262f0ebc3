"""The buttons under a notice: in words of the reader's language, with the tokens that votes need.

A row of the outbox names words and what comes back; a token is derived when the row is rendered and stands nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

from gateway import survey_asking
from gateway.context import Context
from gateway.dialogs.bot import MARKS
from gateway.store import surveys
from gateway.store.outbox import Row
from normalizer.message import Button

ASKING = ("resolved", "survey", "survey_reminder")
"""Templates that ask for a mark when their row names a survey."""


def of_row(conn: Connection, ctx: Context, row: Row) -> tuple[tuple[Button, ...], ...]:
    """Rows of buttons; none for what has nothing to press, and under a question whose time is over."""
    given = row.variables.get("buttons")
    if given is None and row.template in ASKING and row.variables.get("survey"):
        given = [[[choice.word, choice.data] for choice in line] for line in MARKS]
    if not given:
        return ()
    token = _token(conn, ctx, row)
    made = (tuple(_made(ctx, row.language, line, token)) for line in given)
    return tuple(line for line in made if line)


def _token(conn: Connection, ctx: Context, row: Row) -> str:
    survey_id = row.variables.get("survey")
    if not isinstance(survey_id, int):
        return ""
    survey = surveys.get(conn, survey_id)
    over = survey.expires_at <= (row.sending_at or row.created_at)
    return "" if over else survey_asking.token_of(ctx, survey.nonce)


def _made(ctx: Context, language: str, line: Sequence[Any], token: str) -> Iterator[Button]:
    words = ctx.texts.pages.get(language, {})
    for word, data in line:
        if "{survey}" in data and not token:
            continue
        label = words.get(f"button_{word}") or words.get(word) or word
        yield Button(label=label, data=data.replace("{survey}", token))
