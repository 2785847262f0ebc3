"""A running gateway takes a changed configuration over whole, or goes on as it was."""

from __future__ import annotations

import shutil
import smtplib
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.desk import wait_for
from gateway.reload import fixed_changes
from gateway.settings import Settings
from tests.gateway.cli.running import ROOT, Desk, gateway, mail_bytes, serving, told

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


@pytest.mark.timeout(120)
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
        assert found["accounts"] == 1
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
        change(settings, "port: 2525", "port: 2526\n  message_size: 1 MB")
        assert "smtp" in gateway("reload", var=var, config=config, code=2).stderr
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            desk.mail("nobody", to="other@desk.example")
        change(settings, "port: 2526\n  message_size: 1 MB", "port: 2525")
        gateway("reload", var=var)
        desk.mail("last", to="other@desk.example")
        wait_for("mail again", lambda: _sent(desk, "last") or None)


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
        ({"smtp": {"port": 25}}, ["smtp"]),
        ({"http": {"port": 80, "public_url": "https://help.example.com"}}, ["http.port"]),
        ({"workers": {"count": 2}, "database": {"readers": 8}}, ["database", "workers"]),
    ],
)
def test_what_needs_a_restart(given: dict[str, Any], keys: list[str]) -> None:
    assert fixed_changes(settings(), settings(**given)) == keys
