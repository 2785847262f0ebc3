"""A person on the line: what they do, what they hear, and a clock that only their doing moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

LETTERS_A_SECOND = 15
"""How fast a voice speaks; nobody depends on more than that long words take long."""
LONGEST_CALL = 4 * 60 * 60.0
"""Seconds after which the service ends a call itself: https://www.twilio.com/docs/voice/api/call-resource"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """Keys, at the next Gather or Record."""

    keys: str
    wait: float | None = None
    """Seconds from the verb's beginning to the first key, into the words if these are longer; None: a second after
    them."""
    gap: float = 0.5
    """Seconds from each key to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """So many seconds of speech, at the next Record; at a Gather nobody listens."""

    seconds: float
    key: str = ""
    """Pressed behind it; "" falls silent."""
    leaves: bool = False
    """Hangs up behind it."""
    sound: bytes = b""
    """What is heard, as a file; b"" is a tone of that length."""


@dataclass(frozen=True, slots=True)
class Silent:
    """Does nothing at the next Gather or Record, until it is over."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Hangs up, so many seconds after the next Gather or Record began."""

    wait: float = 0.0


Doing: TypeAlias = Press | Talk | Silent | Leave


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """What comes of the next Dial."""

    outcome: Literal["completed", "no-answer", "busy", "failed"] = "no-answer"
    seconds: float = 0.0
    """How long they talk; how long it rings where nobody answers (0: as long as the verb lets it)."""
    leaves: bool = False
    """The caller hangs up behind it, and not the person called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What somebody does in a call. Behind the last of `doings` they are silent, and nobody answers a Dial."""

    doings: tuple[Doing, ...] = ()
    """Of each Gather and Record the next one."""
    knows: tuple[tuple[str, Doing], ...] = ()
    """(a part of what they heard, what they do then): the first that fits comes before `doings`, as often as it is
    heard."""
    rung: tuple[Rung, ...] = ()
    """Of each Dial the next one."""
    leave_at: float | None = None
    """Hangs up so many seconds after the call was answered, whatever goes on."""
    leave_asking: int | None = None
    """Hangs up while this request (1 is the first of the call) is being answered."""


class HungUp(Exception):
    """The line is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something that was heard."""

    kind: Literal["say", "play", "beep"]
    words: str = ""
    """The words, or the address of a sound."""
    language: str = ""
    voice: str = ""
    cut: bool = False
    """Not to its end: a key was pressed, or the person hung up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Did:
    """Something that the person did."""

    kind: Literal["press", "talk", "silent", "hang_up"]
    keys: str = ""
    seconds: float = 0.0
    """Of speech."""


@dataclass(slots=True, kw_only=True)
class Line:
    """A line with its clock; nothing waits for it really."""

    leave_at: float | None = None
    elapsed: float = 0.0
    """Seconds since the call was answered."""
    story: list[Said | Did] = field(default_factory=list)
    """What was heard and done, in order."""

    @property
    def said(self) -> list[Said]:
        """What was heard."""
        return [one for one in self.story if isinstance(one, Said)]

    @property
    def ends(self) -> float:
        """When it is hung up, if nothing else ends it."""
        return LONGEST_CALL if self.leave_at is None else min(self.leave_at, LONGEST_CALL)

    def leave_in(self, seconds: float) -> None:
        """Hang up after so many seconds, unless it comes sooner."""
        self.leave_at = min(self.ends, self.elapsed + seconds)

    def spend(self, seconds: float) -> None:
        """Let time pass. Raises HungUp when the line does not hold so long."""
        if self.elapsed + seconds >= self.ends:
            self.elapsed = max(self.elapsed, self.ends)
            raise HungUp
        self.elapsed += seconds
