"""What comes in a message beside words: files by reference, places, buttons, lists, reactions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from normalizer.message import Attachment
from normalizer.twilio_wire import Request

FILES = 20
"""Of one message; Twilio brings ten at most."""
SOURCE_CHARS = 2_000
MAP = "https://www.openstreetmap.org/?mlat={0}&mlon={1}#map=17/{0}/{1}"
_URL = re.compile(r"https?://[^\s<>\"\\^`{|}]+", re.IGNORECASE)
_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}", re.ASCII)
_PLACE = re.compile(r"-?[0-9]{1,3}(\.[0-9]{1,20})?")
_YES = frozenset({"true", "1"})
ENDINGS: Mapping[str, str] = {
    "image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp", "audio/ogg": "ogg",
    "audio/mpeg": "mp3", "audio/mp4": "m4a", "audio/amr": "amr", "audio/aac": "aac", "video/mp4": "mp4",
    "video/3gpp": "3gp", "application/pdf": "pdf", "text/vcard": "vcf", "text/x-vcard": "vcf", "text/plain": "txt",
    "text/csv": "csv", "application/zip": "zip", "application/msword": "doc", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}  # fmt: skip
"""Content type -> how a file is called that has no name of its own."""


def files(request: Request) -> tuple[tuple[Attachment, ...], list[str]]:
    """(files that can be fetched, oddities). A reaction's or a sticker's picture is none."""
    found: list[Attachment] = []
    odd: list[str] = []
    if request.line("MessageType", 40).lower() in _IDLE:
        return (), []
    for number in range(FILES):
        source = request.fields.get(f"MediaUrl{number}", "").strip()
        if not source:
            continue
        if len(source) > SOURCE_CHARS or not _URL.fullmatch(source):
            odd.append("media:bad_url")
            continue
        said = request.line(f"MediaContentType{number}", 120).partition(";")[0].lower()
        kind = said if _TYPE.fullmatch(said) else "application/octet-stream"
        found.append(_file(number, kind, source))
    if request.count("NumMedia") > len(found) + len(odd):
        odd.append("media:missing")
    return tuple(found), odd


def _file(number: int, kind: str, source: str) -> Attachment:
    name = f"{kind.partition('/')[0]}_{number + 1}.{ENDINGS.get(kind, 'bin')}"
    return Attachment(filename=name, content_type=kind, size=0, sha256="", source=source)


_IDLE = frozenset({"sticker", "reaction"})
"""Kinds that ask for nothing."""


def pressed(request: Request) -> str:
    """The data of the button or the line of a list that was chosen; "" for none."""
    return request.line("ButtonPayload", 256) or request.line("ListId", 256)


def lines(request: Request) -> tuple[list[str], list[str], bool, list[str]]:
    """(lines above the person's words, lines below, whether nothing is asked for, oddities)."""
    above = ["[forwarded]"] if {_flag(request, "Forwarded"), _flag(request, "FrequentlyForwarded")} & {True} else []
    below: list[str] = []
    kind = request.line("MessageType", 40).lower()
    if kind in _IDLE:
        return [f"[{kind}]"], [], True, []
    body = request.text("Body")
    chosen = request.line("ButtonText") or _listed(request)
    if chosen and chosen != body:
        below.append(chosen)
    below += _place(request)
    below += _referral(request)
    odd = _flow(request, below)
    return above, below, False, odd


def _flag(request: Request, name: str) -> bool:
    return request.line(name, 10).lower() in _YES


def _listed(request: Request) -> str:
    title, more = request.line("ListTitle"), request.line("ListDescription")
    return f"{title}: {more}" if title and more else title or more


def _place(request: Request) -> list[str]:
    latitude, longitude = request.line("Latitude", 40), request.line("Longitude", 40)
    named = ", ".join(part for part in (request.line("Label"), request.line("Address")) if part)
    if not (_PLACE.fullmatch(latitude) and _PLACE.fullmatch(longitude)):
        return [f"[place: {named}]"] if named else []
    at = [f"[location: {latitude}, {longitude}] {MAP.format(latitude, longitude)}"]
    return [f"[place: {named}]", *at] if named else at


def _referral(request: Request) -> list[str]:
    """What the person saw before they wrote: an advertisement, a post."""
    parts = [request.line(f"Referral{name}") for name in ("Headline", "Body", "SourceUrl")]
    said = ", ".join(part for part in parts if part)
    return [f"[came from: {said}]"] if said else []


def _flow(request: Request, below: list[str]) -> list[str]:
    """The answers of a form within WhatsApp, a line each."""
    said = request.fields.get("FlowData") or request.fields.get("InteractiveData") or ""
    if not said or request.line("ListId") or request.line("ButtonText"):
        return []
    try:
        found = json.loads(said[:100_000], parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return ["interactive:bad"]
    known = found.items() if isinstance(found, dict) else ()
    told = [(key, value) for key, value in list(known)[:50] if isinstance(value, str) and value.strip()]
    for key, value in told:
        shown = Request(fields={"k": key, "v": value}, query={}, channel="", account="")
        below.append(f"{shown.line('k', 100)}: {shown.line('v')}")
    return [] if told else ["interactive:empty"]
