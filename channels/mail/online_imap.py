"""A first look into a mailbox: logged in, the folder opened to be read only, one message read and not marked."""

from __future__ import annotations

from imapclient.exceptions import IMAPClientError, LoginError

from channels.mail.imap_session import ConnectionLost, Session
from channels.mail.imap_settings import Imap
from channels.mail.imap_watchdog import Watchdog
from channels.mail.online import Met, Refused, Secrets
from channels.mail.wire_text import readable

PIECE = 64 * 1024
"""Bytes of the newest message that are read."""
SHOWN = 12
"""Folders that are named."""


def meet(settings: Imap, watchdog: Watchdog, secrets: Secrets) -> Met:
    """Log in and look. Raises Refused, or OSError for the connection. Blocks: for a thread of its own."""
    try:
        with Session.open(settings, watchdog, password=secrets.password, token=secrets.token) as session:
            return Met(said=_look(session, settings), greeting=session.greeting)
    except LoginError as error:
        by = "token" if secrets.token else "password"
        raise Refused(f"it refuses user {settings.user} and the {by}: {_words(error)}") from error
    except (IMAPClientError, ConnectionLost) as error:
        raise Refused(_words(error)) from error


def _look(session: Session, settings: Imap) -> str:
    folders = session.folders()
    try:
        session.select(settings.folder, read_only=True)
    except IMAPClientError as error:
        if settings.folder in folders:
            raise Refused(f"the folder {settings.folder} cannot be opened: {_words(error)}") from error
        there = ", ".join(folders[:SHOWN]) + (" …" if len(folders) > SHOWN else "")
        raise Refused(f"there is no folder {settings.folder}; there are: {there or 'none'}") from error
    said = [
        f"logged in as {settings.user}", f"{session.count} messages in {settings.folder}", _one(session),
        "IDLE" if session.can_idle() else f"no IDLE: new mail is seen every {settings.poll.total_seconds():.0f} s",
        "MOVE" if session.can_move() else "no MOVE: moving copies and deletes",
    ]  # fmt: skip
    if settings.target and not settings.read_only:
        there = "is there" if settings.target in folders else "is not there yet: it is made at the start"
        said.append(f"the folder {settings.target} {there}")
    return ", ".join(said)


def _one(session: Session) -> str:
    """Read the newest message as the gateway does (BODY.PEEK: unread mail stays unread)."""
    uid = session.newest()
    if uid is None:
        return "none to read"
    if uid not in session.pieces([uid], 0, PIECE):
        raise Refused(f"it names message {uid} and does not give it")
    return "one read and left as it was"


def _words(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return readable(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(error), 200)
