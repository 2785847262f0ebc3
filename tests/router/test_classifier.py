"""The log-linear model: what it says, how sure it is, and the words it names."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classes import CLASSES, SEVERITY, most_severe, title
from router.classifier import LogLinear, features, margin, sigmoid, softmax
from router.words import Phrases, phrase, reduce
from tests.router.building import shipped

CONCEPTS = Phrases.of([("device", phrase("принтер")), ("device", phrase("printer")), ("how", phrase("как"))])


def model(**changed: Any) -> LogLinear:
    given_: dict[str, Any] = {
        "version": "t",
        "concepts": CONCEPTS,
        "weights": {
            "class": {
                "": (0, 0, 0, 0, 0, 0),
                "device": (3, 0, 0, 0, 0, 0),
                "how": (0, 0, 0, 0, 0, 3),
                "device+how": (0, 0, 0, 0, 0, 2),
            },
            "line": {"": (0, 0, 0, 0), "device": (0, 2, 0, 0)},
            "onsite": {"": (-1,), "device": (3,)},
        },
    }
    return LogLinear(**{**given_, **changed})


def test_what_is_learned_in_one_language_holds_in_the_others() -> None:
    ru, en = model().guess(reduce("", "сломались принтеры")), model().guess(reduce("", "printers broke"))
    assert ru is not None and en is not None
    assert (ru.class_, ru.line, ru.confidence) == (en.class_, en.line, en.confidence) == (1, "L2", ru.confidence)
    assert (ru.evidence, en.evidence) == (("принтеры",), ("printers",))
    assert ru.onsite == pytest.approx(sigmoid(2))


def test_the_evidence_is_what_the_confidence_rests_on() -> None:
    text = "как подключить принтер"
    whole = model().guess(reduce("", text))
    assert whole is not None and whole.class_ == 6 and set(whole.evidence) == {"как", "принтер"}
    without = model().guess(reduce("", text.replace("как", "")))
    assert without is not None and without.class_ == 1
    by_stem = model(weights={"class": {"": (0,) * 6, "=подключ": (0, 0, 0, 0, 1, 0)}}).guess(reduce("", text))
    assert by_stem is not None and (by_stem.class_, by_stem.evidence) == (5, ("подключить",))


def test_confidence_is_the_calibrated_probability() -> None:
    guess = model(slope=0.5, intercept=0.25).guess(reduce("", "принтер"))
    assert guess is not None
    plain = guess.probabilities[1]
    assert guess.confidence == pytest.approx(sigmoid(0.5 * math.log(plain / (1 - plain)) + 0.25))
    assert sum(guess.probabilities.values()) == pytest.approx(1)


def test_nothing_to_go_by() -> None:
    assert model().guess(reduce("", "🙂 ...")) is None
    tie = model().guess(reduce("", "слово"))
    assert tie is not None and tie.class_ == 1 and tie.evidence == ()


def test_features_are_concepts_pairs_stems_and_the_question_mark() -> None:
    assert features(["how", "device"], reduce("", "Как? принтеры как")) == [
        "device",
        "how",
        "device+how",
        "=как",
        "=принтер",
        "?",
    ]
    assert features([], reduce("", "?")) == []


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6), st.integers(0, 1))
def test_numbers_stay_in_bounds(odds: list[float], best: int) -> None:
    shares = softmax(odds)
    assert sum(shares) == pytest.approx(1)
    assert sigmoid(margin(odds, best)) == pytest.approx(shares[best], abs=1e-9)
    assert 0 <= sigmoid(-1e6) < sigmoid(1e6) <= 1


def test_a_policy_goes_to_another_process_unchanged() -> None:
    policy = shipped()
    copied = pickle.loads(pickle.dumps(policy))
    assert copied == policy
    reduced = reduce("", "Сервер не отвечает")
    assert copied.classifier.guess(reduced) == policy.classifier.guess(reduced)  # type: ignore[union-attr]


def test_classes() -> None:
    assert set(SEVERITY) == set(CLASSES) == set(range(1, 7))
    assert most_severe([6, 4, 3]) == 3
    assert title(None) == "class open" and title(3).startswith("class 3: whole application")
