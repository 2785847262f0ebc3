"""What an engineer types, with a real mailbox: the question of the first start, and a pilot that ends."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.gateway.cli.running import ROOT, Desk, serving, wait_for
from tests.gateway.cli.test_pilot import Steps, outgoing
from tests.mailboxes.desk import Store, letter, overrides
from tests.services.dovecot import Dovecot

pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("dovecot"), pytest.mark.timeout(400)]


def words(*settings: str) -> list[str]:
    return [f"--set={one}" for one in settings]


def states(var: Path, account: str) -> dict[str, int]:
    rows = Store(var).rows("SELECT state, count(*) FROM imap_seen WHERE account = ? GROUP BY state", account)
    return dict(rows)


def acknowledged(desk: Desk) -> int:
    return int(desk.query("SELECT count(*) FROM outbox WHERE kind = 'acknowledgement'")[0][0])


def test_more_than_fifty_answers_wait_for_a_yes_and_fifty_do_not(server: Dovecot, tmp_path: Path) -> None:
    var = tmp_path / "var"
    sales = ("channels.mail.sales.addresses=[sales@desk.example]", overrides(server, account="sales")[-1])
    said = words(*overrides(server, *sales))
    server.append(*(letter(number) for number in range(51)))
    server.append(*(letter(number) for number in range(100, 150)), user="sales")
    with serving(var, *said) as desk:
        log = var.with_suffix(".log")
        wait_for("the question", lambda: "`gateway serve --yes`" in log.read_text() or None)
        assert "would file 51 messages and answer 51 people" in log.read_text()
        # The other mailbox has a thread of its own.
        alone = "first start: 50 messages will be filed, 50 of them answered; 0 are left alone"
        wait_for("the first start of the other", lambda: alone in log.read_text() or None)
        wait_for("the other mailbox", lambda: states(var, "sales") == {"settled": 50} or None)
        desk.filed(50)
        assert states(var, "support") == {}
    assert server.flags() == [()] * 51
    with serving(var, "--yes", *said) as desk:
        desk.filed(101)
        assert desk.query("SELECT count(*) FROM ticket") == [(101,)]
        assert acknowledged(desk) == 101
        wait_for("the flags", lambda: states(var, "support") == {"settled": 51} or None)
    # Asked once: later starts need no word.
    with serving(var, *said) as desk:
        server.append(letter(200))
        desk.filed(102)


def edit(config: Path, server: Dovecot, *, outbound: str, read_only: bool) -> None:
    """As a person does, with the mailbox."""
    path = config / "gateway.yaml"
    text = re.sub(r"\n      outbound: .*\n      imap: .*", "", path.read_text(encoding="utf-8"))
    imap = (
        f"{{host: 127.0.0.1, port: {server.imap}, tls: none, user: support, password: 'file:{server.secret}', "
        f"poll: 30s, after: move Filed, existing: all, read_only: {str(read_only).lower()}}}"
    )
    said = f'      language: en\n      outbound: "{outbound}"\n      imap: {imap}\n'
    path.write_text(text.replace("      language: en\n", said, 1), encoding="utf-8")


def test_a_pilot_beside_the_old_helpdesk_cut_over_and_rolled_back(server: Dovecot, tmp_path: Path) -> None:
    var, config = tmp_path / "var", Path(shutil.copytree(ROOT / "config", tmp_path / "config"))
    pilot = [letter(number) for number in (1, 2)]
    server.append(*pilot)
    edit(config, server, outbound="off", read_only=True)
    with serving(var, config=config) as desk:
        wait_for("the ledger", lambda: states(var, "support") == {"kept": 2} or None)
        desk.filed(2)
        report = Steps("Pilot", var, config, **{"2026-03-02T00:00:00Z": "2020-01-01T00:00:00Z"})
        shown = report.next("report", "--shadow")
        assert "Request 1" in shown and "Request 2" in shown
        assert (server.messages(), server.flags()) == (pilot, [(), ()])
        with server.client() as client:
            assert not client.folder_exists("Filed")

        cut = Steps("Cut-over", var, config, BACKUP=str(tmp_path / "backup"))
        cut.next("backup")
        since = datetime.now(UTC).isoformat()
        edit(config, server, outbound="on", read_only=False)
        cut.next("reload")
        server.append(letter(3))
        wait_for("the move", lambda: states(var, "support") == {"kept": 2, "settled": 1} or None)
        wait_for("the acknowledgement", lambda: list(outgoing(var)) == ["client3"] or None)
        assert "ready" in cut.next("status")
        cut.done()
        # What the old helpdesk has still to do lies where it lay, as unread as it was.
        assert (server.messages(), server.flags()) == (pilot, [(), ()])
        assert server.messages("Filed") == [letter(3)]

        back = Steps("Roll-back", var, config, CUTOVER=since, EXPORT=str(tmp_path / "export"))
        edit(config, server, outbound="off", read_only=True)
        back.next("reload")
        server.append(letter(4))
        wait_for("the ledger", lambda: states(var, "support") == {"kept": 3, "settled": 1} or None)
        desk.filed(4)
        back.next("journal", "export")
        back.done()
        exported = {path.read_bytes() for path in (tmp_path / "export" / "new").iterdir()}
        assert exported == {letter(3), letter(4)}
        assert server.messages() == [*pilot, letter(4)]
    assert list(outgoing(var)) == ["client3"], "what the pilot composed never goes out"
