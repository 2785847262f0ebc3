"""Header blocks and separators inside a text: where an earlier message starts (ru, uk, en and neighbours)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LABELS = {
    "from": (
        "from", "от", "от кого", "отправитель", "від", "від кого", "відправник", "von", "de", "da", "od", "van",
        "fra", "från",
    ),
    "date": (
        "sent", "date", "отправлено", "отправленные", "отправлен", "дата", "надіслано", "надісланий", "gesendet",
        "datum",
        "envoyé", "envoyé le", "enviado", "data", "дата отправки", "wysłano", "fecha", "verzonden", "inviato", "dato",
        "sendt", "skickat",
    ),
    "to": ("to", "кому", "an", "à", "para", "do", "получатель", "одержувач", "aan", "a", "til", "till"),
    "cc": ("cc", "копия", "копія", "kopie", "dw", "копии", "kopi", "kopia"),
    "subject": (
        "subject", "тема", "betreff", "objet", "asunto", "oggetto", "temat", "тема письма", "assunto", "onderwerp",
        "emne", "ämne",
    ),
    "reply_to": ("reply-to", "ответить", "reply to"),
    "other": ("importance", "важность", "attachments", "вложения", "priority", "вкладення"),
}  # fmt: skip
_FIELD = {label: name for name, labels in _LABELS.items() for label in labels}
_LABEL = re.compile(r"[>\s]{0,20}\*{0,2}([A-Za-zÀ-ÿА-Яа-яІіЇїЄєҐґ][A-Za-zÀ-ÿА-Яа-яІіЇїЄєҐґ -]{0,18})\*{0,2}\s?:(?!/)")
_QUOTE_MARK = re.compile(r"^[> ]+")

_ORIGINAL = (
    "original message|original appointment|исходное сообщение|исходное письмо|вихідне повідомлення|оригинальное"
    " сообщение|оригінальне повідомлення|початкове повідомлення|первоначальное сообщение|ursprüngliche nachricht"
    "|message d'origine|mensaje original|wiadomość oryginalna|reply message|исходное приглашение|вихідний лист"
    "|oprindelig besked|ursprungligt meddelande|oorspronkelijk bericht"
)
_FORWARDED = (
    "forwarded message|пересылаемое сообщение|пересланное сообщение|пересланное письмо|пересылаемое письмо|переслане"
    " повідомлення|переслане|повідомлення, що пересилається|пересылаемое|перенаправленное сообщение|перенаправлене"
    " повідомлення|переадресоване повідомлення|конец пересылаемого сообщения|пересланий лист|forwarded by [^-]{1,80}"
    "|weitergeleitete nachricht|message transféré|mensaje reenviado"
)
_RULED = re.compile(
    rf"[>\s]{{0,20}}[-_=*]{{2,60}}\s{{0,5}}(?:(?P<original>{_ORIGINAL})|(?P<forwarded>{_FORWARDED}))\b", re.IGNORECASE
)
_FORWARD_LINE = re.compile(
    r"[>\s]{0,20}(?:begin forwarded message|начало переадресованного сообщения|начало пересылаемого сообщения"
    r"|початок листа,? що пересилається|початок пересланого повідомлення|початок переадресованого повідомлення"
    r"|начало переадресованного письма|anfang der weitergeleiteten nachricht|début du message (?:transféré|réexpédié))"
    r"\s?:\s*$",
    re.IGNORECASE,
)
_RULE_LINE = re.compile(r"\s{0,5}[_-]{10,200}\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """The headers of an earlier message written into the text."""

    start: int
    end: int
    """The line after the block."""
    fields: dict[str, str]


def block_at(lines: Sequence[str], start: int) -> Block | None:
    """A header block that starts in this line: at least an author and two more fields."""
    if _label(lines[start]) not in ("from", "date", "subject", "to"):
        return None
    fields: dict[str, str] = {}
    last, at = "", start
    while at < len(lines) and at - start < 16:
        line = _QUOTE_MARK.sub("", lines[at]).strip()
        name = _label(lines[at])
        if name and name not in fields:
            fields[name], last = line.partition(":")[2].strip(" *\t"), name
        elif not line:
            if at == start or _label(lines[at + 1] if at + 1 < len(lines) else "") in (*fields, ""):
                break
        elif last in ("to", "cc", "subject", "from") and at - start < 12:
            fields[last] = f"{fields[last]} {line}".strip()
        else:
            break
        at += 1
        if last == "subject" and not _label(lines[at] if at < len(lines) else ""):
            break
    named = [name for name in fields if name != "other"]
    return Block(start, at, fields) if "from" in fields and len(named) >= 3 else None


def _label(line: str) -> str:
    if ":" not in line[:44]:
        return ""
    match = _LABEL.match(line)
    return _FIELD.get(match[1].strip().lower(), "") if match else ""


def separator(line: str) -> str:
    """ "original", "forwarded" or "" by a ruled or introducing line such as "----- Original Message -----"."""
    if _FORWARD_LINE.match(line):
        return "forwarded"
    match = _RULED.match(line) if "--" in line or "__" in line or "==" in line or "**" in line else None
    return "" if match is None else "original" if match["original"] else "forwarded"


def is_rule(line: str) -> bool:
    """A line of underscores or hyphens, as Outlook draws before a header block."""
    return bool(_RULE_LINE.match(line))


_PREFIX = re.compile(
    r"\s*(?:(?P<forward>fwd?|wg|tr|rv|пересл|пер|переслано|переслане|переадр)|(?P<reply>re|aw|sv|ha|на|отв|ответ|відп|"
    r"відповідь|res|antw|odp))\s?(?:\[\d{1,3}\]|\(\d{1,3}\))?\s?\.?\s?[:：]\s*",
    re.IGNORECASE,
)


def subject_says(subject: str) -> str:
    """ "forward" or "reply" by the first prefix of a subject, else ""."""
    match = _PREFIX.match(subject)
    return "" if match is None else "forward" if match["forward"] else "reply"
