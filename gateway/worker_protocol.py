"""What the gateway and its worker processes say to each other.

A frame is its length (8 bytes, big endian) and a pickle. Both ends are ours and one version; nothing
from outside is ever unpickled. A process says "ready" first and after each policy, and answers each
list of tasks with a list of (id, result).
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from operator import attrgetter
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


# -- frames -------------------------------------------------------------------------------


def packed(value: object) -> bytes:
    """What a frame carries. Our values travel as their class and their fields in order (see `_Packer`)."""
    buffer = io.BytesIO()
    _Packer(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


class _Packer(pickle.Pickler):
    """Slotted dataclasses bring a `__setstate__` that looks every field up anew: a mail's answer has twenty of them,
    and reading it in the main process took twice as long."""

    def reducer_override(self, value: Any) -> Any:
        """How a value is taken apart; NotImplemented: as usual."""
        kind = type(value)
        if not is_dataclass(kind) or "__slots__" not in vars(kind):
            return NotImplemented
        return restored, (kind, *_fields(kind)(value))


@cache
def _fields(kind: type) -> Callable[[object], tuple[Any, ...]]:
    names = [field.name for field in fields(kind)]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


@cache
def _setters(kind: type) -> tuple[Callable[[object, object], None], ...]:
    # The slots' own: they set what is frozen for everybody else.
    return tuple(vars(kind)[field.name].__set__ for field in fields(kind))


def restored(kind: type, *values: object) -> object:
    """The value of this class with these fields, as `pickle.loads` puts it together again."""
    made: object = object.__new__(kind)
    for put, value in zip(_setters(kind), values, strict=True):
        put(made, value)
    return made


def write_frame(file: BinaryIO, value: object) -> None:
    """Write one frame and flush it."""
    payload = packed(value)
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
