"""The border to whatever guesses a class from words, and the small log-linear model that does it now.

A guess never decides by itself: `router.route` holds its confidence against the policy's thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from math import exp, log
from typing import Literal, Protocol, TypeAlias, get_args

from router.assignment import Line
from router.words import Phrases, Reduced

Head: TypeAlias = Literal["class", "line", "onsite"]
QUESTION = "?"
LINES: tuple[Line, ...] = get_args(Line)
WIDTHS: Mapping[Head, int] = {"class": 6, "line": 4, "onsite": 1}
"""Labels of each head."""


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

    @property
    def concepts(self) -> Phrases:
        """The phrases that it looks for."""
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
    concepts: Phrases
    weights: Mapping[Head, Mapping[str, Sequence[float]]]
    """Head -> feature -> one weight for each label (classes 1-6; L1-L4; one for on-site). "" is the bias."""
    slope: float = 1.0
    intercept: float = 0.0
    """Platt scaling of the log odds of the best class, fitted on held-out folds."""
    rows: Mapping[str, Sequence[float]] = field(init=False, repr=False)
    """Feature -> the weights of all heads side by side."""
    lifts: Mapping[str, Sequence[float]] = field(init=False, repr=False)
    """Feature -> how far it raises each class above the mean of all."""

    def __post_init__(self) -> None:
        rows: dict[str, Sequence[float]] = {}
        for name in sorted({name for table in self.weights.values() for name in table}):
            parts = (self.weights.get(head, {}).get(name, (0.0,) * width) for head, width in WIDTHS.items())
            rows[name] = tuple(weight for part in parts for weight in part)
        object.__setattr__(self, "rows", rows)
        means = {name: sum(row[:6]) / 6 for name, row in rows.items()}
        object.__setattr__(
            self, "lifts", {name: tuple(weight - means[name] for weight in row[:6]) for name, row in rows.items()}
        )

    def guess(self, message: Reduced) -> Guess | None:
        """See `Classifier`."""
        concepts = {found.name: message.quote(found) for found in self.concepts.find(message)}
        rows = self.rows
        names = features(concepts, message)
        if not names:
            return None
        known = [name for name in names if name in rows]
        odds = [sum(column) for column in zip(rows[""], *map(rows.__getitem__, known), strict=True)]
        classes, line_odds = odds[:6], odds[6:10]
        best = classes.index(max(classes))
        lines = softmax(line_odds)
        line = lines.index(max(lines))
        return Guess(
            class_=best + 1,
            confidence=sigmoid(self.slope * margin(classes, best) + self.intercept),
            line=LINES[line],
            line_confidence=lines[line],
            onsite=sigmoid(odds[10]),
            evidence=self._evidence(known, best, concepts, message),
            probabilities=dict(enumerate(softmax(classes), start=1)),
        )

    def _evidence(
        self, known: Sequence[str], best: int, concepts: Mapping[str, tuple[str, ...]], message: Reduced
    ) -> tuple[str, ...]:
        """The words of the three features that raise the best class most above the mean of all."""
        lifts = self.lifts
        gains = nlargest(3, [(lifts[name][best], name) for name in known if name != QUESTION])
        seen: dict[str, None] = {}
        for lift, name in gains:
            if lift > 0:
                seen.update(dict.fromkeys(_words(name, concepts, message)))
        return tuple(seen)


def features(concepts: Iterable[str], message: Reduced) -> list[str]:
    """Names of what is in a message: concepts, pairs of them, stems, a question mark; empty when there are no words."""
    names = sorted(concepts)
    pairs = [f"{one}+{other}" for n, one in enumerate(names, start=1) for other in names[n:]]
    stems = dict.fromkeys([f"={stemmed}" for stemmed in message.stems])
    question = [QUESTION] if stems and QUESTION in message.text else []
    return [*names, *pairs, *stems, *question]


def _words(name: str, concepts: Mapping[str, tuple[str, ...]], message: Reduced) -> tuple[str, ...]:
    """The words of the message that a feature was found in."""
    if name.startswith("="):
        return (message.tokens[message.stems.index(name[1:])],)
    return tuple(word for concept in name.split("+") for word in concepts[concept])


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
