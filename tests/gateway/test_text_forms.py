"""Texts for chats and for text messages: what they say, what they must not say, and how long they may be."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from channels import segments
from gateway import texts, wording
from gateway.rendering import FORMS as BY_CHANNEL
from gateway.rendering import form_of
from gateway.text_names import (
    BOT_TEXTS,
    BY_TEXT_MESSAGE,
    CODE_TEXTS,
    EXPECTED,
    FORMS,
    LONGER,
    PART_UNITS,
    PRESSES,
    TO_OPERATORS,
    TO_REQUESTER,
    TO_STAFF,
    WORD_TEXTS,
    parts,
)
from gateway.text_samples import BARE, OPERATORS, PEOPLE, samples
from gateway.texts import LANGUAGES, Texts

CONFIG = Path(__file__).parents[2] / "config"
KYIV = "Europe/Kyiv"
NOW = datetime(2026, 2, 2, 9, 0, tzinfo=UTC)
CHATS = [
    (form, language, name) for form, names in EXPECTED for language in LANGUAGES for name in names if form != "mail"
]
SHORT = [(language, name) for form, language, name in CHATS if form == "short"]
NAMED = {
    "subject": "Проверочная тема",
    "author": "Ольга Шевченко",
    "incident": "на почте авария",
    "outcome": "заменили диск почты",
    "result": "поменяли кабель",
}
"""What a chat that others read, a text message and a lock screen must not show."""


@pytest.fixture(scope="module")
def loaded() -> Texts:
    found, problems = texts.load(CONFIG)
    assert found is not None, problems
    return found


# -- every text of every form -------------------------------------------------------------


@pytest.mark.parametrize(("form", "language", "name"), CHATS)
def test_every_text_is_filled_in_and_is_text_alone(loaded: Texts, form: str, language: str, name: str) -> None:
    for sample in samples(name):
        made = loaded.fill(language, name, form, sample)
        assert (made.subject, made.html) == ("", "")
        assert made.text == made.text.strip() != ""
        assert not re.search(r"[{}]|%\}|None|\n\n\n|[ \t]\n|  |[\ue000-\ue004]", made.text.replace(" мин", "x")), (
            made.text
        )


@pytest.mark.parametrize(("form", "language", "name"), CHATS)
def test_the_rules_of_tone(loaded: Texts, form: str, language: str, name: str) -> None:
    for sample in samples(name):
        given = {key: value for key, value in sample.items() if key not in ("text", "result", "tickets")}
        text = loaded.fill(language, name, form, {**sample, **{key: "" for key in sample if key not in given}}).text
        assert not re.search(r"\bL[1-4]\b|SLA|\bкласс\b|\bклас\b|\bclass\b|тикет|инцидент|queue", text, re.IGNORECASE)
        assert "!" not in re.sub(r"\A(?:Здравствуйте|Вітаємо|Hello)!", "", text)
        assert not re.search(r"\b(на протязі|являється|співпадає|на рахунок|ваше обращение)\b", text.lower())
        assert not re.search(r"\[#|№|#\d|[\U0001f300-\U0001faff]", text)  # the number as it is, no emoji


def test_a_language_writes_its_own_letters(loaded: Texts) -> None:
    for form, language, name in CHATS:
        text = loaded.fill(language, name, form, next(iter(samples(name)))).text
        if name == "bot_language":  # asked in all three
            continue
        assert not (language == "ru" and re.search("[іїєґ]", text)), (form, name)
        assert not (language == "uk" and re.search("[ыэъё]", text)), (form, name)
        assert not (language == "en" and re.search("[а-яіїєґ]", text)), (form, name)


# -- who reads along ----------------------------------------------------------------------


@pytest.mark.parametrize(("language", "name"), [(language, name) for language in LANGUAGES for name in TO_REQUESTER])
def test_a_chat_that_others_read_names_nobody_and_tells_nothing(loaded: Texts, language: str, name: str) -> None:
    told = {**PEOPLE, **NAMED, "private": False}
    text = loaded.fill(language, name, "chat", told).text
    assert not [key for key, value in NAMED.items() if value in text]
    if name != "reply" and name != "question":  # the words themselves go where the person asked
        assert "Which floor" not in text
    assert PEOPLE["number"] in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_in_private_the_same_texts_say_it(loaded: Texts, language: str) -> None:
    told = {**PEOPLE, **NAMED, "private": True}
    said = {name: loaded.fill(language, name, "chat", told).text for name in TO_REQUESTER}
    assert NAMED["incident"] in said["known_incident"]
    assert NAMED["outcome"] in said["works_again"]
    assert NAMED["result"] in said["resolved"]
    assert NAMED["author"] in said["reply"]
    assert "Which floor" in said["question_reminder"]
    assert not [name for name, text in said.items() if NAMED["subject"] in text]


@pytest.mark.parametrize(("language", "name"), SHORT)
def test_a_text_message_names_nobody(loaded: Texts, language: str, name: str) -> None:
    given = {**next(iter(samples(name))), **PEOPLE, **NAMED, "private": True}
    text = loaded.fill(language, name, "short", given).text
    assert not [key for key, value in NAMED.items() if value in text]
    assert PEOPLE["desk"] not in text
    if name in TO_REQUESTER:
        assert PEOPLE["number"] in text


# -- how long -----------------------------------------------------------------------------


@lru_cache
def longest(language: str) -> dict[str, Any]:
    """The longest of everything that a text message may say."""
    ahead = [NOW + timedelta(minutes=30 * step) for step in range(1, 2 * 24 * 365)]
    days = [NOW + timedelta(days=day) for day in range(170)]
    windows = [(at, at + timedelta(hours=hours)) for at in ahead[::37] for hours in (2, 30)]
    return {
        **OPERATORS,
        "alert": f"mailbox mail/{'x' * 80}",
        **PEOPLE,
        "number": NUMBERS[-1],
        "score": 5,
        "limit": 500,
        "reopened": True,
        "state": "raised",
        "due_short": max((wording.due_short(language, at, NOW, KYIV) for at in ahead), key=len),
        "visit_short": max((wording.window_short(language, *window, KYIV) for window in windows), key=len),
        "date": max((wording.day(language, at, NOW, KYIV) for at in days), key=len),
        "emergency": "+380 44 000 00 01",
        "url": f"https://helpdesk.client-company.example/t/{'a' * 26}",
        "text": "Ы" * 5000,
    }


VARIANTS: list[dict[str, Any]] = [
    {}, {"closed": False}, {"survey": None}, {"due_short": ""}, {"closed": False, "due_short": ""}, {"reopened": ""},
    {"state": "cleared"},
]  # fmt: skip
NUMBERS = ("1045287", "1045287369")
"""The shortest and the longest that a ticket's number usually is."""


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_message_is_one_part_whatever_it_says(loaded: Texts, language: str, number: str) -> None:
    """Of every text that can go out by SMS: what has a short form, and what a channel of that form asks for."""
    found, names = longest(language), {name for form, each in EXPECTED if form == "short" for name in each}
    names |= {name for name in (*TO_REQUESTER, *TO_STAFF, *BOT_TEXTS, *WORD_TEXTS) if form_of("sms", name) == "short"}
    too_long, letters = {}, set()
    for name, extra in product(sorted(names), VARIANTS):
        told = {**found, "number": number, **extra} | ({LONGER[name][0]: ""} if name in LONGER else {})
        text = loaded.fill(language, name, "short", told).text
        letters.add(segments.encoding(text))
        if segments.segments(text) != 1 or (segments.encoding(text) == "UCS-2" and len(text) > PART_UNITS):
            too_long[name, str(extra)] = (len(text), text)
    assert not too_long
    assert letters == ({"GSM-7"} if language == "en" else {"UCS-2"}), "one letter of another alphabet costs 90"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", LONGER)
def test_what_may_be_longer_is_so_only_for_what_it_says(loaded: Texts, language: str, name: str) -> None:
    variable, most = LONGER[name]
    found = longest(language)
    values = [found[variable]] if variable != "text" else ["Ы" * count for count in (1, 60, 159, 160, 170, 171, 5000)]
    counts = [parts(loaded.fill(language, name, "short", {**found, variable: value}).text) for value in values]
    assert max(counts) == most if variable != "text" else max(counts) <= most
    assert max(counts) > 1


def test_a_persons_words_go_out_whole_where_there_is_no_link(loaded: Texts) -> None:
    said = "Слово. " * 60
    made = loaded.fill("ru", "reply", "short", {**PEOPLE, **BARE, "number": "10452873", "text": said, "url": ""})
    assert made.text.endswith(said.strip())


def test_parts_are_counted_in_utf_16_units() -> None:
    assert [parts("я" * count) for count in (1, 70, 71, 134, 135, 201, 202)] == [1, 1, 2, 2, 3, 3, 4]
    assert parts("😀" * 35) == 1
    assert parts("😀" * 36) == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answer_to_a_pressed_button_fits(loaded: Texts, language: str) -> None:
    for name in PRESSES:
        assert len(loaded.fill(language, name, "chat", next(iter(samples(name)))).text) <= 200


@pytest.mark.parametrize("language", LANGUAGES)
def test_buttons_and_the_menu_of_a_bot_fit(loaded: Texts, language: str) -> None:
    words = loaded.pages[language]
    buttons = [words[f"mark{score}"] for score in range(1, 6)]
    buttons += [text for name, text in words.items() if name.startswith("button_")]
    assert all(1 < len(text) <= 30 for text in buttons)
    menu = {name: text for name, text in words.items() if name.startswith("command_")}
    assert all(re.fullmatch(r"command_[a-z0-9_]{1,32}", name) and 3 <= len(text) <= 256 for name, text in menu.items())


# -- which form goes where ----------------------------------------------------------------


def test_each_channel_has_the_form_that_it_can_carry() -> None:
    assert {channel: form_of(channel, "acknowledgement") for channel in ("mail", "telegram", "whatsapp", "sms")} == {
        "mail": "mail", "telegram": "chat", "whatsapp": "chat", "sms": "short",
    }  # fmt: skip
    assert form_of("voice", "later") == "short"
    assert form_of("unheard_of", "later") == "mail"
    chats = set(BOT_TEXTS) - set(BY_TEXT_MESSAGE)
    assert {form_of(channel, name) for channel in BY_CHANNEL for name in chats} == {"chat"}
    assert {form_of("sms", name) for name in BY_TEXT_MESSAGE} == {"short"}
    assert {form_of("whatsapp", name) for name in BY_TEXT_MESSAGE} == {"chat"}
    by_mail = {*TO_STAFF, *CODE_TEXTS} - {*TO_OPERATORS}
    assert {form_of(channel, name) for channel in BY_CHANNEL for name in by_mail} == {"mail"}
    assert [form_of(channel, "alert") for channel in ("mail", "telegram", "sms")] == ["mail", "mail", "short"]
    assert {channel: form_of(channel, "word_stop") for channel in ("whatsapp", "sms")} == {
        "whatsapp": "chat", "sms": "short",
    }  # fmt: skip


def test_whatever_form_a_channel_asks_for_there_is_a_text(loaded: Texts) -> None:
    for channel in BY_CHANNEL:
        for name in (*TO_REQUESTER, *TO_STAFF, *BOT_TEXTS, *CODE_TEXTS):
            assert ("en", name, form_of(channel, name)) in loaded.templates
    assert set(BY_CHANNEL.values()) == set(FORMS)


@pytest.mark.parametrize("form", FORMS)
def test_the_plain_text_of_a_failing_one_is_fit_for_its_form(form: str) -> None:
    made = Texts().fallback("uk", number="17", said="Слова", url="https://x.example/t/1", desk="D", form=form)
    assert "Слова" in made.text
    assert bool(made.subject) == bool(made.html) == (form == "mail")


def test_a_text_of_ones_own_takes_the_place_of_the_shipped_one_in_its_form_only(tmp_path: Path) -> None:
    folder = tmp_path / "texts" / "en"
    folder.mkdir(parents=True)
    (folder / "closed.short.txt").write_text("Over: {{ number }}\n", encoding="utf-8")
    own, problems = texts.load(tmp_path)
    assert own is not None, problems
    sample = next(iter(samples("closed")))
    assert own.fill("en", "closed", "short", sample).text == "Over: 10452873"
    assert own.fill("en", "closed", "chat", sample).text != "Over: 10452873"


def test_a_fault_in_a_chat_text_is_named_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "texts" / "uk"
    folder.mkdir(parents=True)
    (folder / "bot_start.chat.txt").write_text("one\n{{ number }}\n", encoding="utf-8")
    [found] = [str(problem) for problem in texts.problems(tmp_path)]
    assert found.endswith("uk/bot_start.chat.txt:2:1: 'number' is undefined") or "bot_start.chat.txt:2:1:" in found
