"""A real Postfix in front, with the documented lines: two recipients, and a gateway that is down and killed."""

from __future__ import annotations

import smtplib
from collections import Counter
from pathlib import Path

import pytest

from channels.mail.settings import Lmtp
from tests.gateway.cli.postfix import relaying
from tests.gateway.cli.running import ROOT, Desk, mail_bytes, serving, wait_for
from tests.services.ports import free_port

pytestmark = [
    pytest.mark.services("postfix", "postmap", "postqueue"),
    pytest.mark.as_root,
    pytest.mark.timeout(400),
]
SALES = "--set=channels.mail.sales.addresses=[sales@desk.example]"


def _lmtp(port: int) -> str:
    return f"--set=smtp.lmtp={{port: {port}}}"


def _subjects(desk: Desk) -> Counter[str]:
    """Of each message that was filed."""
    return Counter(row[0] for row in desk.query("SELECT subject FROM message WHERE direction = 'in' AND current"))


def test_two_recipients_have_an_answer_each_and_one_ticket(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path / "var", _lmtp(port), SALES) as desk, relaying(port) as postfix:
        assert desk.listening()["lmtp"] == f"127.0.0.1:{port}"
        ours = ["support@desk.example", "sales@desk.example"]
        postfix.send("ann@client.example", [*ours, "nobody@desk.example"], mail_bytes("ann"))
        wait_for("three results", lambda: postfix.log().count(", status=") >= 3 or None)
        lines = [line for line in postfix.log().splitlines() if "/lmtp[" in line and "status=" in line]
        for recipient in ours:
            said = [line for line in lines if f"to=<{recipient}>" in line]
            assert len(said) == 1 and "status=sent (250 2.0.0 OK, taken in)" in said[0]
        assert ["status=bounced" in line for line in lines if "nobody@" in line] == [True]
        desk.filed(1)
        assert desk.query("SELECT recipient FROM delivery ORDER BY recipient") == [(ours[1],), (ours[0],)]
        assert desk.query("SELECT count(*) FROM ticket") == [(1,)]
        assert desk.query("SELECT count(*) FROM outbox WHERE kind = 'acknowledgement'") == [(1,)]
        assert desk.query("SELECT json_extract(facts, '$.transport') FROM entry") == [("lmtp",)]


def test_a_queue_is_delivered_after_the_gateway_was_down_and_killed(tmp_path: Path) -> None:
    port, var, count = free_port(), tmp_path / "var", 12
    with relaying(port) as postfix:
        for number in range(count):
            postfix.send(f"p{number}@client.example", ["support@desk.example"], mail_bytes(f"p{number}"))
        wait_for("all put off", lambda: postfix.log().count("Connection refused") >= count or None)
        assert postfix.queued() == count
        with serving(var, _lmtp(port)) as desk:
            postfix.flush()
            wait_for("the first of them", lambda: desk.query("SELECT 1 FROM entry") or None)
            desk.kill()
        for number in range(count, count + 3):
            postfix.send(f"p{number}@client.example", ["support@desk.example"], mail_bytes(f"p{number}"))
        with serving(var, _lmtp(port)) as desk:
            postfix.drained()
            desk.filed(count + 3)
            assert _subjects(desk) == Counter({f"Printer p{number}": 1 for number in range(count + 3)})
        assert "status=bounced" not in postfix.log()


def test_the_same_lines_lead_over_smtp(tmp_path: Path) -> None:
    ours = ["support@desk.example", "sales@desk.example"]
    with (
        serving(tmp_path / "var", SALES) as desk,
        relaying(desk.address()[1], main="postfix", transport="transport-smtp") as postfix,
    ):
        postfix.send("ann@client.example", [*ours, "nobody@desk.example"], mail_bytes("ann"))
        wait_for("three results", lambda: postfix.log().count(", status=") >= 3 or None)
        lines = [line for line in postfix.log().splitlines() if "/smtp[" in line and "status=" in line]
        assert ["status=sent (250" in line for line in lines if "nobody@" not in line] == [True, True]
        assert ["status=bounced" in line for line in lines if "nobody@" in line] == [True]
        desk.filed(1)
        assert desk.query("SELECT recipient FROM delivery ORDER BY recipient") == [(ours[1],), (ours[0],)]
        assert desk.query("SELECT count(*) FROM outbox WHERE kind = 'acknowledgement'") == [(1,)]
        assert desk.query("SELECT json_extract(facts, '$.transport') FROM entry") == [("smtp",)]


def test_some_addresses_of_a_domain_come_and_the_others_stay(tmp_path: Path) -> None:
    """As on the server of a firm that delivers its other mail itself."""
    port = free_port()
    own = "\nmydestination = desk.example\nlocal_transport = discard:kept here\n"
    with (
        serving(tmp_path / "var", _lmtp(port)) as desk,
        relaying(port, main="postfix-addresses", transport="transport-addresses", own=own) as postfix,
    ):
        # A person whom Postfix knows, an address of ours, and an answer to one of our mails.
        postfix.send("ann@client.example", ["root@desk.example", "support@desk.example"], mail_bytes("ann"))
        postfix.send("bob@client.example", ["support+r.0a1b2c@desk.example"], mail_bytes("bob"))
        wait_for("three results", lambda: postfix.log().count(", status=") >= 3 or None)
        lines = [line for line in postfix.log().splitlines() if "status=" in line]
        assert all("/lmtp[" in line and "status=sent (250" in line for line in lines if "to=<support" in line)
        assert ["relay=none" in line and "kept here" in line for line in lines if "to=<root@" in line] == [True]
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            postfix.send("ann@client.example", ["no-such-user@desk.example"], mail_bytes("eve"))
        desk.filed(2)
        assert {row[0] for row in desk.query("SELECT recipient FROM delivery")} == {
            "support@desk.example", "support+r.0a1b2c@desk.example",
        }  # fmt: skip


def test_the_documented_port_is_the_default() -> None:
    assert f":{Lmtp().port}" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
