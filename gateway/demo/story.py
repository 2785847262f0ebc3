"""The story that the demo tells: mails in, what each became and why, a rating; a bot; text messages; calls."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.demo import calling, talk, texting
from gateway.demo.chat import telegram
from gateway.demo.desk import Desk, NotInTime, Page, wait_for
from gateway.demo.mails import DESK, MAILS, REPEATED, Mail, build
from gateway.demo.phone import telephone

REPLY = "Видим ошибку на сервере приложений, перезапускаем. Напишем, как только портал заработает."
RESULT = "перезапустили сервер приложений и добавили ему памяти, портал открывается."
COMMENT = "Быстро починили, спасибо"
SCORE = 5
MAILBOX = {"addresses": [DESK], "from": {"name": "Support", "address": DESK}, "language": "en", "timezone": "UTC"}
_LINK = re.compile(r"https?://\S+?/rate/[A-Za-z0-9_-]+(?:\?score=\d)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Became:
    """What one mail became."""

    mail: Mail
    answer: str
    """Of the SMTP server."""
    what: str
    why: str
    ticket: str
    """Its number; "" when it belongs to none."""


def tell(folder: Path, config: Path, console: Console) -> None:
    """Tell the whole story. Raises NotInTime when a part of it does not happen."""
    with telegram() as chat, telephone() as phone:
        channels = {
            "mail": {"support": MAILBOX},
            "telegram": {"demo": chat.account(folder)},
            "sms": {"demo": phone.account(folder)},
            "voice": {"demo": phone.account(folder)},
        }
        # A chat waits some seconds for a burst to end; nobody shall wait for that here.
        own = _as_shipped(folder, config)
        desk = Desk(folder, own, channels, "outbox.chat_acknowledgement_delay=0s", "outbox.debounce=0s")
        try:
            listening = desk.started()
            where = f"SMTP {listening['smtp']}, HTTP {listening['http']}"
            console.print(f"A gateway of its own runs in {folder}: {where}.\n")
            became = _send_all(desk, console)
            _show(became, console)
            first = became[0].ticket
            _answer(desk, first, console)
            _rate(desk, first, console)
            talk.tell(desk, chat, console)
            texting.tell(desk, phone, console)
            calling.tell(desk, phone, console)
        finally:
            desk.stop()
    console.print("\nThe gateway is stopped and its folder removed; nobody was written to. Next: [bold]make run[/bold]")


def _as_shipped(folder: Path, config: Path) -> Path:
    """The configuration, with calls led as they are by default: the demo's caller knows which keys to press."""
    own = folder / "config"
    shutil.copytree(config, own, ignore=shutil.ignore_patterns("ivr.yaml"))
    return own


def _send_all(desk: Desk, console: Console) -> list[Became]:
    done: list[Became] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Sending mails by SMTP", total=len(MAILS))
        for number, mail in enumerate(MAILS):
            done.append(_send(desk, number, mail))
            progress.advance(task)
    return done


def _id(number: int) -> str:
    return "bounce-1@mx.client.example" if MAILS[number].raw else f"demo-{number}@client.example"


def _send(desk: Desk, number: int, mail: Mail) -> Became:
    original = 0 if number == REPEATED else number
    answered = "" if mail.answers is None else _acknowledgement(desk, mail.answers)
    content = build(mail, message_id=_id(original), in_reply_to=answered)
    envelope = mail.sender if mail.envelope_from is None else mail.envelope_from
    answer = desk.send(envelope, DESK, content)
    entry = wait_for(f"the filing of mail {number + 1}", lambda: _filed(desk, _id(original)))
    outcome: dict[str, Any] = entry["outcome"] or {}
    ticket = str(outcome.get("ticket") or "")
    if number == REPEATED:
        what, why = "nothing new", f"a repeat of entry {entry['id']}"
    else:
        what, why = _what(desk, outcome, ticket), _why(desk, outcome, ticket)
    return Became(mail=mail, answer=answer, what=what, why=why, ticket=ticket)


def _filed(desk: Desk, message_id: str) -> dict[str, Any] | None:
    page = desk.api("GET", "/journal?limit=50")
    return next((e for e in page["items"] if e["external_id"] == message_id and e["state"] != "pending"), None)


def _acknowledgement(desk: Desk, number: int) -> str:
    """Message-ID of our acknowledgement of an earlier mail."""
    wanted = f"<{_id(number)}>"
    found = wait_for(
        f"the acknowledgement of mail {number + 1}",
        lambda: desk.outgoing(lambda mail: str(mail["In-Reply-To"] or "").strip() == wanted),
    )
    return str(found["Message-ID"]).strip(" <>")


def _what(desk: Desk, outcome: dict[str, Any], ticket: str) -> str:
    kind = str(outcome.get("kind", "?"))
    if kind != "opened":
        return f"{kind} {ticket}".strip()
    shown = desk.api("GET", f"/tickets/{ticket}")
    place = f"class {shown['class'] or '?'}, {shown['line']}{', on site' if shown['onsite'] else ''}"
    return f"ticket {ticket}: {place}, {shown['messages'][0]['language']}"


def _why(desk: Desk, outcome: dict[str, Any], ticket: str) -> str:
    if outcome.get("kind") != "opened":
        because = outcome.get("because", "")
        return because if isinstance(because, str) else "; ".join(map(str, because))
    reasons = desk.api("GET", f"/tickets/{ticket}/decision")["because"]
    chosen = [r for r in reasons if isinstance(r, dict) and r.get("what") in ("class", "line", "onsite")]
    return "; ".join(f"{r['what']} by {r['cause']} {r.get('detail', '')}".strip() for r in chosen[:2])


def _show(became: list[Became], console: Console) -> None:
    table = Table(title="What came in, what it became, and why", show_lines=True)
    for heading in ("", "mail", "became", "because"):
        table.add_column(heading, overflow="fold")
    for number, row in enumerate(became, 1):
        table.add_row(str(number), f"{row.mail.what}\n[dim]{row.mail.subject}[/dim]", row.what, row.why)
    console.print(table)


def _body(mail: Message[str, str]) -> str:
    part: Any = mail.get_body(("plain",)) if hasattr(mail, "get_body") else mail
    return str(part.get_content())


def _newest(desk: Desk, ticket: str, containing: str) -> str:
    """Text of the newest outgoing mail about the ticket that contains these words."""

    def wanted(mail: Message[str, str]) -> bool:
        return ticket in str(mail["Subject"]) and containing in " ".join(_body(mail).split())

    return _body(wait_for("an outgoing mail", lambda: desk.outgoing(wanted)))


def _answer(desk: Desk, ticket: str, console: Console) -> None:
    desk.api("POST", f"/tickets/{ticket}/reply", {"text": REPLY})
    _newest(desk, ticket, REPLY)
    console.print(f"\nStaff answered ticket {ticket}; the mail went out in the language of the person.")


def _rate(desk: Desk, ticket: str, console: Console) -> None:
    desk.api("POST", f"/tickets/{ticket}/resolve", {"result": RESULT})
    text = _newest(desk, ticket, "/rate/")
    console.print("Staff resolved it. The person reads:\n")
    console.print(text.strip(), style="dim", markup=False, highlight=False)
    links = _LINK.findall(text)
    link = next((found for found in links if found.endswith(f"score={SCORE}")), links[0])
    page = Page.open(link)
    console.print(f"\nThe link opens a page: [dim]{page.text()[:160]}[/dim]")
    votes = desk.api("GET", f"/tickets/{ticket}/ratings")["items"]
    if votes:
        raise NotInTime("opening the page must not count as a vote")
    page.submit(score=str(SCORE), comment=COMMENT)
    votes = desk.api("GET", f"/tickets/{ticket}/ratings")["items"]
    if [vote["score"] for vote in votes] != [SCORE]:
        raise NotInTime(f"the vote was not counted: {votes}")
    console.print(f"Opening it counted nothing; the form sent one vote: [bold]{votes[0]['score']} of 5[/bold].")
