"""A bot at the server: its token, its updates, its webhook, and room for what other methods keep."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.demo.bot_api.calls import ApiError

T = TypeVar("T")

ASKED_FOR_ONLY = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Updates that come only when `allowed_updates` names them."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An update that nobody has confirmed."""

    id: int
    text: str
    """Its JSON, exactly as it is given out."""


@dataclass(slots=True)
class Hook:
    """A webhook that is set."""

    url: str
    secret: str
    max_connections: int
    last_error_date: int = 0
    last_error_message: str = ""


class Bot:
    """One token."""

    def __init__(self, token: str, *, username: str, name: str = "Desk", first_update: int = 1000) -> None:
        self.token, self.username, self.name = token, username, name
        self.id = int(token.partition(":")[0])
        self.revoked = False
        self.allowed: frozenset[str] | None = None
        """Types of updates; None: the usual ones."""
        self.waiting: deque[Waiting] = deque()
        self.confirmed: list[Waiting] = []
        """By the last call that confirmed anything."""
        self.given: Counter[int] = Counter()
        """How often each update was given out to a poll."""
        self.next_update = first_update
        self.hook: Hook | None = None
        self.changed = asyncio.Event()
        """Something is new for the webhook's deliveries."""
        self.poll: asyncio.Future[bool] | None = None
        """The long poll that waits; its result says whether there may be something."""
        self._parts: dict[type, Any] = {}

    def part(self, kind: type[T]) -> T:
        """This bot's own `kind`, made at the first use: where methods keep what they must remember."""
        found: T = self._parts.setdefault(kind, None) or kind()
        self._parts[kind] = found
        return found

    def allow(self, types: Sequence[str] | None) -> None:
        """Set `allowed_updates`: None leaves it, an empty list means the usual ones. Holds for later updates only."""
        if types is not None:
            self.allowed = frozenset(types) or None

    def push(self, update: Mapping[str, Any]) -> int | None:
        """Something happens to the bot. Gives it the next id; None when nobody asked for its type."""
        kinds = set(update) - {"update_id"}
        wanted = kinds & self.allowed if self.allowed is not None else kinds - ASKED_FOR_ONLY
        if not wanted:
            return None
        number = int(update.get("update_id", self.next_update))
        # Lone surrogates stay escapes, as they came.
        self.push_text(number, json.dumps({"update_id": number, **update}))
        return number

    def push_text(self, number: int, text: str) -> None:
        """An update as JSON text, however odd; `number` is what it is confirmed by."""
        self.waiting.append(Waiting(number, text))
        self.next_update = number + 1
        self.wake()

    def take(self, offset: int, limit: int) -> list[Waiting]:
        """Confirm by `offset` and give the next ones; negative: the last ones, and those before are forgotten."""
        if offset < 0:
            self._confirm(lambda index, _: index < len(self.waiting) + offset)
        elif offset > 0:
            self._confirm(lambda _, update: update.id < offset)
        found = list(self.waiting)[:limit]
        self.given.update(update.id for update in found)
        return found

    def _confirm(self, is_over: Any) -> None:
        gone = [update for index, update in enumerate(self.waiting) if is_over(index, update)]
        if gone:
            self.confirmed = gone
            self.waiting = deque(update for update in self.waiting if update not in gone)

    def put_back(self) -> None:
        """Forget the last confirmation, as servers do that change over: the same updates come again."""
        self.waiting.extendleft(reversed(self.confirmed))
        self.confirmed = []

    def wake(self, something: bool = True) -> None:
        """Let a waiting poll answer; with False it says that there is nothing."""
        self.changed.set()
        if self.poll is not None and not self.poll.done():
            self.poll.set_result(something)

    def end_poll(self, why: str) -> None:
        """The waiting poll is answered with 409."""
        if self.poll is not None and not self.poll.done():
            self.poll.set_exception(ApiError(409, f"Conflict: terminated by {why}"))


@dataclass(slots=True)
class Menu:
    """Commands by (scope as JSON, language code)."""

    commands: dict[tuple[str, str], list[dict[str, str]]] = field(default_factory=dict)
