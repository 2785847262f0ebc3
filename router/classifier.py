"""The border to whatever guesses a class from words, and the small log-linear model that does it now.

A guess never decides by itself: `router.route` holds its confidence against the policy's thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Literal, Protocol, TypeAlias, get_args

from router.assignment import Line
from router.words import Phrase, Reduced

Head: TypeAlias = Literal["class", "line", "onsite"]
LINES: tuple[Line, ...] = get_args(Line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What the words look like."""

    class_: int
    confidence: float
    """Calibrated probability that `class_` is acceptable, 0..1."""
    line: Line
    line_confidence: float
    onsite: float
    """Probability that somebody must come."""
    evidence: tuple[str, ...] = ()
    """Words of the message that spoke most for `class_`; without them the confidence would be lower."""
    probabilities: Mapping[int, float] = field(default_factory=dict)


class Classifier(Protocol):
    """Pure, deterministic and picklable."""

    @property
    def version(self) -> str:
        """Named in the reasons; changes with the weights."""
        ...

    def guess(self, message: Reduced) -> Guess | None:
        """None when there is nothing to go by."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLinear:
    """Multinomial logistic regression over concepts, pairs of concepts and stems.

    A concept is a named set of phrases in all three languages ("nobody": nobody, никто, ніхто …), so what is learned
    from one language holds in the others.
    """

    version: str
    concepts: Mapping[str, tuple[Phrase, ...]]
    weights: Mapping[Head, Mapping[str, Sequence[float]]]
    """Head -> feature -> one weight for each label (classes 1-6; L1-L4; one for on-site). "" is the bias."""
    slope: float = 1.0
    intercept: float = 0.0
    """Platt scaling of the log odds of the best class, fitted on held-out folds."""
    by_key: Mapping[str, tuple[tuple[str, Phrase], ...]] = field(init=False)
    """Stem or beginning of a first word -> concepts to look at."""

    def __post_init__(self) -> None:
        table: dict[str, list[tuple[str, Phrase]]] = {}
        for name, phrases in self.concepts.items():
            for phrase in phrases:
                for key in sorted(phrase[0]):
                    table.setdefault(key, []).append((name, phrase))
        object.__setattr__(self, "by_key", {key: tuple(found) for key, found in table.items()})

    def guess(self, message: Reduced) -> Guess | None:
        """See `Classifier`."""
        found = features(self.by_key, message)
        if not found:
            return None
        odds = scores(self.weights["class"], found, 6)
        probabilities = dict(enumerate(softmax(odds), start=1))
        best = max(probabilities, key=lambda class_: (probabilities[class_], -class_))
        lines = softmax(scores(self.weights["line"], found, 4))
        line = max(range(4), key=lambda n: (lines[n], -n))
        return Guess(
            class_=best,
            confidence=sigmoid(self.slope * margin(odds, best - 1) + self.intercept),
            line=LINES[line],
            line_confidence=lines[line],
            onsite=sigmoid(scores(self.weights["onsite"], found, 1)[0]),
            evidence=self._evidence(found, best - 1),
            probabilities=probabilities,
        )

    def _evidence(self, found: Mapping[str, Sequence[str]], best: int) -> tuple[str, ...]:
        """The words of the three features that raise the best class most above the mean of the others."""
        weights = self.weights["class"]
        gains = []
        for name, words in found.items():
            row = weights.get(name)
            if row and words and (gain := row[best] - sum(row) / len(row)) > 0:
                gains.append((-gain, words))
        seen: dict[str, None] = {}
        for _, words in sorted(gains)[:3]:
            seen.update(dict.fromkeys(words))
        return tuple(seen)


def features(by_key: Mapping[str, Sequence[tuple[str, Phrase]]], message: Reduced) -> dict[str, tuple[str, ...]]:
    """Feature -> the words of the message it was found in; empty when no word is known to anybody."""
    concepts: dict[str, tuple[str, ...]] = {}
    for key in message.index:
        for name, phrase in by_key.get(key, ()):
            if name not in concepts and (at := message.find(phrase)) is not None:
                concepts[name] = message.tokens[at : at + len(phrase)]
    out = dict(concepts)
    names = sorted(concepts)
    if "?" in message.text:
        out["?"] = ()
    for n, one in enumerate(names):
        for other in names[n + 1 :]:
            out[f"{one}+{other}"] = concepts[one] + concepts[other]
    for token, stemmed in zip(message.tokens, message.stems, strict=True):
        out.setdefault(f"={stemmed}", (token,))
    return out


def softmax(scores: Sequence[float]) -> list[float]:
    """Scores -> probabilities."""
    top = max(scores)
    powers = [exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def sigmoid(value: float) -> float:
    """Log odds -> probability, without overflow."""
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))


def margin(odds: Sequence[float], best: int) -> float:
    """Log odds of the best label against all others together."""
    top = max(value for n, value in enumerate(odds) if n != best)
    return odds[best] - top - log(sum(exp(value - top) for n, value in enumerate(odds) if n != best))


def scores(weights: Mapping[str, Sequence[float]], found: Iterable[str], width: int) -> list[float]:
    """Sum of the weights of the features found, the bias "" included: log odds for each of `width` labels."""
    scores = list(weights.get("", (0.0,) * width))
    for name in found:
        row = weights.get(name)
        if row is not None:
            for n, weight in enumerate(row):
                scores[n] += weight
    return scores
