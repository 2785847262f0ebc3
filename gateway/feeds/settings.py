"""What every feed of the configuration can say; each kind of store adds its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from channels.described import Described
from channels.durations import Duration


def _words(value: object) -> object:
    """`1` and `"1"` are one word, and a word alone is a list of one."""
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple(str(each) if isinstance(each, int) and not isinstance(each, bool) else each for each in listed)


Words: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_words), Field(min_length=1)]
"""The store's words for one of ours: the first is written, all of them are read as ours."""


def _by_word(value: object) -> object:
    return {str(key): each for key, each in value.items()} if isinstance(value, Mapping) else value


ValueMap: TypeAlias = Annotated[Mapping[str, Words], BeforeValidator(_by_word)]
"""Our word -> the store's word or words."""


class Maps(Described, BaseModel):
    """Our words in the store's words. What is not listed is written and read as it is, where the store has no list
    of its own; what it does not know is left out and said so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: ValueMap = {}
    """new, open, waiting, resolved, closed, held: [the store's status, others that are read as ours]."""
    class_: ValueMap = Field(default={}, alias="class")
    """1-6: the store's value."""
    line: ValueMap = {}
    """L1-L4: the store's queue, group or value."""
    assignee: ValueMap = {}
    """Key of an agent: the store's user."""
    contract: ValueMap = {}
    """Name of a contract: the store's value."""

    def theirs(self, field: str, ours: str) -> str | None:
        """The store's word for ours; None: there is a map, and it has none."""
        words = self._of(field)
        if not words:
            return ours
        return words[ours][0] if ours in words else None

    def ours(self, field: str, theirs: str) -> str | None:
        """Our word for the store's, letter case aside; None: there is a map, and it has none."""
        words = self._of(field)
        if not words:
            return theirs
        wanted = theirs.casefold()
        return next((ours for ours, said in words.items() if wanted in {word.casefold() for word in said}), None)

    def _of(self, field: str) -> Mapping[str, tuple[str, ...]]:
        found: Mapping[str, tuple[str, ...]] = getattr(self, "class_" if field == "class" else field, {})
        return found


class FeedSettings(Described, BaseModel):
    """What every feed can say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    """Which kind of store: rt, redmine, sql, webhook, rest."""
    contracts: tuple[str, ...] = ()
    """Contracts whose tickets go there; empty: those of all contracts that no other feed names, and strangers'."""
    push: bool = True
    """Write our tickets there."""
    read: bool = True
    """Read what staff does there."""
    notes: bool = True
    """Push notes and unverified messages, too; as private ones."""
    held: Literal["wait", "push"] = "wait"
    """Tickets that are held, as suspected spam is: `wait` until staff release them, and never be written when they are
    closed instead; `push` writes them at once, under the store's word for held."""
    poll: Duration = Field(default=timedelta(seconds=30), ge=timedelta(seconds=1))
    """Pause between two looks at what changed."""
    wait: Duration = timedelta(seconds=0)
    """How long the acknowledgement waits for the store's number; after that it goes out with ours."""
    timeout: Duration = Field(default=timedelta(minutes=1), gt=timedelta(0))
    """Hard time limit of one try."""
    doubt: Duration = timedelta(minutes=1)
    """When nobody knows what a try came to: how long beyond `timeout` it is left alone before the store is asked
    whether it did it after all."""
    max_age: Duration = timedelta(days=3)
    """After this a write is a dead letter: `gateway outbox` shows it and runs it again."""
    concurrency: int = Field(default=4, ge=1, le=64)
    """Tickets that are pushed at the same time."""
    map: Maps = Maps()
    """Our words in the store's."""

    def wrong_secrets(self) -> Mapping[str, str]:
        """Key -> what would be right, for secrets that are there but cannot be ones; never quotes them."""
        return {}
