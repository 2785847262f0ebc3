"""What the router decides, with its reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

Line: TypeAlias = Literal["L1", "L2", "L3", "L4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One cause of a decision: without `cause`, `what` would have come out otherwise."""

    what: str
    """The field decided: contract, class, line, onsite, tag, reaction, resolution."""
    value: str
    """What it became, as text."""
    cause: str
    """The thing named: `rule:printer-on-site`, `contract:acme`, `calendar:weekdays`, `default`."""
    detail: str = ""
    """For a person: the words that matched, the sum of hours."""

    def as_json(self) -> dict[str, str]:
        """As histories and tickets keep it."""
        return {"what": self.what, "value": self.value, "cause": self.cause, "detail": self.detail}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """One clock's state. `due` is None when the clock is paused, met, or not promised."""

    due: datetime | None = None
    met_at: datetime | None = None
    paused: bool = False
    because: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Both clocks of a ticket; `class_` is the class whose times they use (the strictest while open)."""

    reaction: Deadline = Deadline()
    resolution: Deadline = Deadline()
    class_: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Class, line, on-site flag, deadlines, and why."""

    contract: str | None = None
    """Key of the contract that covers the requester; None: a stranger, taken in all the same."""
    class_: int | None = None
    """1-6, or None: not sure, left to line 1."""
    proposed_class: int | None = None
    """The best guess when `class_` is None, or when the contract wants a person to confirm."""
    confidence: float = 0.0
    """Calibrated probability that the best class is acceptable, 0..1."""
    line: Line = "L1"
    proposed_line: Line | None = None
    onsite: bool = False
    tags: tuple[str, ...] = ()
    deadlines: Deadlines = Deadlines()
    because: tuple[Reason, ...] = ()
    policy: str = ""
    """Version of the policy that decided."""
