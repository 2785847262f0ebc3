"""What the gateway and its worker processes say to each other.

A frame is its length (8 bytes, big endian) and a pickle. Both ends are ours and one version; nothing
from outside is ever unpickled. A process says "ready" first and after each policy, and answers each
list of tasks with a list of (id, result).
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from normalizer.message import Event, RawMessage
from router.assignment import Assignment
from router.policy import Policy

HEADER = struct.Struct(">Q")
READY = "ready"
OUT_OF_MEMORY = 77
"""Exit status after a MemoryError: what the process holds is in doubt then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsePolicy:
    """Route by this policy from now on."""

    version: int
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One entry to read; `id` only names it in the answer."""

    id: int
    raw: RawMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What an entry means, and where it would go as a new ticket."""

    event: Event
    assignment: Assignment | None = None
    """None for what can open no ticket."""
    forwarded_assignment: Assignment | None = None
    """For the message inside a forward, should it open a ticket of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The content's fault: counts an attempt. `reason` quotes nothing of the message."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Our fault (process, disk): counts nothing, to be tried again."""

    reason: str


Result: TypeAlias = "Parsed | Broken | Lost"


def write_frame(file: BinaryIO, value: object) -> None:
    """Write one frame and flush it."""
    payload = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    file.write(HEADER.pack(len(payload)))
    file.write(payload)
    file.flush()


def read_frame(file: BinaryIO) -> Any:
    """Read one frame. Raises EOFError at the end of the stream."""
    (length,) = HEADER.unpack(_exactly(file, HEADER.size))
    return pickle.loads(_exactly(file, length))


def _exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError
    return content


def place_of(error: BaseException) -> str:
    """File and line where it was raised; the error's text may quote the message, so it is left out."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
