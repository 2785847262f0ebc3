"""The vocabulary of a telephone call: what happens in one, and what is done in one.

Some providers ask what comes next in one request after another, others hold a connection; both say these things and
are told these. Like `message`, everybody may import this, and it imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

# -- what happens -------------------------------------------------------------------------

Answered: TypeAlias = Literal["", "person", "machine"]
"""Who took up a call of ours, as far as the provider can tell; "": it cannot, or the call came in."""
CallState: TypeAlias = Literal["completed", "busy", "no_answer", "failed", "canceled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The line is open: somebody called us, or took up our call."""

    answered_by: Answered = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """Keys were pressed, or none within the time that was given."""

    digits: str
    """0-9, * and #, without the key that ended them; "": nothing was pressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Somebody spoke after the tone, or was silent."""

    recording: str = ""
    """The provider's id of it; "" when nobody spoke."""
    seconds: int = 0
    hung_up: bool = False
    """The caller ended it by hanging up: there is nobody to say anything to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcribed:
    """The provider has written down what is said in a recording, or has tried to. Always told beside the call."""

    recording: str
    text: str = ""
    """"" when it could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """We rang somebody for the caller, and that is over."""

    answered: bool
    seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The line is closed."""

    state: CallState
    seconds: int = 0


Happening: TypeAlias = Begun | Pressed | Recorded | Transcribed | Connected | Ended

# -- what is done -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a line, for those who play sounds: they can be recorded before, but not what is filled in."""

    words: str
    name: str = ""
    """Of the sound that says these words, the same in every language; "" for words that are filled in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Words in one language; each language has a voice of its own."""

    language: str
    words: str
    pieces: tuple[Piece, ...] = field(default=(), compare=False)
    """The same words in parts; () where nobody cut them."""


Lines: TypeAlias = tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speak:
    """Say this; nothing is asked."""

    lines: Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """Say this and wait for keys, which may be pressed while it is said. Ends in `Pressed`."""

    lines: Lines
    most: int = 1
    """Keys after which nobody waits for more."""
    finish: str = ""
    """The key that ends them sooner; "": none does."""
    seconds: int = 6
    """Silence after the words, or between two keys, that ends the waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Say this, then a tone, then listen. Ends in `Recorded`."""

    lines: Lines
    longest: int = 180
    """Seconds."""
    silence: int = 5
    """Seconds of silence that end it."""
    finish: str = "#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Say this and ring somebody for the caller. Ends in `Connected`."""

    lines: Lines
    number: str
    seconds: int = 20
    """How long it rings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """Say this and close the line."""

    lines: Lines = ()


Waits: TypeAlias = Collect | Record | Connect
"""What ends in something that happens."""
Act: TypeAlias = Speak | Collect | Record | Connect | HangUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Nothing new is done: the call is known, and was asked for from its beginning. Ask for what this step was answered
    once more. Only a provider that asks at another address after a failure of ours gets to hear this."""

    step: int
