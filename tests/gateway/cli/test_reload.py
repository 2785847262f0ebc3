"""A running gateway takes a changed configuration over whole, or goes on as it was."""

from __future__ import annotations

import http.client
import shutil
import smtplib
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.reload import fixed_changes
from gateway.settings import Settings
from tests.channels.mail.certificates import make
from tests.gateway.cli.running import PATIENCE, ROOT, Desk, gateway, mail_bytes, serving, told, wait_for

RULE = """
  - id: trumpets
    why: A test wants a rule of its own
    when: {words: [trumpet]}
    set: {tags: [brass]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration to be changed."""
    return Path(shutil.copytree(ROOT / "config", tmp_path / "config"))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def opened_with(desk: Desk, key: str) -> str:
    """The policy's version in the event that opened the ticket of a mail."""
    rows = desk.query(
        "SELECT json_extract(event.data, '$.policy') FROM event JOIN ticket ON ticket.id = ticket_id "
        f"WHERE kind = 'opened' AND requester = '{key}@client.example'"
    )
    return str(rows[0][0])


@pytest.mark.timeout(400)
def test_a_changed_configuration_is_in_force_at_once_or_not_at_all(tmp_path: Path, config: Path) -> None:
    var, settings = tmp_path / "var", config / "gateway.yaml"
    with serving(var, config=config) as desk:
        ports = desk.listening()
        desk.mail("before")
        desk.filed(1)
        wait_for("its acknowledgement", lambda: _sent(desk, "before") or None)

        # Contracts, a new address, a new sender and silence, all at once.
        change(settings, "addresses: [support@desk.example]", "addresses: [support@desk.example, help@desk.example]")
        change(settings, "      timezone: UTC\n", "      timezone: UTC\n      outbound: capture\n")
        change(config / "routing.yaml", "\nrules:\n", f"\nrules:\n{RULE}")
        found = told("reload", var=var)
        assert (found["accounts"], found["feeds"]) == (1, 0)
        assert desk.listening() == ports
        desk.mail("after", mail_bytes("after", "The trumpet is mute.\n"), to="help@desk.example")
        desk.filed(2)
        wait_for("its capture", lambda: list(var.glob("outgoing/captured/*.json")) or None)
        assert not _sent(desk, "after")
        assert opened_with(desk, "after") == found["policy"]
        assert found["policy_changed"] and opened_with(desk, "before") not in ("", found["policy"])
        assert "brass" in desk.query("SELECT tags FROM ticket WHERE requester = 'after@client.example'")[0][0]

        # One fault among good changes: nothing of it counts.
        change(settings, "outbound: capture", "outbound: loud")
        change(settings, "help@desk.example", "other@desk.example")
        refused = gateway("reload", var=var, config=config, code=2)
        assert "outbound" in refused.stderr and "gateway.yaml:" in refused.stderr
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            desk.mail("nobody", to="other@desk.example")
        desk.mail("still", to="help@desk.example")

        # What only a restart can change is named, and the rest of that file waits, too.
        change(settings, "outbound: loud", 'outbound: "on"')
        change(settings, "smtp:\n  host: 127.0.0.1", "smtp:\n  message_size: 1 MB\n  host: localhost")
        assert "smtp.host" in gateway("reload", var=var, config=config, code=2).stderr
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            desk.mail("nobody", to="other@desk.example")
        change(settings, "message_size: 1 MB\n  host: localhost", "host: 127.0.0.1")
        gateway("reload", var=var)
        desk.mail("last", to="other@desk.example")
        wait_for("mail again", lambda: _sent(desk, "last") or None)


@pytest.mark.timeout(400)
@pytest.mark.services("openssl")
def test_limits_certificate_processes_and_log_are_swapped_under_load(tmp_path: Path, config: Path) -> None:
    """Whatever is sent while it happens is taken in once, and what cannot be had leaves everything as it is."""
    var, settings = tmp_path / "var", config / "gateway.yaml"
    pair = make(tmp_path / "tls")
    with serving(var, config=config) as desk, Flood(desk, 150) as flood:
        assert "STARTTLS" not in extensions(desk) and extensions(desk)["SIZE"] == str(50 * 1024**2)
        assert told("status", var=var)["workers"]["alive"] == 1
        change(
            settings, "smtp:\n", f"smtp:\n  message_size: 1 MB\n  certificate: {pair.certificate}\n  key: {pair.key}\n"
        )
        settings.write_text(settings.read_text() + "\nworkers: {count: 2, seconds: 60}\nlog: {level: debug}\n")
        gateway("reload", var=var)
        assert "STARTTLS" in extensions(desk) and extensions(desk)["SIZE"] == str(1024**2)
        wait_for("two processes", lambda: told("status", var=var)["workers"]["alive"] == 2 or None)

        # A certificate that is not there: no limit, no process, no rule of that file counts.
        pair.key.rename(tmp_path / "elsewhere.key")
        change(settings, "message_size: 1 MB", "message_size: 2 MB")
        change(settings, "count: 2", "count: 3")
        refused = gateway("reload", var=var, code=2).stderr
        assert str(pair.key) in refused
        assert "nothing was changed" in refused
        assert extensions(desk)["SIZE"] == str(1024**2) and told("status", var=var)["workers"]["alive"] == 2
        (tmp_path / "elsewhere.key").rename(pair.key)
        change(settings, "count: 3", "count: 1")
        gateway("reload", var=var)
        assert extensions(desk)["SIZE"] == str(2 * 1024**2)
        wait_for("one process", lambda: told("status", var=var)["workers"]["alive"] == 1 or None)

        flood.end()
        desk.mail("last")  # the flood may have been over before the first reload
        desk.filed(flood.acknowledged + 1)
        assert desk.query("SELECT count(*), count(DISTINCT requester) FROM ticket") == [(flood.acknowledged + 1,) * 2]
        debug = [line for line in var.with_suffix(".log").read_text().splitlines() if '"debug"' in line]
        assert any('"accepted"' in line for line in debug)


def extensions(desk: Desk) -> dict[str, str]:
    """What EHLO offers, upper-case -> parameter."""
    with smtplib.SMTP(*desk.address(), local_hostname="mx.client.example", timeout=PATIENCE) as client:
        client.ehlo()
        return {name.upper(): said.strip() for name, said in client.esmtp_features.items()}


class Flood:
    """Mails, one after the other, from another thread; each acknowledged one is counted."""

    def __init__(self, desk: Desk, count: int) -> None:
        self._desk, self._count = desk, count
        self.acknowledged = 0
        self._failed: list[BaseException] = []
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join(2 * PATIENCE)

    def end(self) -> None:
        """Wait until all of them are sent. Raises what went wrong."""
        self._thread.join(2 * PATIENCE)
        assert not self._thread.is_alive() and not self._failed, self._failed

    def _send(self) -> None:
        try:
            for number in range(self._count):
                if self._enough.is_set():
                    return
                self._desk.mail(f"flood{number}")
                self.acknowledged += 1
        except (OSError, smtplib.SMTPException) as error:
            self._failed.append(error)


def _sent(desk: Desk, key: str) -> bool:
    return any(f"{key}@client.example" in path.read_text() for path in desk.var.glob("outgoing/*.eml"))


def settings(**given: Any) -> Settings:
    account = {"addresses": ["support@desk.example"]}
    return Settings.model_validate({"channels": {"mail": {"support": account}}, **given})


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({}, []),
        ({"desk": {"name": "Other"}, "caps": {"per_address_day": 3}, "operators": ["op@desk.example"]}, []),
        ({"channels": {"mail": {"sales": {"addresses": ["sales@desk.example"]}}}}, []),
        ({"channels": {}}, ["channels.mail"]),
        ({"smtp": {"port": 25, "connections": 5}, "log": {"level": "debug"}}, ["smtp.port"]),
        ({"http": {"port": 80, "public_url": "https://help.example.com"}}, ["http.port"]),
        ({"workers": {"count": 2}, "database": {"readers": 8}}, ["database"]),
    ],
)
def test_what_needs_a_restart(given: dict[str, Any], keys: list[str]) -> None:
    assert fixed_changes(settings(), settings(**given)) == keys


def test_a_form_comes_changes_and_goes(tmp_path: Path, config: Path) -> None:
    var, settings = tmp_path / "var", config / "gateway.yaml"
    with serving(var, config=config) as desk:
        assert _uploaded(desk, "support", "first") == 303
        assert _uploaded(desk, "sales", "none") == 404
        sales = "      timezone: UTC\n    sales:\n      addresses: [sales@desk.example]\n"
        change(settings, "      timezone: UTC\n", sales)
        told("reload", var=var)
        assert _uploaded(desk, "sales", "second") == 303
        change(settings, sales, sales + "      upload: {size: 64KB}\n")
        told("reload", var=var)
        assert _uploaded(desk, "sales", "x" * 70_000) == 413
        assert _uploaded(desk, "support", "x" * 70_000) == 303
        change(settings, "      upload: {size: 64KB}\n", "      upload: null\n")
        told("reload", var=var)
        assert _uploaded(desk, "sales", "third") == 404
        desk.filed(3)
        assert {row[0] for row in desk.query("SELECT account FROM entry")} == {"support", "sales"}


def _uploaded(desk: Desk, account: str, text: str) -> int:
    """The status of a form that is sent."""
    fields = {"address": "ann@client.example", "text": text}
    parts = (
        f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{said}\r\n' for name, said in fields.items()
    )
    connection = http.client.HTTPConnection(*desk.address("http"), timeout=PATIENCE)
    try:
        body = "".join(parts) + "--XX--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=XX"}
        connection.request("POST", f"/channels/mail/{account}/upload", body.encode(), headers)
        return connection.getresponse().status
    finally:
        connection.close()
