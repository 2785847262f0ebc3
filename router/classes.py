"""The six request classes: names, not ranks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CLASSES: Mapping[int, str] = {
    1: "virtualisation, hardware, hosting, provider",
    2: "server: unavailable, overloaded, operating system",
    3: "whole application down, and planned work in it",
    4: "failure of a key business process",
    5: "a part is slow or wrong; attacks, viruses",
    6: "question, consultation, change request",
}

SEVERITY: tuple[int, ...] = (3, 4, 1, 2, 5, 6)
"""Most severe first, where one class must be chosen among several. Whole-system cases of 1 and 2 rank beside 3,
but the class alone does not tell them, so 1 and 2 stand after 4 here."""


def most_severe(classes: Iterable[int]) -> int:
    """The most severe of some classes. Raises ValueError when there are none."""
    return min(classes, key=SEVERITY.index)


def title(class_: int | None) -> str:
    """ "class 3: whole application down …", or "class open"."""
    return "class open" if class_ is None else f"class {class_}: {CLASSES[class_]}"
