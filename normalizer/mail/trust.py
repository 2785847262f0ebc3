"""How far the sender's name can be believed: verdicts (RFC 8601) of relays that we configured, of nobody else."""

from __future__ import annotations

import re
from collections.abc import Collection

from normalizer.mail import words
from normalizer.mail.mime import Field
from normalizer.message import Trust

_COMMENT = re.compile(r"\([^()]{0,1000}\)")
_RESULT = re.compile(r"\s*([\w-]+)\s*=\s*([\w-]+)")
_PROPERTY = re.compile(r"([\w-]+)\.([\w-]+)\s*=\s*(?:\"([^\"]*)\"|(\S+))")
_HEADERS = 20


def judge(fields: Field, sender_domain: str, relays: Collection[str]) -> Trust:
    """`relays`: the authserv-ids whose Authentication-Results are believed; without any the answer is UNKNOWN."""
    known = {relay.lower() for relay in relays}
    if not known:
        return Trust.UNKNOWN
    verdicts = _verdicts(fields, known)
    if _spam(fields, verdicts) or verdicts.get("dmarc", ("", {}))[0] == "fail":
        return Trust.SUSPECT
    if not sender_domain:
        return Trust.UNKNOWN
    if verdicts.get("dmarc", ("", {}))[0] == "pass":
        # The verdict must be about this From; some mail carries several.
        named = verdicts["dmarc"][1].get("header.from", sender_domain)
        return Trust.VERIFIED if _aligned(named, sender_domain) else Trust.UNKNOWN
    return Trust.VERIFIED if _signed(verdicts, sender_domain) else Trust.UNKNOWN


def _signed(verdicts: dict[str, tuple[str, dict[str, str]]], domain: str) -> bool:
    result, properties = verdicts.get("dkim", ("", {}))
    signer = properties.get("header.d") or properties.get("header.i", "")
    if result == "pass" and _aligned(signer, domain):
        return True
    result, properties = verdicts.get("spf", ("", {}))
    return result == "pass" and _aligned(properties.get("smtp.mailfrom", ""), domain)


def _verdicts(fields: Field, known: Collection[str]) -> dict[str, tuple[str, dict[str, str]]]:
    """Method -> (result, properties). The topmost header that speaks of a method counts: a forged one can only
    stand below.

    A message may have several DKIM signatures: of the verdicts in that header, one that passes is kept as `dkim`.
    """
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for value in fields.all("authentication-results")[:_HEADERS]:
        text = _COMMENT.sub(" ", words.one_line(value))
        server, _, rest = text.partition(";")
        if not server.split() or server.split()[0].lower() not in known:
            continue
        here: dict[str, tuple[str, dict[str, str]]] = {}
        for piece in rest.split(";"):
            result = _RESULT.match(piece)
            if not result:
                continue
            method, verdict = result[1].lower(), result[2].lower()
            properties = {f"{a}.{b}".lower(): (c or d).lower() for a, b, c, d in _PROPERTY.findall(piece)}
            if method not in here or (method == "dkim" and verdict == "pass" and here[method][0] != "pass"):
                here[method] = verdict, properties
        found = here | found
    return found


def _spam(fields: Field, verdicts: dict[str, tuple[str, dict[str, str]]]) -> bool:
    said = (
        fields.first("x-spam-flag"), fields.first("x-spam"), fields.first("x-spam-status").partition(",")[0],
        verdicts.get("x-spam", ("", {}))[0],
    )  # fmt: skip
    return any(value.strip().lower() in ("yes", "true") for value in said)


def _aligned(name: str, domain: str) -> bool:
    """The same domain, or one below the other.

    Stricter than relaxed alignment (RFC 7489 section 3.1), which needs the list of public suffixes: under pp.ua or
    co.uk neighbours are strangers, and nobody signs for the suffix itself. A relay's DMARC verdict knows better.
    """
    other, own = name.rpartition("@")[2].strip(" .<>\"'").lower(), domain.lower()
    if "." not in other or "." not in own:
        return bool(other) and other == own
    return other == own or other.endswith(f".{own}") or own.endswith(f".{other}")
