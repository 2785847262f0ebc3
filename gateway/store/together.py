"""Jobs of several callers that are cheaper done at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Together(Generic[A, R]):
    """A job of the writer. Where it pays, `run` is called once for several callers; alone it does the same."""

    run: Callable[[Connection, Sequence[A]], Sequence[R]]
    """Returns a result for each, in order. Raises for all of them: then each is run alone."""
    wanted: A

    def __call__(self, conn: Connection) -> R:
        """This one alone."""
        return self.run(conn, [self.wanted])[0]
