"""Mail that no person wrote: loops, reports, feedback, auto-replies, robots. Header rules first, words last."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from normalizer.mail.mime import Field

MARK = "x-intake-gateway"
"""Header (lower case) that every notice of ours carries: a mail that has it is our own, come back."""

_AUTO_SUBJECT = re.compile(
    r"\s*(?:automatic reply|auto(?:matic)?[ -]?(?:reply|response|responder)|autoreply|out of (?:the )?office|ooo\s?:"
    r"|автоматический ответ|автоответ|авто-ответ|автоматическое уведомление об отсутствии|нет на работе\s?:"
    r"|вне офиса\s?:|отсутствую\s?:|ответ автоответчика|я в отпуске\s?:"
    r"|автоматична відповідь|автовідповідь|автоматичне повідомлення про відсутність|немає на роботі\s?:|поза офісом\s?:"
    r"|abwesenheitsnotiz|automatische antwort|réponse automatique|respuesta automática|risposta automatica"
    r"|resposta automática|automatisch antwoord|odpowiedź automatyczna|vacation reply|away from (?:my )?(?:mail"
    r"|office))(?P<alone>\s*(?:[:.!,;()\[\]<>«»\"–—-]|\Z)|(?<=:))?",
    re.IGNORECASE,
)
"""How mailers begin the subject of an answer of theirs; `alone`: the words are a prefix or all there is."""
_AUTO_TEXT = re.compile(
    r"(?:i am|i'm|i will be|currently) (?:currently )?(?:out of (?:the )?office|on (?:vacation|holiday|leave)|away)"
    r"|this is an automat(?:ic|ed) (?:reply|response)|я (?:сейчас )?(?:нахожусь )?в отпуске|нахожусь в отпуске"
    r"|я вне офиса"
    r"|это автоматический ответ|письмо сформировано автоматически, отвечать|я (?:зараз )?(?:перебуваю )?у відпустці"
    r"|перебуваю у відпустці|це автоматична відповідь|ваш[еу] (?:письмо|обращение|заявку?) (?:получено"
    r"|зарегистрировано)",
    re.IGNORECASE,
)
_ROBOT_LOCAL = re.compile(
    r"(?:mailer-daemon|mail-daemon|postmaster|no-?reply|do-?not-?reply|donotreply|noreply-.{1,60}|nobody|root|cron"
    r"|daemon"
    r"|bounces?|notifications?|alerts?|robot|monitoring|zabbix|nagios)(?:[+._-].{0,60})?$",
    re.IGNORECASE,
)
_REPORT_TYPES = {"disposition-notification", "tracking-status"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the rules look at."""

    fields: Field
    subject: str
    sender: str
    """Address of the author."""
    null_sender: bool
    """The envelope sender is empty, as far as known."""
    text: str
    types: Collection[str]
    report_type: str
    recipients: Collection[str]


def _said(sight: Sight, name: str) -> str:
    return sight.fields.first(name).partition(";")[0].partition("(")[0].strip().lower()


def is_loop(sight: Sight) -> bool:
    """Our own notice come back: it carries our mark, or X-Loop names the recipient.

    Another desk may run this gateway, too: what a person there wrote is no loop, what it sends by itself is one.
    """
    looped = {value.strip().lower() for value in sight.fields.all("x-loop")}
    if looped & {address.lower() for address in sight.recipients}:
        return True
    if MARK not in sight.fields:
        return False
    return _said(sight, "auto-submitted") not in ("", "no") or _from_our_domain(sight)


def _from_our_domain(sight: Sight) -> bool:
    domain = sight.sender.rpartition("@")[2].lower()
    return not domain or domain in {address.rpartition("@")[2].lower() for address in sight.recipients}


def is_feedback(sight: Sight) -> bool:
    """An abuse report (RFC 5965)."""
    return sight.report_type == "feedback-report" or "message/feedback-report" in sight.types


def is_receipt(sight: Sight) -> bool:
    """A read receipt (RFC 8098) or another report about a message."""
    return sight.report_type in _REPORT_TYPES or bool(
        {"message/disposition-notification", "message/tracking-status"} & set(sight.types)
    )


def is_auto_reply(sight: Sight) -> bool:
    """An answer of a machine to a mail (RFC 3834, older headers, then the words of mailers that set none)."""
    submitted = _said(sight, "auto-submitted")
    if submitted.startswith("auto-replied"):
        return True
    if any(name in sight.fields for name in ("x-autoreply", "x-autorespond", "x-autoreply-from", "x-mail-autoreply")):
        return True
    if _said(sight, "x-autoresponder") or _said(sight, "x-auto-reply") in ("yes", "true", "1"):
        return True
    if _said(sight, "precedence") in ("auto_reply", "auto-reply") or _said(sight, "x-precedence") == "auto_reply":
        return True
    machine = sight.null_sender or submitted.startswith("auto-")
    subject = _AUTO_SUBJECT.match(sight.subject)
    if subject and (subject["alone"] is not None or machine or "in-reply-to" in sight.fields):
        return True
    # Else the subject goes on like a person's: "Autoreply does not work, please help" is a request. The words are
    # looked for last, and rarely: a search without a fixed beginning costs as much as the rest of the parser.
    return bool((subject or machine) and _AUTO_TEXT.search(sight.text[:2000]))


def is_robot(sight: Sight) -> bool:
    """A machine or a list: taken in as any message, but nothing automatic may go back (RFC 3834 section 2)."""
    if _said(sight, "auto-submitted") not in ("", "no"):
        return True
    if _said(sight, "precedence") in ("bulk", "junk", "list"):
        return True
    named = ("list-id", "list-post", "list-unsubscribe", "x-auto-response-suppress", "feedback-id")
    if any(name in sight.fields for name in named) or sight.null_sender:
        return True
    return not sight.sender or bool(_ROBOT_LOCAL.match(sight.sender.rpartition("@")[0]))


RULES: tuple[tuple[str, Callable[[Sight], bool]], ...] = (
    ("loop", is_loop),
    ("feedback", is_feedback),
    ("report", is_receipt),
    ("auto_reply", is_auto_reply),
)
"""Kind -> rule; the first that holds decides. Bounces are looked for between "feedback" and "report"."""
