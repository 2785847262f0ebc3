"""One worker process: reads tasks on stdin, parses and routes, writes results on stdout.

Started by `gateway.workers` as `python -m gateway.worker`; what is said is in `gateway.worker_protocol`.
What a message does to this process (time, memory, death) is watched from outside.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from gateway.store.blobs import Blobs
from gateway.worker_protocol import (
    OUT_OF_MEMORY,
    READY,
    Broken,
    Lost,
    Parsed,
    Result,
    UsePolicy,
    place_of,
    read_frame,
    write_frame,
)
from normalizer.message import Attachment, DeliveryReport, Event, InlineBody, Message, RawMessage, SpooledBody
from normalizer.normalize import PARSERS, normalize
from router.assignment import Assignment, Reason
from router.policy import Policy
from router.route import route

SPILL = 64 * 1024
"""Bytes: a bigger attachment becomes a blob here, so that it never travels to the main process."""
SPILL_TOTAL = 512 * 1024
"""Bytes of small attachments that travel with one message; what is over becomes blobs too."""
ADDRESS_SPACE_SLACK = 512 * 1024 * 1024
"""Over the memory limit: libraries and stacks are mapped without being used."""
_PR_SET_PDEATHSIG = 1  # prctl(2)

Parser: TypeAlias = Callable[[RawMessage], Event]


# -- one message --------------------------------------------------------------------------


def read_entry(raw: RawMessage, policy: Policy, blobs: Blobs) -> Result:
    """Bytes -> meaning and assignment, big attachments put aside as blobs. Raises MemoryError only."""
    try:
        raw = _with_bytes(raw)
    except FileNotFoundError:
        return Broken(reason="the stored body is missing")
    except OSError as error:
        return Lost(reason=f"cannot read the stored body: {error.strerror}")
    try:
        event = normalize(raw)
        parsed = _routed(event, raw, policy)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a parser does is the content's fault, and is recorded
        return Broken(reason=f"{type(error).__name__} at {place_of(error)}")
    try:
        return replace(parsed, event=_spilled_event(event, blobs))
    except OSError as error:
        return Lost(reason=f"cannot store an attachment: {error.strerror}")


def _with_bytes(raw: RawMessage) -> RawMessage:
    match raw.body:
        case SpooledBody(path=path, size=size):
            content = path.read_bytes()
            if len(content) != size:
                raise FileNotFoundError
            return replace(raw, body=InlineBody(content=content))
        case InlineBody():
            return raw


def _routed(event: Event, raw: RawMessage, policy: Policy) -> Parsed:
    if not isinstance(event, Message) or event.kind != "message":
        return Parsed(event=event)

    def to(message: Message) -> Assignment:
        try:
            return route(message, policy, raw.received_at, channel=raw.channel, account=raw.account)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - the reason below records it
            # A policy that fails must not keep a message that can be read from the first line.
            detail = f"{type(error).__name__} at {place_of(error)}"
            reason = Reason(what="line", value="L1", cause="routing-failed", detail=detail)
            return Assignment(tags=("routing-failed",), because=(reason,))

    inside = to(event.forwarded) if event.forwarded is not None else None
    return Parsed(event=event, assignment=to(event), forwarded_assignment=inside)


# -- attachments --------------------------------------------------------------------------


def _spilled_event(event: Event, blobs: Blobs) -> Event:
    match event:
        case Message():
            return _spilled(event, blobs)
        case DeliveryReport(content=Message() as content):
            return replace(event, content=_spilled(content, blobs))
        case _:
            return event


def _spilled(message: Message, blobs: Blobs) -> Message:
    attachments: list[Attachment] = []
    travelling = 0
    for item in message.attachments:
        if item.content is not None:
            travelling += len(item.content)
            if len(item.content) > SPILL or travelling > SPILL_TOTAL:
                travelling -= len(item.content)
                blobs.put(item.content)
                item = replace(item, content=None)
        attachments.append(item)
    inside = None if message.forwarded is None else _spilled(message.forwarded, blobs)
    if not attachments and inside is None:
        return message
    return replace(message, attachments=tuple(attachments), forwarded=inside)


# -- the process --------------------------------------------------------------------------


def serve(source: BinaryIO, sink: BinaryIO, blobs: Blobs) -> None:
    """Answer frames until the stream ends: a policy by "ready", a list of tasks by a list of (id, result)."""
    policy = Policy()
    write_frame(sink, READY)
    while True:
        try:
            frame = read_frame(source)
        except EOFError:
            return
        if isinstance(frame, UsePolicy):
            policy = frame.policy
            write_frame(sink, READY)
            continue
        write_frame(sink, [(task.id, read_entry(task.raw, policy, blobs)) for task in frame])


def _die_with_parent(parent: int) -> None:
    """A parser in an endless loop must not outlive a gateway that was killed (prctl(2), Linux only)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def _limit_memory(limit: int) -> None:
    # The belt: a single huge allocation fails at once; the watch from outside sees what is really used.
    bound = limit + ADDRESS_SPACE_SLACK
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _plant(spec: str) -> None:
    """Add parsers of `module:NAME`, a mapping of formats; tests of the limits use it."""
    module, _, name = spec.partition(":")
    table: Mapping[str, Parser] = getattr(import_module(module), name)
    cast(MutableMapping[str, Parser], PARSERS).update(table)


def main() -> None:
    """Entry point of `python -m gateway.worker`."""
    options = argparse.ArgumentParser(description="A worker process of the gateway; not started by hand.")
    options.add_argument("--blobs", type=Path, required=True, help="folder of the blobs")
    options.add_argument("--memory", type=int, required=True, help="memory limit in bytes")
    options.add_argument("--parent", type=int, required=True, help="process id of the gateway")
    options.add_argument("--parsers", default="", help="module:NAME of more parsers by format")
    given = options.parse_args()
    # The gateway decides when we end; a Ctrl-C in its terminal reaches the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with_parent(given.parent)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a stray print must not end up between the frames
    if given.parsers:
        _plant(given.parsers)
    blobs = Blobs(given.blobs)
    _limit_memory(given.memory)
    try:
        serve(sys.stdin.buffer, sink, blobs)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BrokenPipeError:
        os._exit(0)  # the gateway is gone


if __name__ == "__main__":
    main()
