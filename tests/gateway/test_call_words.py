"""What is said in a call: every text that a step can name is there in three languages, and is filled in."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from gateway import call_ends, call_notes, call_tickets, call_transcripts, call_words, texts
from gateway.dialogs import ivr
from gateway.dialogs.ivr_states import Ask, Bye, Prompt, Way
from gateway.texts import LANGUAGES, Texts
from normalizer.call import Collect, HangUp, Line

CONFIG = Path(__file__).parents[2] / "config"
STATES = ("new", "open", "waiting", "resolved", "closed")
BY_KEY = ("option_urgent", "option_report", "option_status", "option_person")


@pytest.fixture(scope="module")
def loaded() -> Texts:
    found, problems = texts.load(CONFIG)
    assert found is not None, problems
    return found


def named_by_the_step() -> set[str]:
    """Names of texts that stand in the step's own code: in prompts, and handed on to what makes prompts of them."""
    found = {*BY_KEY, *(f"state_{state}" for state in STATES), "nobody_free", "record"}
    for node in ast.walk(ast.parse(inspect.getsource(ivr))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = [word.value for word in node.keywords if word.arg == "text"] if node.func.id == "Prompt" else []
            given += node.args[2:] if node.func.id in ("_listen", "_end") else []
            found |= {each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return found


def named_for_the_ticket() -> set[str]:
    """Names of texts that are written into tickets."""
    sources = "".join(inspect.getsource(module) for module in (call_notes, call_tickets, call_transcripts, call_ends))
    return {
        *re.findall(r'"(ticket_(?!id"|number")[a-z_]+)"', sources),
        *(f"ticket_chose_{way}" for way in get_args(Way)),
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_the_same_texts_in_every_language_and_just_those_that_are_said(loaded: Texts, language: str) -> None:
    own, english = loaded.calls[language], loaded.calls["en"]
    assert set(own) == set(english)
    assert {name for name in own if not name.startswith("ticket_")} == named_by_the_step()
    assert {name for name in own if name.startswith("ticket_")} == named_for_the_ticket()
    assert all(texts.places(said) == texts.places(english[name]) for name, said in own.items())


def test_a_text_is_said_in_the_calls_language_and_one_of_its_own_in_that(loaded: Texts) -> None:
    asked = Ask(
        prompts=(Prompt(text="language", variables={"key": "3"}, language="en"), Prompt(text="goodbye")), seconds=7
    )
    made = call_words.act(asked, loaded, language="ru", desk="Example")
    assert isinstance(made, Collect) and made.seconds == 7
    assert made.lines == (
        Line(language="en", words="For English, press 3."), Line(language="ru", words="Спасибо, до свидания."),
    )  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_rating_call_says_who_calls_and_no_subject(loaded: Texts, language: str) -> None:
    said = Bye(prompts=(Prompt(text="rating_call", variables={"date": "24.11"}),))
    made = call_words.act(said, loaded, language=language, desk="Example support")
    assert isinstance(made, HangUp)
    assert "Example support" in made.lines[0].words and "24.11" in made.lines[0].words


@pytest.mark.parametrize("language", LANGUAGES)
def test_five_is_the_best_is_said_each_time_and_recording_is_said_before_it(loaded: Texts, language: str) -> None:
    own = loaded.calls[language]
    best = {"uk": "П'ять — відмінно", "ru": "Пять — отлично", "en": "Five is excellent"}[language]
    assert best in own["rate"]
    consent = {"uk": "записан", "ru": "запис", "en": "recorded"}[language]
    assert all(consent in own[name] for name in ("record", "nothing_pressed", "low_score"))


def test_a_folder_may_say_it_in_other_words_and_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "texts" / "en"
    folder.mkdir(parents=True)
    (folder / "calls.yaml").write_text('goodbye: "Bye."\nrate: "{mark}"\nother: "x"\n', encoding="utf-8")
    found = [str(problem) for problem in texts.problems(tmp_path)]
    assert any(":2:" in problem and "may use no {name} only" in problem for problem in found)
    assert any("other: is not a known key" in problem for problem in found) and len(found) == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_is_cut_where_it_is_filled_in_and_says_the_same_in_parts(loaded: Texts, language: str) -> None:
    letters = str.isalnum
    for name, template in loaded.calls[language].items():
        cut = list(call_words.parts(name, template))
        whole = template.replace("{", " ").replace("}", " ")
        assert list(filter(letters, "".join(part.words for part in cut))) == list(filter(letters, whole))
        names = [part.name for part in cut if part.name]
        assert names == ([name] if len(names) == 1 else [f"{name}.{at}" for at in range(1, len(names) + 1)])


def test_parts_carry_what_is_filled_in(loaded: Texts) -> None:
    said = Bye(prompts=(Prompt(text="number_told", variables={"digits": "1 0, 4 5"}),))
    made = call_words.act(said, loaded, language="en", desk="Example")
    assert [(piece.name, piece.words) for piece in made.lines[0].pieces] == [
        ("number_told.1", "Thank you. Your ticket number is"), ("", "1 0, 4 5"), ("number_told.2", "Again"),
        ("", "1 0, 4 5"),
    ]  # fmt: skip
