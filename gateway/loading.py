"""Loading without looking for garbage: what a program loads at its start is there to stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unswept() -> Iterator[None]:
    """No collection of garbage within the block: each would walk all modules again and find next to nothing.

    A sixth of a start goes into that otherwise. Not for what runs on: cycles are kept for as long as the block lasts.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
