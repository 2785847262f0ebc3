"""What each step of a mail's way in costs by itself: microseconds of CPU, one process, nothing else running.

identify, normalise, route, the hand-over to a worker (pickled there and back), the journal's rows, and filing with
the acknowledgement; COMMITs are left out. Also the statements that filing one mail takes. "spin" is the time of a fixed
loop: compare figures of one run, or divide by it.

    python benchmarks/steps.py [--mails 300] [--kind plain] [--profile STEP] [--statements]
"""

from __future__ import annotations

import argparse
import cProfile
import pickle
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# The same modules, whether this runs as a script or by `python -m benchmarks.steps`.
sys.path.insert(0, str(Path(__file__).parent))

from endtoend.letters import letters, templates
from endtoend.machine import spin

from channels.mail import identity
from gateway.context import Context
from gateway.filing import file_entry
from gateway.keyring import Keyring
from gateway.settings_files import load
from gateway.store import journal
from gateway.store.blobs import Blobs
from gateway.store.migrate import migrate
from gateway.store.sqlite import driver_connection, make_engine
from gateway.worker import read_entry
from gateway.worker_protocol import Parsed, Task, packed
from normalizer.message import InlineBody, RawMessage
from normalizer.normalize import normalize
from router.route import route

CONFIG = Path(__file__).parent.parent / "config"
CAPS = ("caps.per_account_minute=100000000", "caps.per_address_minute=100000000", "caps.per_address_day=100000000")
CHUNK = 16
"""Mails in one transaction, and in one frame."""


def raw_message(content: bytes) -> RawMessage:
    """As the SMTP port makes it."""
    who = identity.of_bytes(content)
    return RawMessage(
        channel="mail", account="support", format="mail/1", external_id=who.message_id, fingerprint=who.fingerprint,
        peer=who.peer, received_at=datetime.now(UTC), body=InlineBody(content=content),
        facts={"transport": "smtp", "client_ip": "192.0.2.1", "helo": "client.example", "tls": False,
               "mail_from": "bench@client.example", "rcpt_to": ["support@desk.example"]},
        deliveries=(("support", "support@desk.example"),),
    )  # fmt: skip


@dataclass(slots=True)
class Steps:
    """Times each step over all mails, in chunks."""

    profile: str
    costs: dict[str, float]

    def time(self, name: str, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Run a step for every item; its median cost goes into the table."""
        work_on = cProfile.Profile() if name == self.profile else None
        found, took = [], []
        for item in items:
            if work_on is not None:
                work_on.enable()
            began = time.thread_time()
            found.append(work(item))
            took.append(time.thread_time() - began)
            if work_on is not None:
                work_on.disable()
        self.costs[name] = statistics.median(took) * 1e6
        if work_on is not None:
            for order in ("tottime", "cumulative"):
                pstats.Stats(work_on).sort_stats(order).print_stats(45)
        return found


def measure(mails: list[bytes], folder: Path, steps: Steps, statements: bool) -> None:
    """All steps in turn, the results of one being the input of the next."""
    configuration = load(CONFIG, overrides=CAPS)
    ctx = Context(
        settings=configuration.settings, policy=configuration.policy, keyring=Keyring(bytes(range(32))),
        surveys=configuration.surveys, texts=configuration.texts,
    )  # fmt: skip
    url, blobs = f"sqlite:///{folder / 'gateway.db'}", Blobs(folder / "blobs")
    migrate(url, backup_to=folder)
    raws = steps.time("identify", raw_message, mails)
    events = steps.time("normalise", normalize, raws)
    now = datetime.now(UTC)
    steps.time("route", lambda said: route(said, ctx.policy, now, channel="mail", account="support"), events)
    parsed = [read_entry(raw, ctx.policy, blobs) for raw in raws]
    chunks = [list(range(at, min(at + CHUNK, len(raws)))) for at in range(0, len(raws), CHUNK)]

    def hand_over(chunk: list[int]) -> None:
        pickle.loads(packed([Task(id=at, raw=raws[at]) for at in chunk]))
        pickle.loads(packed([(at, parsed[at]) for at in chunk]))

    steps.time("hand-over, both ends", hand_over, chunks)
    steps.costs["hand-over, both ends"] /= CHUNK
    conn = make_engine(url, "writer", busy_timeout=1.0).connect()
    conn.begin()
    steps.time("journal rows", lambda raw: journal.record(conn, [raw], None, now=now, blobs=blobs), raws)
    conn.commit()
    waiting = journal.pending(conn, blobs=blobs, now=now, limit=len(raws), max_bytes=1 << 40)
    conn.commit()
    seen: list[str] = []

    def file(pair: tuple[journal.Entry, Parsed]) -> None:
        file_entry(conn, ctx, pair[0], pair[1], now)

    one, *others = zip(waiting, parsed, strict=True)
    conn.begin()
    # Of one mail, and not of those that are timed: to be told of every statement costs as much as running it.
    driver_connection(conn).set_trace_callback(lambda text: seen.append(" ".join(text.split())))
    file(one)
    driver_connection(conn).set_trace_callback(None)
    steps.time("filing with acknowledgement", file, others)
    conn.commit()
    print(f"{len(seen)} statements to file one mail")
    if statements:
        print("\n".join(f"  {text[:140]}" for text in seen))
    conn.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="what each step costs by itself")
    parser.add_argument("--mails", type=int, default=300)
    parser.add_argument("--kind", default="plain", choices=["plain", "mixed"])
    parser.add_argument("--profile", default="", help="show where this step spends its time")
    parser.add_argument("--statements", action="store_true", help="list the statements of the last mail")
    given = parser.parse_args()
    steps = Steps(given.profile, {})
    before = spin()
    mails = [mail[:-3] for mail in letters(templates(given.kind), 1_000_000, given.mails)]
    with tempfile.TemporaryDirectory() as name:
        measure(mails, Path(name), steps, given.statements)
    for step, cost in steps.costs.items():
        print(f"{step:<30}{cost:>8.0f} us")
    print(f"spin {before:.1f} and {spin():.1f} ms")


if __name__ == "__main__":
    main()
