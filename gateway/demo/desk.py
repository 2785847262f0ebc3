"""The demo's view of a running gateway: its sockets, and the folder where it leaves outgoing mail."""

from __future__ import annotations

import json
import os
import smtplib
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email import message_from_bytes
from email.message import Message
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 90.0
"""Seconds to wait for anything before the demo says what did not happen; a busy machine may need many of them."""


_OWN = (
    # Whatever the configuration says: no mailbox is read, no relay used, no bot polled, no database shared.
    "http={host: 127.0.0.1, port: 0}", "smtp={host: 127.0.0.1, port: 0}", "database={}", "agents={}", "lines={}",
    'secret_key=""', "watchers=[]", "operators=[]",
)  # fmt: skip


class NotInTime(Exception):
    """Something that should happen within seconds did not."""


def wait_for(what: str, look: Callable[[], T | None]) -> T:
    """Look again and again until there is something. Raises NotInTime."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.05)
    raise NotInTime(f"{what} did not happen within {PATIENCE:.0f} seconds")


class Desk:
    """A gateway started for the demo, in a folder of its own."""

    def __init__(self, folder: Path, config: Path, channels: Mapping[str, Any], *settings: str) -> None:
        """`channels` are its accounts, instead of those of the configuration; `settings` are more words of `--set`."""
        self.var = folder / "var"
        self.var.mkdir()
        self._log = (folder / "gateway.log").open("wb")
        # Its own ports, and nothing of the caller's environment that could send mail to anybody.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        given: Sequence[str] = (*_OWN, f"channels={json.dumps(channels)}", *settings)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--var", str(self.var),
             *(word for each in given for word in ("--set", each))],
            stdout=self._log, stderr=self._log, env=environment,
        )  # fmt: skip
        self._listening: dict[str, str] = {}

    def started(self) -> dict[str, str]:
        """Wait until it listens. Raises NotInTime, with the end of its log when it died."""

        def look() -> dict[str, str] | None:
            if self._process.poll() is not None:
                log = Path(self._log.name).read_text(errors="replace")[-1500:]
                raise NotInTime(f"the gateway ended with {self._process.returncode}:\n{log}")
            path = self.var / "listening.json"
            found: dict[str, str] | None = json.loads(path.read_text()) if path.exists() else None
            return found

        self._listening = wait_for("the start of the gateway", look)
        return self._listening

    def stop(self) -> None:
        """Tell it to stop and wait until it has."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()

    @property
    def site(self) -> str:
        """Where its web server listens."""
        return f"http://{self._listening['http']}"

    def send(self, envelope_from: str, recipient: str, content: bytes) -> str:
        """Send one mail by SMTP. Returns the answer to it."""
        host, _, port = self._listening["smtp"].rpartition(":")
        with smtplib.SMTP(host, int(port), local_hostname="mx.client.example", timeout=PATIENCE) as client:
            client.ehlo()
            client.mail(envelope_from)
            client.rcpt(recipient)
            code, answer = client.data(content)
            return f"{code} {answer.decode(errors='replace')}"

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the API as staff do."""
        request = urllib.request.Request(
            f"{self.site}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {(self.var / 'token').read_text().strip()}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.loads(response.read() or b"null")

    def outgoing(self, wanted: Callable[[Message[str, str]], bool]) -> Message[str, str] | None:
        """The newest mail in the outgoing folder that is wanted."""
        mails = sorted(self.var.glob("outgoing/*.eml"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        parsed: Any = (message_from_bytes(path.read_bytes(), policy=default) for path in mails)
        return next(filter(wanted, parsed), None)


class Page(HTMLParser):
    """What a browser does with a page: fetch it, fill in its form, send the form."""

    def __init__(self, url: str, content: str) -> None:
        super().__init__()
        self.url = url
        self.content = content
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._hidden = False
        self.feed(content)

    @classmethod
    def open(cls, url: str) -> Page:
        """GET, as following a link does."""
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return cls(response.url, response.read().decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect each form's address and fields."""
        self._hidden = tag in ("style", "script", "title")
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((given.get("action", self.url), {}))
        elif tag in ("input", "button") and self.forms and given.get("name"):
            kind = given.get("type", "")
            if kind == "hidden" or (kind == "radio" and "checked" in given):
                self.forms[-1][1][given["name"]] = given.get("value", "")

    def submit(self, form: int = 0, **fields: str) -> Page:
        """POST a form with these fields beside the ones that stand in it."""
        action, standing = self.forms[form]
        data = urllib.parse.urlencode({**standing, **fields}).encode()
        url = urllib.parse.urljoin(self.url, action)
        # A browser sends where the form came from; the page checks it.
        origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(self.url))
        request = urllib.request.Request(url, data=data, headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return Page(response.url, response.read().decode())

    def handle_data(self, data: str) -> None:
        """Collect the words that a person sees."""
        if not self._hidden:
            self.words += data.split()

    def handle_endtag(self, tag: str) -> None:
        """What follows a style sheet is seen again."""
        self._hidden = False

    def text(self) -> str:
        """The words of the page."""
        return " ".join(self.words)
