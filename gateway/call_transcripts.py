"""What the provider writes down of a recording, and how long it is: told at any time, in any order, more than once."""

from __future__ import annotations

from gateway import fetched
from gateway.call_facts import Asked
from gateway.call_notes import notes_of
from gateway.fetched import Words
from gateway.store import calls, tickets
from normalizer.call import Transcribed


def measured(asked: Asked, recording: str, seconds: int) -> None:
    """A recording that was first told of without its length is this long."""
    row = calls.recording_of(asked.conn, asked.call.id, recording)
    if row is None or row.seconds or not seconds:
        return
    calls.change_recording(asked.conn, asked.call.id, recording, seconds=seconds)
    if row.message_id is not None:
        notes = notes_of(asked)
        tickets.reword(asked.conn, row.message_id, notes.voice(0), notes.voice(seconds))


def write_down(asked: Asked, told: Transcribed) -> str:
    """Keep the words of a recording that is kept, and route the ticket by them. Returns why nothing changed, or ""."""
    row = calls.recording_of(asked.conn, asked.call.id, told.recording)
    if row is None or row.transcript or row.transcript == told.text:
        return "known already"
    calls.change_recording(asked.conn, asked.call.id, told.recording, transcript=told.text)
    if row.message_id is None:
        return "there is no message of this recording"
    ticket_id = tickets.of_message(asked.conn, row.message_id)
    if row.attachment_id is None:
        if told.text:
            text = notes_of(asked).say("ticket_in_writing", words=told.text)
            tickets.add_message(
                asked.conn, ticket_id, direction="note", kind="note", author="gateway", text=text, at=asked.now
            )
        return ""
    words = Words(
        ticket_id=ticket_id, message_id=row.message_id, attachment_id=row.attachment_id,
        key=f"transcript:call:{asked.call.id}:{told.recording}",
    )  # fmt: skip
    place = (asked.call.channel, asked.call.account)
    kept = fetched.told(asked.conn, asked.ctx, words, told.text, place, asked.now)
    return "" if kept else "a transcript of our own is there"
