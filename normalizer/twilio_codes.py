"""What Twilio's error codes about a message of ours come to: https://www.twilio.com/docs/api/errors"""

from __future__ import annotations

from collections.abc import Mapping

from normalizer.message import SendState, Verdict

VERDICTS: Mapping[str, tuple[Verdict, str]] = {
    "20003": ("alarm", "Twilio does not accept our account's token"),
    "20429": ("temporary", "too many requests"),
    "21211": ("unreachable", "there is no such number"),
    "21408": ("alarm", "our account may not send to this country"),
    "21606": ("alarm", "our number cannot send"),
    "21610": ("consent", "the person wants no messages from this number"),
    "21611": ("temporary", "too much waits to go out from our number"),
    "21612": ("permanent", "our number cannot reach theirs"),
    "21614": ("unreachable", "it is no mobile number"),
    "21617": ("permanent", "the text is too long"),
    "30001": ("temporary", "the queue is full"),
    "30002": ("alarm", "our account is suspended"),
    "30003": ("temporary", "the telephone is off or without a network"),
    "30004": ("unreachable", "the number blocks messages"),
    "30005": ("unreachable", "there is no such number"),
    "30006": ("unreachable", "a landline, or a network that takes no messages"),
    "30007": ("alarm", "the network takes the text for unwanted advertising"),
    "30008": ("temporary", "it failed for no known reason"),
    "30034": ("alarm", "our number is not registered for messages to this country"),
    "30036": ("temporary", "it did not arrive within its time"),
    "63003": ("permanent", "the person has no WhatsApp"),
    "63016": ("permanent", "WhatsApp takes only approved texts a day after the person wrote"),
    "63017": ("temporary", "too many messages"),
    "63018": ("temporary", "too many messages"),
    "63024": ("permanent", "the person has no WhatsApp"),
}
"""Code -> what it comes to, and what staff read. What only WhatsApp does not reach, other channels may."""
UNKNOWN: Verdict = "permanent"
"""Of a code that is not in the table: it did not arrive, and nobody knows that sending it once more would help."""
FAILED: frozenset[SendState] = frozenset({"undelivered", "failed", "canceled"})


def verdict(state: SendState, code: str) -> tuple[Verdict, str]:
    """(what it comes to, words for staff); ("", "") for what went well or is under way."""
    if state not in FAILED:
        return "", ""
    if not code:
        return UNKNOWN, "no reason is given"
    return VERDICTS.get(code, (UNKNOWN, "an error of Twilio's that has no meaning here"))
