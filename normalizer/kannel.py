"""kannel/1: a text message as Kannel's get-url or post-url brings it. Total over bytes."""

from __future__ import annotations

import re

from normalizer import language, short_answers
from normalizer.kannel_wire import DATA, Call, call_of, is_reachable
from normalizer.mail import answers
from normalizer.message import Address, Consent, Conversation, Event, Ignored, Message, RawMessage

_EMOJI = re.compile(r"[\s\u200d\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff]+")


def read(raw: RawMessage) -> Event:
    """What the call means. Facts used: `query`, `headers`, `numbers`.

    Raises TypeError for a body that is still on disk.
    """
    call = call_of(raw)
    odd: list[str] = []
    text = "" if call.coding == DATA else call.text(odd)
    if not (call.person or text):
        return Ignored(reason="form:empty")
    return _consent(call, text, raw) or _message(call, text, raw, odd)


def _sender(call: Call, raw: RawMessage) -> Address:
    """Who hides their number is nobody else who does."""
    return Address(address=call.person or f"hidden:{raw.external_id}")


def _conversation(call: Call, raw: RawMessage) -> Conversation:
    person = _sender(call, raw).address
    return Conversation(id=person, answer_to={"to": person, "from": call.our_number})


def _consent(call: Call, text: str, raw: RawMessage) -> Consent | None:
    """A word that is the whole message. Kannel answers none itself."""
    wish, _ = short_answers.wish(text[:100])
    if wish is None or not is_reachable(call.person) or call.part() is not None:
        return None
    return Consent(sender=_sender(call, raw), wish=wish, conversation=_conversation(call, raw))


def _message(call: Call, text: str, raw: RawMessage, odd: list[str]) -> Message:
    part = call.part()
    shown = text
    if call.coding == DATA:
        shown, odd = "[unsupported content: data]", [*odd, "unsupported:data"]
    elif not text:
        shown, odd = "[an empty message]", [*odd, "unsupported:nothing"]
    if part is not None:
        # Kannel joins the parts itself (sms-combine-concatenated-mo); one is missing, or another gateway does not.
        odd.append(f"part:{part[0]}/{part[1]}")
    guessed, sure = language.guess(text)
    score, comment = short_answers.rating(text)
    return Message(
        sender=_sender(call, raw),
        text=shown,
        visible_text=shown,
        language=guessed,
        language_sure=sure,
        thanks=bool(text) and part is None and (answers.thanks(text) or bool(_EMOJI.fullmatch(text))),
        rating=score,
        rating_comment=comment,
        stop_surveys=answers.stop_surveys(text),
        # A short code, a name in letters, a hidden number: nobody can be answered there.
        robot=not is_reachable(call.person),
        conversation=_conversation(call, raw),
        external_key=f"{raw.channel}:{raw.account}:{raw.external_id}",
        oddities=tuple(dict.fromkeys(odd)),
    )
