"""What a telephone call leaves behind: a ticket with what was said and pressed, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from gateway import call_transcripts, clocks, rating_calls, surveys
from gateway.call_facts import Asked, is_hidden, is_one_persons, is_texted, ticket_state
from gateway.call_notes import length, notes_of
from gateway.dialogs import ivr_states as ivr
from gateway.filing_append import append_to, keep_vote
from gateway.filing_case import Case, keep_files
from gateway.filing_open import open_for
from gateway.filing_threads import Found as Named
from gateway.shared_numbers import PHONE
from gateway.store import calls, consents, people, tickets
from normalizer.call import Connected, Ended, Recorded, Transcribed
from normalizer.message import Address, Attachment, Conversation, Message
from router.assignment import Assignment
from router.route import route

NO_TICKET = "no_ticket_needed"
PUT_THROUGH = "put-through"
"""Tag of the ticket of a call that somebody took up: what was said is still to be written into it."""
LEFT = frozenset({"put_through", "unfinished"})
"""Ends of a call that leave a ticket although nothing was recorded."""
SETTLED = frozenset({"status", "rated"})
"""Ends of a call in which everything was said."""
RECORDING = Attachment(filename="recording.mp3", content_type="audio/mpeg", size=0, sha256="")
Deed: TypeAlias = (
    ivr.SetLanguage | ivr.File | ivr.Find | ivr.CallBack | ivr.Vote | ivr.Comment | ivr.NoMoreCalls | ivr.Close
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Asked):
    """One request, with what can be done about it."""

    unheard_end: str = "ticket_hung_up"
    """Name of the text that says how a call ended in which nothing was recorded."""

    def do(self, state: ivr.State, deed: Deed) -> ivr.Event | None:
        """Carry out one action; what has an outcome returns it. Raises Conflict."""
        match deed:
            case ivr.SetLanguage():
                self._set_language(deed.language)
            case ivr.File():
                return self._filed(state)
            case ivr.Find():
                return ticket_state(self, deed.number, state.language or self.plan.languages[0])
            case ivr.CallBack():
                self._call_back(deed.number or self.call.caller)
            case ivr.Vote():
                return self._counted(deed)
            case ivr.Comment():
                self.keep_recording(state)
            case ivr.NoMoreCalls():
                self._no_more_calls()
            case ivr.Close():
                self._close(state, deed.reason)
            case _ as never:
                assert_never(never)
        return None

    # -- people -----------------------------------------------------------------------------

    def _contact(self) -> int:
        return people.meet(self.conn, PHONE, self.call.caller, "", self.now, channel=self.call.channel).id

    def _set_language(self, language: str) -> None:
        # What one of several people chose is no choice of the others.
        if is_one_persons(self):
            people.set_language(self.conn, self._contact(), language)

    def _no_more_calls(self) -> None:
        """Such calls are over for ever; what comes by other channels is another matter."""
        call, at = self.call, self.entry.raw.received_at
        consents.wish(self.conn, call.channel, call.called, call.caller, "stop", how="key", now=at)

    # -- the ticket -------------------------------------------------------------------------

    def ticket_id(self) -> int | None:
        """The call's ticket as of now."""
        return self.ticket()[0]

    def ticket(self) -> tuple[int | None, str]:
        """The same with its number; (None, "") where there is none."""
        return calls.ticket_of(self.conn, self.call.id)

    def keep_recording(self, state: ivr.State) -> bool:
        """Put what was recorded into the call's ticket, behind a mark into that of the survey; False when it is there,
        or there is none."""
        heard = self.event.happening
        if not isinstance(heard, Recorded | Transcribed) or not heard.recording:
            return False
        seconds = heard.seconds if isinstance(heard, Recorded) else 0
        new = calls.add_recording(
            self.conn, self.call.id, heard.recording, source=self.event.source, seconds=seconds, now=self.now
        )
        if not new:
            call_transcripts.measured(self, heard.recording, seconds)
            return False
        files = (_recording(self.event.source),) if self.event.source else ()
        said = notes_of(self).voice(seconds)
        if state.score:
            kept = self._keep_comment(said, state, files)
        else:
            begins = self.ticket_id() is None
            kept = self._write(f"{notes_of(self).about(self, state)}\n{said}" if begins else said, state, files)
            if self.call.outcome != "put_through":
                # Also where the call was over before anybody told us of its recording.
                calls.change(self.conn, self.call.id, outcome="ticket")
        attached = tickets.first_attachment(self.conn, kept) if kept is not None and files else None
        calls.change_recording(self.conn, self.call.id, heard.recording, message_id=kept, attachment_id=attached)
        return True

    def _keep_comment(self, said: str, state: ivr.State, files: tuple[Attachment, ...]) -> int | None:
        """What was said about a mark is part of the ticket that it is about, and wakes nobody."""
        ticket = tickets.lock(self.conn, surveys.ticket_of(self.conn, state.survey))
        case = self._case(said, state, files, ())
        message_id = keep_vote(self.conn, case, ticket)
        if message_id is not None:
            keep_files(self.conn, case, ticket.id, message_id)
        key = f"comment:{self.entry.id}"
        surveys.comment(self.conn, self.ctx, state.survey, said, self.call.channel, key, self.now)
        return message_id

    def _write(
        self, text: str, state: ivr.State, files: tuple[Attachment, ...] = (), tags: tuple[str, ...] = ()
    ) -> int | None:
        """One more message of the call's ticket, which is opened with it where there is none. Returns its id."""
        case = self._case(text, state, files, tags)
        known = self.ticket_id()
        if known is not None:
            return append_to(self.conn, case, Named(ticket_id=known, issued=False), verified=True).message_id
        filed = open_for(self.conn, case)
        calls.change(self.conn, self.call.id, ticket_id=filed.ticket_id, outcome="ticket")
        return filed.message_id

    def _case(self, text: str, state: ivr.State, files: tuple[Attachment, ...], tags: tuple[str, ...]) -> Case:
        raw, caller = self.entry.raw, self.call.caller
        place = {} if is_hidden(caller) else {"to": caller, "from": self.call.called}
        message = Message(
            sender=Address(address=caller, name="" if is_hidden(caller) else self.event.caller.name),
            subject=notes_of(self).subject(state),
            text=text,
            visible_text=text,
            language=state.language,
            language_sure=bool(state.language),
            attachments=files,
            conversation=Conversation(id=caller, answer_to=place),
            chosen=state.chosen,
            ours=True,
        )
        # There are no words to read yet: this costs little, and needs no process of its own.
        assigned: Assignment = route(
            message, self.ctx.policy, raw.received_at, channel=raw.channel, account=raw.account
        )
        assigned = replace(assigned, tags=(*assigned.tags, *tags))
        return Case(
            ctx=self.ctx, entry=self.entry, message=message, assignment=assigned, now=self.now, sender=message.sender
        )

    def _filed(self, state: ivr.State) -> ivr.Filed:
        self.keep_recording(state)
        return ivr.Filed(number=self.ticket()[1], sms=is_texted(self), hidden=is_hidden(self.call.caller))

    def _call_back(self, number: str) -> None:
        ticket_id = self.ticket_id()
        if ticket_id is None or is_hidden(number):
            return
        key = f"call_back:{self.call.id}"
        data = {"number": number}
        if tickets.add_event(
            self.conn, ticket_id, at=self.entry.raw.received_at, actor="requester", kind="call_back", data=data, key=key
        ):
            self._note(ticket_id, notes_of(self).say("ticket_call_back", number=number))

    def _note(self, ticket_id: int, text: str) -> None:
        tickets.add_message(
            self.conn, ticket_id, direction="note", kind="note", author="gateway", text=text, at=self.now
        )

    def tell_length(self, seconds: int) -> None:
        """The call is over: how long it took stands in the ticket's history."""
        ticket_id = self.ticket_id()
        if ticket_id is not None:
            data = {"seconds": seconds, "call": self.call.call}
            at, key = self.entry.raw.received_at, f"call_ended:{self.call.id}"
            tickets.add_event(self.conn, ticket_id, at=at, actor="requester", kind="call_ended", data=data, key=key)

    # -- the end ----------------------------------------------------------------------------

    def _close(self, state: ivr.State, reason: str) -> None:
        if self.event.ours or state.rates:
            self._close_ours(reason)
            return
        missed = reason == "silent" and (self.ctx.calls.missed == "ticket" or self._is_unheard())
        if (reason in LEFT or missed) and self.ticket_id() is None:
            self._leave(state, reason)
        elif reason == "put_through":
            self._tell_talk(state)
        if self.ticket_id() is None:
            outcome = NO_TICKET if reason in SETTLED else reason
        else:
            # Words may have come before the request that ends their recording.
            heard = reason == "unfinished" and calls.first_words(self.conn, self.call.id) is not None
            outcome = "ticket" if heard or reason not in LEFT else reason
        calls.change(self.conn, self.call.id, outcome=outcome)

    def _is_unheard(self) -> bool:
        """Somebody called, and nobody asked us what they should hear: they know that we were away, and nobody else
        does."""
        return self.call.step == calls.UNASKED and isinstance(self.event.happening, Ended)

    def _close_ours(self, reason: str) -> None:
        """A call that we made leaves no ticket: nobody asked us for anything."""
        calls.change(self.conn, self.call.id, outcome=NO_TICKET if reason in SETTLED else reason)
        row = rating_calls.row_of(self.conn, self.call.channel, self.call.account, self.event)
        if reason == "machine" and row is not None:
            why, key = "a machine took the call up", f"rating_call:{row.id}"
            rating_calls.in_vain(self.conn, self.ctx, row, "completed", why, self.now, key=key)

    def settle_notice(self, ended: Ended) -> None:
        """A call that we made is over: its notice was heard, or was not."""
        row = rating_calls.row_of(self.conn, self.call.channel, self.call.account, self.event)
        if row is None:
            return
        key, call = f"rating_call:{row.id}", calls.get(self.conn, self.call.id)
        if ended.state == "completed" and call.step != calls.UNASKED and call.outcome != "machine":
            rating_calls.answered(self.conn, row, at=self.now, key=key)
            return
        if call.step == calls.UNASKED:
            calls.change(self.conn, call.id, outcome=ended.state)
        why = "" if call.outcome != "machine" else "a machine took the call up"
        rating_calls.in_vain(self.conn, self.ctx, row, ended.state, why, self.now, key=key)

    def _leave(self, state: ivr.State, reason: str) -> None:
        notes = notes_of(self)
        if reason != "put_through":
            self._write(notes.about(self, state, self._end()), state)
            return
        self._write(notes.about(self, state, self._talk(state)[2]), state, tags=(PUT_THROUGH,))
        ticket_id = self.ticket_id()
        if ticket_id is not None:
            self._note(ticket_id, notes.words["ticket_to_complete"])
            self._tell_answer(ticket_id, state)

    def _end(self) -> str:
        """How it ended, in words."""
        ended, notes = self.event.happening, notes_of(self)
        if isinstance(ended, Ended) and self._is_unheard():
            return notes.say("ticket_away", length=length(ended.seconds))
        return notes.words[self.unheard_end]

    def _talk(self, state: ivr.State) -> tuple[str, int, str]:
        """(whom they were put through to, seconds, both in words)."""
        talk, number = self.event.happening, state.rung[-1] if state.rung else ""
        seconds = talk.seconds if isinstance(talk, Connected) else 0
        return number, seconds, notes_of(self).say("ticket_put_through", number=number, length=length(seconds))

    def _tell_talk(self, state: ivr.State) -> None:
        """They were put through in a call that had its ticket before."""
        ticket = tickets.get(self.conn, calls.get(self.conn, self.call.id).ticket_id)
        if not self._tell_answer(ticket.id, state):
            return
        if PUT_THROUGH not in ticket.tags:
            tickets.update(self.conn, ticket.id, tags=[*ticket.tags, PUT_THROUGH])
        for said in (self._talk(state)[2], notes_of(self).words["ticket_to_complete"]):
            self._note(ticket.id, said)

    def _tell_answer(self, ticket_id: int, state: ivr.State) -> bool:
        """Somebody of staff spoke to the caller: nobody waits for a first answer any more. False when it is known."""
        number, seconds, _ = self._talk(state)
        agent = self.ctx.settings.agent_by_address(number)
        data = {"seconds": seconds, "number": number, "call": self.call.call}
        new = tickets.add_event(
            self.conn, ticket_id, at=self.entry.raw.received_at, actor=f"agent:{agent or 'telephone'}", kind="call",
            data=data, key=f"call_answered:{self.call.id}",
        )  # fmt: skip
        clocks.recompute(self.conn, self.ctx, ticket_id, self.now)
        return new is not None

    # -- a mark -----------------------------------------------------------------------------

    def _counted(self, vote: ivr.Vote) -> ivr.Counted:
        key = f"rating:{vote.survey}:call:{self.call.id}:{self.event.step}"
        rated = surveys.rate(self.conn, self.ctx, vote.survey, vote.score, "", self.call.channel, key, self.now)
        low = vote.score <= self.ctx.surveys.low_score
        return ivr.Counted(counts=rated.outcome in ("counted", "repeated"), low=low)


def _recording(source: str) -> Attachment:
    if source.endswith(".wav"):
        return replace(RECORDING, filename="recording.wav", content_type="audio/wav", source=source)
    return replace(RECORDING, source=source)
