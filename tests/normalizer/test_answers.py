"""Ratings, thanks and refusals in short answers."""

from __future__ import annotations

import pytest

from normalizer.mail import answers

RATINGS = {
    "4": 4,
    "5!": 5,
    "5.": 5,
    "5+": 5,
    "5️⃣": 5,
    "*5*": 5,
    "Оценка 5. Спасибо за скорость!": 5,
    "оценка 4": 4,
    "оцінка - 3": 3,
    "пять": 5,
    "Пять баллов": 5,
    "п'ять": 5,
    "п’ятірка": 5,
    "четыре из пяти": 4,
    "5/5": 5,
    "5 из 5": 5,
    "4 out of 5": 4,
    "5 stars": 5,
    "Rating: 3": 3,
    "ставлю 5": 5,
    "на 5": 5,
    "5 - отлично": 5,
    "5, спасибо": 5,
    "5 спасибо": 5,
    "5. Отлично!": 5,
    "⭐⭐⭐⭐": 4,
    "★★★☆☆ могло быть лучше": 3,
    "Здравствуйте! 5": 5,
    "4\n\nС уважением,\nИван": 4,
    "Спасибо, моя оценка 5!": 5,
    "5\nВсё хорошо": 5,
    "5 баллов! Все отлично": 5,
    "1 балл, никто так и не приехал.": 1,
    "three": 3,
    "2 — долго ждали": 2,
    "1, так ничего и не сделали": 1,
}
NOT_RATINGS = (
    "",
    "не работает 5 дней",
    "5 дней не работает",
    "Позвоните в 4 часа, объясню на словах.",
    "3 принтера не печатают, 2 из них",
    "1. Не работает принтер\n2. Не работает мышь",
    "2, 3 и 4 кабинеты",
    "5-й этаж",
    "ставлю 5 принтеров",
    "10",
    "2.5",
    "6",
    "0",
    "4 и 5 кабинет",
    "на 5 этаже",
    "Три дня жду",
    "1 сервер не работает",
    "Один вопрос",
    "4G не работает",
    "3-4 раза в день",
    "оценка 5 дней ждём",
    "оценка 10",
    "55",
    "нет",
    "x" * 5000,
    "Пятый этаж",
    "1:1",
    "5 %",
)


@pytest.mark.parametrize("text", RATINGS)
def test_a_rating_is_understood(text: str) -> None:
    assert answers.rating(text)[0] == RATINGS[text]


@pytest.mark.parametrize("text", NOT_RATINGS)
def test_a_number_is_no_rating(text: str) -> None:
    assert answers.rating(text) == (None, "")


@pytest.mark.parametrize(
    ("text", "comment"),
    [
        ("1 балл, никто так и не приехал.", "никто так и не приехал"),
        ("5", ""),
        ("4\nДолго, но сделали", "Долго, но сделали"),
        ("Спасибо, моя оценка 5!", "Спасибо, моя"),
        ("⭐⭐ медленно", "медленно"),
    ],
)
def test_the_rest_of_a_rating_is_its_comment(text: str, comment: str) -> None:
    assert answers.rating(text)[1] == comment


@pytest.mark.parametrize(
    "text",
    [
        "Спасибо!",
        "Дякую",
        "Щиро дякую за допомогу!",
        "Спасибо, всё работает",
        "Здравствуйте",
        "Спасибо, Анна!",
        "Thanks a lot!",
        "Thank you for your help",
        "Добрый день! Спасибо большое за помощь.\n\nС уважением,\nИван Петров",
        "Дякую, пані Ганно!",
        "С уважением, Иван",
    ],
)
def test_only_thanks(text: str) -> None:
    assert answers.thanks(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Спасибо, не работает",
        "Спасибо, а когда?",
        "Доступ есть, спасибо",
        "ок",
        "Дякую, доступ отримала.",
        "спасибо " * 80,
        "Спасибо. Принтер сломался",
        "Работает",
    ],
)
def test_more_than_thanks(text: str) -> None:
    assert not answers.thanks(text)


@pytest.mark.parametrize(
    "text", ["9", "STOP", "стоп.", "Отпишите меня", "не присылайте больше опросы", "Відписатися", "unsubscribe"]
)
def test_no_more_surveys(text: str) -> None:
    assert answers.stop_surveys(text)


@pytest.mark.parametrize(
    "text", ["", "9 компьютеров не работают", "стоп-кран", "5", "stop the server please, it burns"]
)
def test_a_stop_of_something_else(text: str) -> None:
    assert not answers.stop_surveys(text)


def test_a_long_complaint_under_a_sign_off_is_no_rating_and_costs_nothing() -> None:
    text = "Всё плохо. " * 60 + "\n\nС уважением,\nИван"
    assert answers.rating(text) == (None, "")
    assert answers.rating("5\n" + "долго объяснять " * 40 + "\n\nС уважением,\nИван 4")[0] == 5
