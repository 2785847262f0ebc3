"""What is read of a message, and phrases found in any form of their words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.words import MAX_CHARACTERS, Phrases, Vocabulary, phrase, reduce, stem
from tests.normalizer.cost import costs_less_than


def found(text: str, *texts: str) -> list[str]:
    phrases = Phrases.of((one, phrase(one)) for one in texts)
    return [hit.name for hit in phrases.find(reduce("", text))]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("Help me\n> the site is down\n> all of it", "help me"),
        ("On Monday Support wrote:\n> the site is down", ""),
        ("Не печатает\n--\nИван, отдел серверов", "не печатает"),
        ("Не печатает\nС уважением, Иван", "не печатает"),
        ("Не друкує\nЗ повагою, Іван", "не друкує"),
        ("Fix it\nKind regards,\nServer team", "fix it"),
        ("С уважением отнеситесь к просьбе", "с уважением отнеситесь к просьбе"),  # not a closing: nothing is above
        ("Fix it\nScanned for viruses by MailShield", "fix it"),
        ("Look\n2026-11-20 10:00:01 ERROR disk full\n  at com.acme.Main(Main.java:3)", "look"),
        ("See https://a.example/virus now", "see   now"),
        ("Ёлка", "елка"),
    ],
)
def test_only_what_is_said_now(body: str, kept: str) -> None:
    assert reduce("", body).text.strip() == kept


def test_a_log_counts_only_without_other_text() -> None:
    alone = reduce("", "2026-11-20 10:00:01 ERROR disk full")
    assert alone.has_log and "disk" in alone.tokens
    beside = reduce("", "What is this?\n2026-11-20 10:00:01 ERROR disk full")
    assert beside.has_log and "disk" not in beside.tokens
    assert not reduce("", "Все работает").has_log


@pytest.mark.parametrize("subject", ["Re: [#12345678] Fwd: Принтер", "RE[2]: Принтер", "Відп: Отв: принтер", "принтер"])
def test_marks_of_replies_and_tickets_are_no_words(subject: str) -> None:
    assert reduce(subject, "").tokens == ("принтер",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("принтеры не печатают", "принтер"),
        ("у принтерів закінчився папір", "принтери"),
        ("серверов", "сервера"),
        ("немає зв'язку", "зв’язку"),
        ("ми забули паролі", "забули пароль"),
        ("The PRINTERS jammed", "printer"),
        ("виртуальные машины", "виртуал*"),
        ("нет ни у кого доступа", "ни у кого"),
        ("didn't help", "didn't help"),
    ],
)
def test_any_form_of_a_word(text: str, words: str) -> None:
    assert found(text, words) == [words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("принтер", "принцип"),
        ("не очень работает", "не работает"),
        ("кого ни у", "ни у кого"),
        ("у", "у всех"),
        ("", "а"),
    ],
)
def test_other_words_are_not_it(text: str, words: str) -> None:
    assert found(text, words) == []


def test_the_first_place_and_there_the_longest() -> None:
    reduced = reduce("", "сервер упал, потом упал весь сервер баз данных")
    phrases = Phrases.of(
        [("s", phrase("сервер")), ("s", phrase("сервер баз")), ("d", phrase("упал")), ("w", phrase("весь"))]
    )
    hits = phrases.find(reduced)
    assert [(hit.name, hit.position, hit.length) for hit in hits] == [("s", 0, 1), ("d", 1, 1), ("w", 4, 1)]
    longest = Phrases.of([("s", phrase("весь")), ("s", phrase("весь сервер"))]).find(reduced)
    assert reduced.quote(longest[0]) == ("весь", "сервер")
    assert not Phrases({}) and phrases


RULE = Phrases.of((one, phrase(one)) for one in ("нет ни у кого", "ни у кого", "сервер", "виртуал*", "не работает"))
CONCEPTS = Phrases.of([("all", phrase("ни у кого")), ("machine", phrase("виртуальная машина")), ("no", phrase("нет"))])
WORDS = [
    "нет",
    "ни",
    "у",
    "кого",
    "не",
    "работает",
    "сервер",
    "серверы",
    "виртуальная",
    "виртуалка",
    "машины",
    "кого",
    "и",
    "вообще",
]


@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_a_vocabulary_changes_nothing_that_is_found(said: list[str]) -> None:
    text = " ".join(said)
    whole, reduced = reduce("", text), reduce("", text, vocabulary=Vocabulary([RULE, CONCEPTS]))
    assert [part.find(reduced) for part in (RULE, CONCEPTS)] == [part.find(whole) for part in (RULE, CONCEPTS)]
    assert (reduced.tokens, reduced.stems) == (whole.tokens, whole.stems)


def test_phrases_outside_the_vocabulary_are_refused_not_missed() -> None:
    reduced = reduce("", "сервер", vocabulary=Vocabulary([CONCEPTS]))
    with pytest.raises(ValueError, match="other phrases"):
        RULE.find(reduced)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no word"),
        ("  ", "no word"),
        ("100%", "not a word"),
        ("аб*", "three to ten"),
        ("восстановлени*", "three to ten"),
    ],
)
def test_phrases_that_are_none(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        phrase(text)


def test_the_language_chooses_the_stemmer() -> None:
    assert reduce("", "привіт").language == "uk"
    assert reduce("", "привет").language == "ru"
    assert reduce("", "hello").language == "en"
    assert reduce("", "роботи", "uk").language == "uk"
    assert reduce("", "роботи", "de").language == "ru"
    assert stem("printers", "uk") == stem("printer", "ru") == "printer"
    assert stem("сервера", "en") == stem("сервера", "ru")
    assert stem("12-а", "ru") == "12-а"
    for forms in ("сервер сервера серверу сервером серверів сервері", "замовлення замовленням замовленню"):
        assert len({stem(form, "uk") for form in forms.split()}) == 1
    assert stem("зламалася", "uk") == stem("зламала", "uk")


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_raises(subject: str, body: str) -> None:
    reduced = reduce(subject, body)
    assert len(reduced.tokens) == len(reduced.stems)
    assert all(token for token in reduced.tokens)


@pytest.mark.parametrize("body", ["а" * 10**6, "> " * 10**6, "-" * 10**6, "a\n" * 10**6, "wrote " * 10**5, "[" * 10**6])
def test_a_huge_text_takes_no_longer(body: str) -> None:
    with costs_less_than(0.5):
        reduced = reduce(body, body)
    assert len(reduced.text) <= MAX_CHARACTERS
