"""Why an act was not carried out. Apart from the acts: notices, which acts make, name these too."""

from __future__ import annotations


class DeskError(Exception):
    """An act that was not carried out; the text says what to do, and quotes no message."""


class NotFound(DeskError):
    """There is no such ticket (or nobody may know of it)."""


class Invalid(DeskError):
    """What was asked for makes no sense, whatever the ticket's state."""


class Conflict(DeskError):
    """It makes sense, but not in the ticket's present state."""
