"""twilio_message/1: a text message or a WhatsApp message as Twilio's webhook brings it. Total over bytes.

https://www.twilio.com/docs/messaging/guides/webhook-request, https://www.twilio.com/docs/whatsapp/api
"""

from __future__ import annotations

import re

from normalizer import language, short_answers
from normalizer.mail import answers
from normalizer.message import (
    Address,
    Consent,
    Conversation,
    Event,
    Ignored,
    KeyKind,
    Message,
    Rating,
    RawMessage,
    ThreadKey,
    Trust,
)
from normalizer.twilio_kinds import files, lines, pressed
from normalizer.twilio_wire import Request, is_hidden, is_reachable, request_of

_EMOJI = re.compile(r"[\s\u200d\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff]+")
_VOTE = re.compile(r"rate:([A-Za-z0-9_-]{8,100}):([1-5])")
_WISHES: dict[str, short_answers.Wish] = {"STOP": "stop", "START": "start", "HELP": "help"}


def read(raw: RawMessage) -> Event:
    """What the request means. Facts used: `json`, `query`, `numbers`, `opt_out`.

    Raises TypeError for a body that is still on disk.
    """
    request = request_of(raw)
    if not (request.sid or request.number("From") or request.text("Body")):
        return Ignored(reason=next(iter(request.odd), "form:empty"))
    return _vote(request, raw) or _consent(request, raw) or _message(request, raw)


# -- who, and where -----------------------------------------------------------------------


def _sender(request: Request) -> Address:
    """The person's number. Who hides it is nobody else who does: such a one is named by their message."""
    said, name = request.number("From"), request.line("ProfileName", 200)
    digits = request.line("WaId", 20)
    if is_hidden(said) and re.fullmatch(r"[1-9][0-9]{6,14}", digits):
        said = f"+{digits}"
    return Address(address=f"hidden:{request.sid}" if is_hidden(said) else said, name=name)


def _our_number(request: Request, raw: RawMessage) -> str:
    """The number of ours that it came to; the account's only one where it is not said."""
    numbers = raw.facts.get("numbers")
    known = [one for one in numbers if isinstance(one, str)] if isinstance(numbers, list | tuple) else []
    return request.number("To") or (known[0] if known else "")


def _conversation(request: Request, raw: RawMessage) -> Conversation:
    person = _sender(request).address
    return Conversation(id=person, answer_to={"to": person, "from": _our_number(request, raw)})


# -- what is no message -------------------------------------------------------------------


def _vote(request: Request, raw: RawMessage) -> Rating | None:
    """A button or a line of a list that we sent, whose data names the survey."""
    found = _VOTE.fullmatch(pressed(request))
    if found is None:
        return None
    talk = _conversation(request, raw)
    return Rating(token=found[1], score=int(found[2]), voter=_sender(request), conversation=talk)


def _consent(request: Request, raw: RawMessage) -> Consent | None:
    """A word that is the whole message; or Twilio says that it has understood one, and answered it."""
    sender = _sender(request)
    if request.count("NumMedia") or not is_reachable(sender.address):
        return None
    talk = _conversation(request, raw)
    theirs = _WISHES.get(request.line("OptOutType", 10).upper())
    if theirs is not None:
        return Consent(sender=sender, wish=theirs, conversation=talk, answered=True)
    wish, known_there = short_answers.wish(request.text("Body")[:100])
    if wish is None:
        return None
    answered = known_there and raw.facts.get("opt_out") == "twilio"
    return Consent(sender=sender, wish=wish, conversation=talk, answered=answered)


# -- messages -----------------------------------------------------------------------------


def _message(request: Request, raw: RawMessage) -> Message:
    sender = _sender(request)
    body, (before, after, idle, odd) = request.text("Body"), lines(request)
    attachments, odd_files = files(request)
    own = "" if before else body
    shown = "\n".join(part for part in (*before, body, *after) if part)
    oddities = [*request.odd, *odd, *odd_files]
    if not shown and not attachments:
        kind = request.line("MessageType", 40).lower()
        known = kind if re.fullmatch(r"[a-z_]{1,40}", kind) and kind != "text" else ""
        shown = f"[unsupported content: {known}]" if known else "[an empty message]"
        oddities.append(f"unsupported:{known or 'nothing'}")
    guessed, sure = language.guess(body)
    score, comment = short_answers.rating(own)
    answered = _answered(request)
    return Message(
        sender=sender,
        text=shown,
        visible_text=shown,
        attachments=attachments,
        thread_keys=(ThreadKey(kind=KeyKind.EXTERNAL, value=answered),) if answered else (),
        language=guessed,
        language_sure=sure,
        thanks=not attachments and (idle or (not after and (answers.thanks(own) or bool(_EMOJI.fullmatch(own))))),
        rating=score,
        rating_comment=comment,
        stop_surveys=answers.stop_surveys(own),
        trust=Trust.VERIFIED if raw.channel == "whatsapp" and is_reachable(sender.address) else Trust.UNKNOWN,
        # A short code, a name in letters, a hidden number: nobody can be answered there.
        robot=not is_reachable(sender.address),
        conversation=_conversation(request, raw),
        external_key=request.key(request.sid),
        answers_us=bool(answered) and request.number("OriginalRepliedMessageSender") == _our_number(request, raw),
        oddities=tuple(dict.fromkeys(oddities)),
    )


def _answered(request: Request) -> str:
    """Key of the message that it answers; "" for none."""
    return request.key(request.line("OriginalRepliedMessageSid", 64))
