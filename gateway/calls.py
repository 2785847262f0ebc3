"""Whoever calls waits for an answer: what was just accepted is filed at once, and the answer given.

A failure or a second without an answer dismisses nobody: the caller is recorded, and the pipeline files the request
later, by the same function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from channels.contract import Accepted, Clock, Unavailable
from gateway import call_answers, call_facts, call_words
from gateway.context import Context
from gateway.dialogs.ivr_states import Listen, Prompt
from gateway.facts import desk_name
from gateway.filing import file_entry
from gateway.log import get_logger
from gateway.metrics import Metrics
from gateway.store import calls, journal
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.failpoints import FailPoint, nowhere
from gateway.worker_protocol import Parsed
from normalizer import sip_call, twilio_call  # alone: the parsers of other formats are for the workers
from normalizer.call import Act, Again, HangUp
from normalizer.message import CallEvent, Event, InlineBody, RawMessage

READ: Mapping[str, Callable[[RawMessage], Event]] = {"twilio_call/1": twilio_call.read, "sip_call/1": sip_call.read}
"""Format of a request of a call -> its parser."""
WITHIN = 1.0
"""Seconds that a caller waits."""

log = get_logger(__name__)


class Calls:
    """The dialog of every account that is called; `channels.contract.Dialog`."""

    def __init__(
        self, db: Database, blobs: Blobs, ctx: Context, clock: Clock, *, failpoint: FailPoint = nowhere,
        within: float | None = None, metrics: Metrics | None = None,
    ) -> None:  # fmt: skip
        """`within`: seconds; None: `WITHIN`."""
        self._metrics = metrics or Metrics()
        self._db, self._blobs, self.ctx, self._clock = db, blobs, ctx, clock
        self._failpoint, self._within = failpoint, WITHIN if within is None else within
        self.after: Callable[[], object] = lambda: None
        """Called when something was filed: there may be notices and files."""
        self.answering: set[int] = set()
        """Entries that are being filed here: the pipeline has no work with them meanwhile."""

    async def __call__(
        self, channel: str, account: str, accepted: Accepted, /, *, ours: bool = False
    ) -> Sequence[Act] | Again:
        """What is done next; never raises."""
        self._failpoint("call-unanswered")
        ctx, now = self.ctx, self._clock()
        self.answering.add(accepted.entry)
        try:
            async with asyncio.timeout(self._within):
                act = await self._db.write(lambda conn: answered(conn, ctx, self._blobs, accepted.entry, now))
        except (Unavailable, TimeoutError) as error:
            log.warning("a caller is recorded", channel=channel, account=account, reason=type(error).__name__)
            return self._unanswered(channel, account, "ours", ours)
        except Exception as error:
            # As wide as it can be: somebody holds the line, and silence or the provider's error is all that they would
            # get for a fault in a text, a plan or a row of ours. It is logged whole and counted here; the entry stays
            # pending, so the pipeline meets the same fault, counts the attempt and keeps it in quarantine.
            log.error("a caller is recorded", channel=channel, account=account, exc_info=error)
            return self._unanswered(channel, account, "fault", ours)
        finally:
            self.answering.discard(accepted.entry)
        if not accepted.duplicate:
            self._metrics.processed("call", (self._clock() - now).total_seconds())
        self._failpoint("call-unsaid")
        self.after()
        return act if isinstance(act, Again) else [act]

    def _unanswered(self, channel: str, account: str, reason: str, ours: bool) -> Sequence[Act]:
        """What can be said without knowing anything: in the first language, and somebody listens. Nobody whom we called
        is to explain what is wrong."""
        self._metrics.call_unanswered(reason)
        if ours:
            return [HangUp()]
        plan, settings = self.ctx.calls.plan(), self.ctx.settings
        listen = Listen(prompts=(Prompt(text="nothing_pressed"),), longest=plan.longest, silence=plan.silence)
        desk = desk_name(self.ctx, settings.account(channel, account))
        return [call_words.act(listen, self.ctx.texts, language=plan.languages[0], desk=desk)]


def answered(conn: Connection, ctx: Context, blobs: Blobs, entry_id: int, now: datetime) -> Act | Again:
    """The answer to this entry, which is filed by then with everything of its call that came before it.

    A hang-up for what is no request of a call's, or not in its turn. Raises Unavailable for a body that is not in the
    row: it is for the pipeline.
    """
    asked = journal.load_one(conn, entry_id, blobs)
    if asked is None:
        return HangUp()
    if not isinstance(asked.raw.body, InlineBody):
        raise Unavailable("the request is too big to be read here")
    event = READ[asked.raw.format](asked.raw)
    waiting = calls.unfiled(conn, asked.raw.channel, asked.raw.peer, entry_id)
    for each in journal.load(conn, [one for one in waiting if one != entry_id], blobs):
        file_entry(conn, ctx, each, Parsed(event=READ[each.raw.format](each.raw)), now)
    if entry_id in waiting:
        file_entry(conn, ctx, asked, Parsed(event=event), now)
    if not isinstance(event, CallEvent):
        return HangUp()
    call = calls.said(conn, asked.raw.channel, asked.raw.account, event.call, event.step)
    if call is None or call.caller != call_facts.caller_of(event):
        return HangUp()
    if event.step == 0 and call.step > 0:
        # The address for failures carries no step: whatever failed, the caller hears the last answer once more.
        return Again(step=call.step)
    return HangUp() if call.answer is None else call_answers.from_json(call.answer)
