"""Digits in text messages: a mark, or a number in what somebody writes to the desk."""

from __future__ import annotations

import pytest

from normalizer.short_answers import rating


@pytest.mark.parametrize(
    "text",
    [
        "5 всё лежит",
        "5 все сломалось",
        "3 все упало",
        "5, все компьютеры зависли",
        "5 все компьютеры не включаются",
        "5 все зламалося",
        "1 - сервер недоступен",
        "5 спасибо. а когда приедет мастер?",
        "2, когда приедете?",
        "5 спасибо, но сделайте ещё один пароль",
        "на 5, пожалуйста, пришлите мастера",
        "4 дякую. Потрібен ще один доступ",
        "5 thanks, we need one more password",
        "5 дякую, а коли привезуть принтер?",
    ],
)
def test_what_says_that_it_fails_or_asks_is_for_the_desk(text: str) -> None:
    assert rating(text) == (None, "")


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("5", 5),
        ("5 спасибо", 5),
        ("п'ять", 5),
        ("5 всё отлично", 5),
        ("5 все быстро починили", 5),
        ("5, всё работает", 5),
        ("5, пожалуйста", 5),
        ("5 спасибо за помощь", 5),
        ("1 ужасно", 1),
        ("1, никто не приехал", 1),
        ("4 - долго ждали", 4),
    ],
)
def test_marks_stay_marks(text: str, score: int) -> None:
    assert rating(text)[0] == score
