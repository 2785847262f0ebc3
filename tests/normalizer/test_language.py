"""The language of short texts."""

from __future__ import annotations

import pytest

from normalizer import language

TEXTS = {
    "Не работает почта, помогите": "ru",
    "Акт подписан.": "ru",
    "Снимки не открываются на рабочей станции": "ru",
    "Печь снова в сети, вопрос закрыт.": "ru",
    "HP в читальном зале.": "ru",
    "Пошта не працює": "uk",
    "Дякую, доступ отримала.": "uk",
    "Каса не друкує чеки": "uk",
    "Лічильник замінили": "uk",
    "The printer does not work": "en",
    "Thanks": "en",
    "Der Drucker ist nicht da, bitte": "de",
    "Bonjour, je ne peux pas ouvrir la page": "fr",
    "Dzień dobry, nie działa": "pl",
    "Η σελίδα δεν ανοίγει": "el",
    "打印机坏了": "zh",
    "プリンターが動きません": "ja",
    "": "",
    "12345 !!!": "",
    "https://wiki.example/page support@desk.example": "",
    "Dobryi den, slomalsya printer": "",
    "Сервер db1 down, не відповідає on port 5432": "uk",
}


@pytest.mark.parametrize("text", TEXTS)
def test_language(text: str) -> None:
    assert language.guess(text)[0] == TEXTS[text]


@pytest.mark.parametrize(
    ("text", "sure"),
    [
        ("Не работает почта, помогите пожалуйста, это срочно", True),
        ("Не работает", False),
        ("Добридень, сьогодні не працює електронна черга", True),
        ("The printer does not work since this morning", True),
        ("Thanks a lot", False),
        ("kernel panic eth0 irq nobody cared the", False),
        ("Дуже прошу проверить почту и сайт ещё раз, сьогодні", False),
    ],
)
def test_sure_needs_five_words_and_clear_signs(text: str, sure: bool) -> None:
    assert language.guess(text)[1] is sure
