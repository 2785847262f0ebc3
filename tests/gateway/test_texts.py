"""Every text in every language can be filled in; faults are named with their place; nothing becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gateway import texts
from gateway.text_html import clean, layout, link, words
from gateway.text_samples import samples
from gateway.texts import LANGUAGES, TEMPLATES, TO_REQUESTER, TO_STAFF, TextFailure, Texts

CONFIG = Path(__file__).parents[2] / "config"
EACH = [(language, template) for language in LANGUAGES for template in TEMPLATES]


@pytest.fixture(scope="module")
def loaded() -> Texts:
    found, problems = texts.load(CONFIG)
    assert found is not None, problems
    return found


class Reader(HTMLParser):
    """Collects text, links and open tags."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.language = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language = given.get("lang") or ""
        if tag == "a":
            self.links.append((given.get("href") or "", ""))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "a":
            self.links[-1] = (self.links[-1][0], data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


# -- the shipped texts --------------------------------------------------------------------


def test_the_shipped_texts_have_no_faults() -> None:
    assert texts.problems(CONFIG) == []


@pytest.mark.parametrize(("language", "template"), EACH)
def test_every_text_is_filled_in_in_every_language(loaded: Texts, language: str, template: str) -> None:
    for sample in samples(template):
        made = loaded.fill(language, template, "mail", sample)
        assert made.subject
        assert "\n" not in made.subject
        assert made.text.strip()
        assert not re.search(r"[{}]|%\}|None|\n\n\n|[ \t]\n|[\ue000-\ue004]", made.text), made.text
        page = read(made.html)
        assert page.language == language
        for address, label in page.links:
            assert address.startswith("https://")
            assert len(label) > 3  # says where it leads, not "here"
            assert address in made.text  # whoever reads the plain text can follow it too


@pytest.mark.parametrize(("language", "template"), [pair for pair in EACH if pair[1] in TO_REQUESTER])
def test_the_rules_of_tone(loaded: Texts, language: str, template: str) -> None:
    full, bare = samples(template)
    for sample in (full, bare):
        text = loaded.fill(language, template, "mail", {**sample, "text": "", "result": ""}).text
        assert not re.search(r"\bL[1-4]\b|SLA|\bкласс\b|\bклас\b|\bclass\b|тикет|инцидент|queue", text, re.IGNORECASE)
        assert "!" not in text.partition("\n")[2]
        assert "ваше обращение" not in text.lower()
        assert not re.search(r"\b(на протязі|являється|співпадає|на рахунок)\b", text.lower())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_person_reads_the_number_and_the_promise(loaded: Texts, language: str) -> None:
    full, bare = samples("acknowledgement")
    promised = loaded.fill(language, "acknowledgement", "mail", full)
    assert "10452873" in promised.text
    assert "by 15:00 today" in promised.text
    assert "+380 44 000 00 01" in promised.text
    assert promised.subject == "Re: Printer on the second floor [#10452873]"
    unpromised = loaded.fill(language, "acknowledgement", "mail", bare)
    assert unpromised.subject.endswith("[#10452873]")
    assert len(unpromised.text) < len(promised.text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_survey_has_five_word_links_and_a_way_out(loaded: Texts, language: str) -> None:
    made = loaded.fill(language, "resolved", "mail", next(iter(samples("resolved"))))
    links = read(made.html).links
    scores = [(address[-1], label) for address, label in links if "score=" in address]
    assert [score for score, _ in scores] == ["5", "4", "3", "2", "1"]
    assert all(label.startswith(f"{score} ") for score, label in scores)
    assert any("stop=1" in address for address, _ in links)


def test_people_and_staff_share_no_template() -> None:
    assert not set(TO_REQUESTER) & set(TO_STAFF)


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_have_the_same_words_in_every_language(loaded: Texts, language: str) -> None:
    english = loaded.pages["en"]
    own = loaded.pages[language]
    assert set(own) == set(english)
    for key, said in own.items():
        assert texts.places(said) == texts.places(english[key]), key


# -- faults -------------------------------------------------------------------------------


def planted(tmp_path: Path, **files: str) -> list[str]:
    for name, content in files.items():
        language, _, rest = name.partition("_")
        path = tmp_path / "texts" / language / f"{rest}.mail.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return [str(problem).removeprefix(f"{tmp_path}/texts/") for problem in texts.problems(tmp_path)]


FAULTS = {
    "unknown name": ("uk_closed", "one\n{{ nobody }}\n", "uk/closed.mail.txt:2:1: 'nobody' is undefined"),
    "in the subject": ("uk_closed", "Subject: {{ nobody }}\n\none\n", "uk/closed.mail.txt:1:1: 'nobody' is undefined"),
    "below a subject": (
        "en_later",
        "Subject: x\n\none\n{{ nobody }}\n",
        "en/later.mail.txt:4:1: 'nobody' is undefined",
    ),
    "in a part": ("ru_signature", "{{ nobody }}", "ru/signature.mail.txt:1:1: 'nobody' is undefined"),
    "not parsed": ("ru_later", "one\n{% if %}\n", "ru/later.mail.txt:2:1: Expected an expression"),
    "staff's facts in a person's text": ("en_closed", "line {{ line }}", "en/closed.mail.txt:1:1: 'line' is undefined"),
    "no such file": ("en_closed", '{% include "x.mail.txt" %}', "en/closed.mail.txt:"),
    "a link to nowhere": ("en_closed", '{{ link("go", number) }}', "en/closed.mail.txt:1:1: ValueError: a link leads"),
    "reaching out of the sandbox": (
        "en_closed",
        "{{ number.__class__.__mro__ }}",
        "en/closed.mail.txt:1:1: access to attribute '__class__'",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_place_once(tmp_path: Path, name: str) -> None:
    file, content, expected = FAULTS[name]
    [found] = planted(tmp_path, **{file: content})
    assert found.startswith(expected)


def test_every_fault_at_once(tmp_path: Path) -> None:
    assert len(planted(tmp_path, ru_closed="{{ a }}", uk_closed="{{ b }}", en_later="{% if %}")) == 3


def test_an_own_text_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    assert planted(tmp_path, en_closed="Subject: Bye\n\nTicket {{ number }} is over.\n") == []
    own, _ = texts.load(tmp_path)
    assert own is not None
    sample = next(iter(samples("closed")))
    assert own.fill("en", "closed", "mail", sample).text == "Ticket 10452873 is over.\n"
    assert own.fill("en", "closed", "mail", sample).subject == "Bye"
    assert "10452873" in own.fill("ru", "closed", "mail", sample).text


def test_words_of_pages_are_checked(tmp_path: Path) -> None:
    folder = tmp_path / "texts" / "en"
    folder.mkdir(parents=True)
    (folder / "pages.yaml").write_text("thankz: x\nthanks: 'You said {mark}'\nhow: 5\n", encoding="utf-8")
    found = [str(problem) for problem in texts.problems(tmp_path)]
    assert len(found) == 3
    assert any("thankz: is not a known key" in problem for problem in found)
    assert any(":2:" in problem and "may use score only" in problem for problem in found)


def test_a_failing_text_raises_and_the_fallback_keeps_a_persons_words(loaded: Texts) -> None:
    with pytest.raises(TextFailure, match=r"en/reply\.mail\.txt"):
        loaded.fill("en", "reply", "mail", {})
    with pytest.raises(TextFailure, match="there is no text"):
        Texts().fill("en", "reply", "mail", {})
    for language in LANGUAGES:
        made = Texts().fallback(
            language, number="17", said="Look at\n\n the {cable}", url="https://x.example/t/1", desk="D"
        )
        assert "Look at\n\n the {cable}" in made.text
        assert "17" in made.subject
        assert read(made.html).language == language


# -- one text, two forms ------------------------------------------------------------------


def test_what_people_write_never_becomes_markup() -> None:
    evil = "<script>x</script> & [a](http://evil.example) \ue000label\ue001javascript:x\ue002 \x00"
    made = layout("s", f"Before {clean(evil)}\n\n{words(evil)}\n\n{clean('after')}", language="en", brand="<b>")
    assert "<script>" not in made.html
    assert read(made.html).links == []
    assert "<script>x</script> & [a](http://evil.example)" in made.text
    assert "\x00" not in made.text + made.html


def test_a_name_turns_the_direction_of_no_line() -> None:
    made = layout("s", f"{clean(chr(0x202E) + 'evil')}: {words('a' + chr(0x2066) + 'b')}", language="en", brand="")
    assert made.text == "evil: ab\n"
    assert clean("مرحبا") == "مرحبا"


def test_a_persons_lines_stay_as_they_are() -> None:
    said = "  indented\n\n\n{{ number }}\n- list"
    made = layout("s", f"Hello,\n\n\n{words(said)}\n\nBye", language="en", brand="")
    assert made.text == f"Hello,\n\n{said}\n\nBye\n"
    assert "white-space:pre-wrap" in made.html


def test_links_lead_to_the_web_only() -> None:
    for bad in ("javascript:alert(1)", "data:text/html,x", "/relative", ""):
        with pytest.raises(ValueError, match="http"):
            link("x", bad)
    made = layout("s", f"{link('a & b', 'https://x.example/?a=1&b=2')}", language="en", brand="")
    assert made.text == "a & b: https://x.example/?a=1&b=2\n"
    assert read(made.html).links == [("https://x.example/?a=1&b=2", "a & b")]
    quoted = layout("s", link("x", 'https://x.example/" onclick="y'), language="en", brand="")
    assert 'onclick="y' not in quoted.html
