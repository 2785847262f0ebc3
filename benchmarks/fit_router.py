"""Fit the classifier's weights: `python -m benchmarks.fit_router DATA.jsonl [config/classifier.json]`.

DATA has rows `{subject, text, class, also_ok, line, line_ok, onsite, abstain_ok}`. Printed are figures of k-fold
cross-validation (fitted on the other folds, concepts as they stand); calibration is fitted on those held-out scores.
Without the second argument nothing is written. `--held-out FILE` writes what each row would get from a model that has
not seen it, with the rules of `config/`, in the form of `gateway route --json`.
Plain Python and a fixed order: the same data give the same file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from typing import Any

from gateway.cli.route import answered
from gateway.policy_files import load_policy
from gateway.policy_models import ConceptsFile
from gateway.yaml_files import load
from router.classifier import LINES, WIDTHS, Head, LogLinear, features, margin, sigmoid, softmax
from router.words import Phrases, phrase, reduce

CONFIG = Path(__file__).parent.parent / "config"
FOLDS = 10
EPOCHS = 30
RATE = 0.2
PENALTY: Mapping[Head, float] = {"class": 0.01, "line": 0.01, "onsite": 0.01}
STEM_VALUE = 0.25
"""Stems count less than concepts, which hold across languages."""
LEAST = {"concept": 2, "pair": 3, "stem": 2}
"""In how many rows a feature must occur."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled request as features and targets."""

    found: tuple[str, ...]
    target: Mapping[str, tuple[float, ...]]
    right: frozenset[int]
    """Classes that count as right."""
    onsite: bool
    lines: frozenset[str]


def kind(name: str) -> str:
    """Of a feature: stem, pair or concept."""
    return "stem" if name.startswith("=") else "pair" if "+" in name else "concept"


def value(name: str) -> float:
    """How much a feature counts where it occurs."""
    return STEM_VALUE if name.startswith("=") else 1.0


def shares(best: Any, also: Sequence[Any], labels: Sequence[Any], first: float) -> tuple[float, ...]:
    """The right label gets `first`, accepted ones share the rest."""
    if not also:
        first = 1.0
    return tuple(first if label == best else (1 - first) / len(also) if label in also else 0.0 for label in labels)


def rows(path: Path, concepts: Phrases) -> list[Row]:
    """Read the data."""
    out = []
    for text in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(text)
        reduced = reduce(row["subject"], row["text"])
        out.append(
            Row(
                tuple(features({found.name for found in concepts.find(reduced)}, reduced)),
                {
                    "class": shares(row["class"], row["also_ok"], range(1, 7), 0.7),
                    "line": shares(row["line"], row["line_ok"], LINES, 0.75),
                    "onsite": (float(row["onsite"]),),
                },
                frozenset([row["class"], *row["also_ok"]]),
                row["onsite"],
                frozenset([row["line"], *row["line_ok"]]),
            )
        )
    return out


def scores(weights: Mapping[str, Sequence[float]], found: Iterable[str], width: int) -> list[float]:
    """Sum of the weights of the features found, the bias "" included: log odds for each of `width` labels."""
    scores = list(weights.get("", (0.0,) * width))
    for name in found:
        row = weights.get(name)
        if row is not None:
            for n, weight in enumerate(row):
                scores[n] += weight
    return scores


def fit(head: Head, data: Sequence[Row]) -> dict[str, list[float]]:
    """Adagrad over the rows in a fixed order, with an L2 penalty."""
    counts = Counter(name for row in data for name in row.found)
    width = WIDTHS[head]
    weights = {"": [0.0] * width} | {n: [0.0] * width for n, c in counts.items() if c >= LEAST[kind(n)]}
    squares = {name: [1e-6] * width for name in weights}
    known = [[name for name in row.found if name in weights] for row in data]
    order = sorted(range(len(data)), key=lambda n: hashlib.sha256(str(n).encode()).digest())
    for _ in range(EPOCHS):
        for n in order:
            raw = list(weights[""])
            for name in known[n]:
                for k, weight in enumerate(weights[name]):
                    raw[k] += weight * value(name)
            guess = softmax(raw) if width > 1 else [sigmoid(raw[0])]
            wrong = [guess[k] - data[n].target[head][k] for k in range(width)]
            for name in (*known[n], ""):
                row, square, much = weights[name], squares[name], value(name)
                for k in range(width):
                    slope = wrong[k] * much + (PENALTY[head] * row[k] if name else 0)
                    square[k] += slope * slope
                    row[k] -= RATE * slope / sqrt(square[k])
    return {name: [weight * value(name) for weight in row] for name, row in weights.items()}


def platt(pairs: Sequence[tuple[float, bool]]) -> tuple[float, float]:
    """Slope and intercept of a one-dimensional logistic regression by Newton's method, weakly held to (1, 0)."""
    slope, intercept = 1.0, 0.0
    for _ in range(50):
        a = b = aa = ab = bb = 0.0
        for score, right in pairs:
            p = sigmoid(slope * score + intercept)
            a += (p - right) * score
            b += p - right
            aa += p * (1 - p) * score * score
            ab += p * (1 - p) * score
            bb += p * (1 - p)
        a, b, aa, bb = a + (slope - 1), b + intercept, aa + 1, bb + 1
        down = aa * bb - ab * ab
        slope, intercept = slope - (a * bb - b * ab) / down, intercept - (b * aa - a * ab) / down
    return slope, intercept


def held_out(data: Sequence[Row]) -> tuple[list[tuple[int, float, str, float]], list[dict[Head, Any]]]:
    """(class, margin, line, on-site probability) of each row by a model that has not seen it; and the models."""
    out: list[tuple[int, float, str, float]] = [(0, 0.0, "", 0.0)] * len(data)
    folds: list[dict[Head, Any]] = []
    for fold in range(FOLDS):
        train = [row for n, row in enumerate(data) if n % FOLDS != fold]
        models: dict[Head, Any] = {head: fit(head, train) for head in WIDTHS}
        folds.append(models)
        for n in range(fold, len(data), FOLDS):
            odds = scores(models["class"], data[n].found, 6)
            line = scores(models["line"], data[n].found, 4)
            best = odds.index(max(odds))
            onsite = sigmoid(scores(models["onsite"], data[n].found, 1)[0])
            out[n] = best + 1, margin(odds, best), LINES[line.index(max(line))], onsite
    return out, folds


def report(data: Sequence[Row], guesses: Sequence[tuple[int, float, str, float]], slope: float, bias: float) -> None:
    """The figures of the held-out guesses."""
    right = [guess[0] in row.right for row, guess in zip(data, guesses, strict=True)]
    sure = [sigmoid(slope * guess[1] + bias) for guess in guesses]
    line = sum(guess[2] in row.lines for row, guess in zip(data, guesses, strict=True))
    print(f"{FOLDS}-fold: class {sum(right) / len(data):.3f}, line {line / len(data):.3f}", end="")
    ranked = sorted(zip(sure, right, strict=True), reverse=True)
    good = best = 0
    for n, (_, hit) in enumerate(ranked, 1):
        good += hit
        best = n if good / n >= 0.95 else best
    print(f", coverage at 95 % {best / len(data):.3f}", end="")
    for limit in (0.7, 0.75, 0.8, 0.85):
        kept = [hit for p, hit in ranked if p >= limit]
        print(f", ≥{limit}: {len(kept) / len(data):.2f}/{sum(kept) / max(1, len(kept)):.3f}", end="")
    tp = sum(row.onsite and guess[3] >= 0.5 for row, guess in zip(data, guesses, strict=True))
    said = sum(guess[3] >= 0.5 for guess in guesses)
    print(f"; on-site {tp} of {sum(row.onsite for row in data)}, {said - tp} false")


def answers(source: Path, guesses: Sequence[tuple[int, float, str, float]], data: Sequence[Row], folds: Any) -> str:
    """The rows as `gateway route` would answer them, each by the model and the calibration of the other folds."""
    policy, problems = load_policy(CONFIG)
    if policy is None or not isinstance(policy.classifier, LogLinear):
        raise SystemExit("\n".join(map(str, problems)) or "no classifier in routing.yaml")
    policies = []
    for fold, weights in enumerate(folds):
        seen = [n for n in range(len(data)) if n % FOLDS != fold]
        slope, bias = platt([(guesses[n][1], guesses[n][0] in data[n].right) for n in seen])
        model = replace(policy.classifier, version=f"fold{fold}", weights=weights, slope=slope, intercept=bias)
        policies.append(replace(policy, classifier=model, stranger_line=None))
    texts = source.read_text(encoding="utf-8").splitlines()
    now = datetime(2026, 11, 23, 10, tzinfo=UTC)
    rows = (answered(json.loads(text), policies[n % FOLDS], now) for n, text in enumerate(texts))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main(source: Path, target: Path | None, held: Path | None = None) -> None:
    """Cross-validate, fit on everything, write."""
    words, problems = load(CONFIG / "concepts.yaml", ConceptsFile)
    if words is None:
        raise SystemExit("\n".join(map(str, problems)))
    concepts = Phrases.of((name, phrase(text)) for name, texts in words.concepts.items() for text in texts)
    data = rows(source, concepts)
    guesses, folds = held_out(data)
    slope, bias = platt([(guess[1], guess[0] in row.right) for row, guess in zip(data, guesses, strict=True)])
    report(data, guesses, slope, bias)
    if held is not None:
        held.write_text(answers(source, guesses, data, folds), encoding="utf-8")
    if target is None:
        return
    weights = {
        head: {name: [round(w, 3) for w in row] for name, row in sorted(fit(head, data).items()) if keep(name, row)}
        for head in WIDTHS
    }
    body = {"slope": round(slope, 4), "intercept": round(bias, 4), "weights": weights}
    version = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:8]
    lines = [f'{{"version": "{version}", "slope": {body["slope"]}, "intercept": {body["intercept"]}, "weights": {{']
    for head, table in weights.items():
        named = ",\n".join(f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(row)}" for name, row in table.items())
        lines.append(f'"{head}": {{\n{named}\n}}{"," if head != "onsite" else ""}')
    target.write_text("\n".join(lines) + "\n}}\n", encoding="utf-8")


def keep(name: str, row: Sequence[float]) -> bool:
    """Weights near zero are left out, the bias never."""
    return not name or max(map(abs, row)) >= 0.02


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("data", type=Path)
    given.add_argument("weights", type=Path, nargs="?")
    given.add_argument("--held-out", type=Path)
    asked = given.parse_args()
    main(asked.data, asked.weights, asked.held_out)
