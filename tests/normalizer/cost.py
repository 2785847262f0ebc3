"""What a call costs the processor, whatever else goes on in the process and on the machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def costs_less_than(seconds: float) -> Iterator[None]:
    """Fails when what is done inside takes this thread's processor for longer.

    What other threads do is not counted, nor a look of the collector at all that earlier tests have left.
    """
    gc.collect()
    gc.freeze()
    try:
        begins = time.thread_time()
        yield
        spent = time.thread_time() - begins
    finally:
        gc.unfreeze()
    assert spent < seconds, f"{spent:.2f} s of the processor"
