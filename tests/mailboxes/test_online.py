"""`gateway check --online` looks into a real mailbox, and nobody can see afterwards that it did."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from channels.contract import Finding
from gateway.online import Place, look
from gateway.settings import Settings
from tests.channels.mail import certificates
from tests.gateway.cli.running import ROOT, gateway
from tests.mailboxes.desk import letter, overrides, running
from tests.mailboxes.test_login import provider
from tests.services.dovecot import Dovecot, dovecot
from tests.services.ports import refusing

pytestmark = [pytest.mark.services("dovecot", "openssl"), pytest.mark.xdist_group("dovecot")]


def settings(server: Dovecot, **imap: Any) -> Settings:
    said = {
        "host": "127.0.0.1", "port": server.imap, "tls": "none", "user": "support", "password": f"file:{server.secret}",
        **imap,
    }  # fmt: skip
    said = {key: value for key, value in said.items() if value is not None}
    return Settings.model_validate(
        {"channels": {"mail": {"support": {"addresses": ["support@desk.example"], "imap": said}}}}
    )


async def seen(made: Settings, var: Path) -> Finding:
    """What was found of the mailbox."""
    found = await look(Place(settings=made, config=ROOT / "config", var=var, clock=lambda: datetime.now(UTC)))
    (one,) = [each for each in found if each.what == "mail/support imap"]
    assert "\n" not in one.good + one.trouble and "pw" not in one.trouble.split()
    return one


async def test_a_mailbox_is_looked_into_and_left_as_it_was(tmp_path: Path) -> None:
    with dovecot() as server:
        empty = await seen(settings(server), tmp_path)
        assert "0 messages in INBOX, none to read" in empty.good
        server.append(letter(1), letter(2), letter(3, text="x" * 200_000))
        with server.client() as client:
            client.add_flags([client.search("ALL")[0]], [b"\\Seen"])
        before, folders = server.flags(), sorted(path.name for path in (server.root / "mail/support").iterdir())
        new = sorted(path.name for path in (server.root / "mail/support/new").iterdir())
        found = await seen(settings(server), tmp_path)
        assert found.good.split(": ", 1)[1] == (
            "logged in as support, 3 messages in INBOX, one read and left as it was, IDLE, MOVE"
        )
        known = await seen(settings(server, after="move Processed"), tmp_path)
        assert known.good.endswith("the folder Processed is there")
        missing = await seen(settings(server, after="move Filed"), tmp_path)
        assert missing.good.endswith("the folder Filed is not there yet: it is made at the start")
        pilot = await seen(settings(server, after="move Filed", read_only=True), tmp_path)
        assert pilot.good.endswith("MOVE")
        assert server.flags() == before == [(b"\\Seen",), (), ()]
        assert sorted(path.name for path in (server.root / "mail/support").iterdir()) == folders
        assert sorted(path.name for path in (server.root / "mail/support/new").iterdir()) == new


async def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    pair, other = certificates.make(tmp_path / "a"), certificates.make(tmp_path / "b")
    secret = tmp_path / "wrong"
    secret.write_text("hunter2")
    with dovecot(tls=(pair.certificate, pair.key)) as server:
        server.append(letter(1))
        starttls = {"tls": "starttls", "host": "localhost"}
        assert "1 messages" in (await seen(settings(server, **starttls, ca=str(pair.certificate)), tmp_path)).good
        for tls, port in (("starttls", server.imap), ("tls", server.imaps)):
            far = settings(server, tls=tls, port=port, host="localhost", ca=str(other.certificate))
            assert "its certificate is not good: self-signed certificate" in (await seen(far, tmp_path)).trouble
        wrong = (await seen(settings(server, password=f"file:{secret}"), tmp_path)).trouble
        assert "refuses user support and the password" in wrong and "hunter2" not in wrong
        folder = (await seen(settings(server, folder="Inbox.Desk"), tmp_path)).trouble
        assert folder.endswith("there is no folder Inbox.Desk; there are: Processed, INBOX")
        none = (await seen(settings(server, password=f"file:{tmp_path}/none"), tmp_path)).trouble
        assert f"{tmp_path}/none: No such file" in none
        with refusing() as port:
            refused = (await seen(settings(server, port=port), tmp_path)).trouble
    assert refused == f"127.0.0.1:{port}: Connection refused"


async def test_a_server_that_can_do_little(tmp_path: Path) -> None:
    with dovecot(more="imap_capability = IMAP4rev1 UIDPLUS") as server:
        found = await seen(settings(server, poll="2m"), tmp_path)
        assert "no IDLE: new mail is seen every 120 s, no MOVE: moving copies and deletes" in found.good
        assert "STARTTLS" in (await seen(settings(server, tls="starttls"), tmp_path)).trouble


async def test_a_token_is_tried_where_it_can_be_kept(tmp_path: Path) -> None:
    """A provider that replaces the refresh token at each use must not be asked beside a running gateway."""
    secret, var = tmp_path / "refresh", tmp_path / "var"
    secret.write_text("first-refresh")
    async with provider() as tokens:
        with dovecot(introspection=f"{tokens.url}/introspect/") as server:
            said = {"token_url": f"{tokens.url}/token", "client_id": "gateway", "refresh_token": f"file:{secret}"}
            wanted = settings(server, password=None, oauth=said)
            assert "not tried" in (await seen(wanted, var)).good, "it never ran here"
            assert not var.exists()
            async with running(var, overrides(server, imap={"password": None, "oauth": said})) as desk:
                server.append(letter(1))
                await desk.tickets(1)
                assert "not tried" in (await seen(wanted, var)).good
            assert [form["refresh_token"] for form in tokens.asked] == ["first-refresh"]
            assert "logged in as support, 1 messages" in (await seen(wanted, var)).good
            async with running(var, overrides(server, imap={"password": None, "oauth": said})) as desk:
                server.append(letter(2))
                await desk.tickets(2)
            asked = [form["refresh_token"] for form in tokens.asked]
            assert asked == ["first-refresh", "refresh-1", "refresh-2"], "each is used once and its successor kept"
            tokens.valid = "nobody's"
            assert "the token server refuses (400): invalid_grant" in (await seen(wanted, var)).trouble


def test_exit_codes(tmp_path: Path) -> None:
    with dovecot() as server:
        server.append(letter(1))
        secret = tmp_path / "secret"
        secret.write_text("pw")
        secret.chmod(0o600)
        (imap,) = [one for one in overrides(server, imap={"password": f"file:{secret}"}) if ".imap=" in one]
        words = ["--set", imap]
        done = gateway("check", "--online", *words, var=tmp_path / "var", config=ROOT / "config", code=None)
        lines = [line for line in done.stdout.splitlines() if line.startswith("TROUBLE")]
        # Whether something keeps the clock right is the machine's affair.
        assert [line for line in lines if "clock" not in line] == [], done.stdout
        assert done.returncode == (1 if lines else 0)
        assert "mail/support imap: 127.0.0.1:" in done.stdout and "1 messages in INBOX" in done.stdout
        secret.write_text("changed")
        gateway("check", "--online", *words, var=tmp_path / "var", config=ROOT / "config", code=1)
        gateway(
            "check", "--online", *words, "--set", "smtp.port=none", var=tmp_path / "var", config=ROOT / "config", code=2
        )
        assert server.flags() == [()]
