"""A reload that changes a mailbox stops the one that reads it and starts another: nothing is lost and nothing twice."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.cli.running import PATIENCE, ROOT, Desk, gateway, serving, told, wait_for
from tests.mailboxes.desk import letter
from tests.services.dovecot import Dovecot, dovecot

pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("dovecot"), pytest.mark.timeout(400)]
BRAKES = ("--set=caps.per_account_minute=1000000", "--set=caps.per_address_minute=1000000")


class Config:
    """A configuration whose mail accounts are set by what they say."""

    def __init__(self, folder: Path, server: Dovecot) -> None:
        self.folder = Path(shutil.copytree(ROOT / "config", folder))
        self._file, self._server = self.folder / "gateway.yaml", server
        self._rest = self._file.read_text(encoding="utf-8").partition("\nchannels:")[0]

    def write(self, **accounts: Any) -> None:
        """Account -> what its `imap` says beside the usual; None: the account reads no mailbox."""
        said = {
            name: {"addresses": [f"{name}@desk.example"], **({} if imap is None else {"imap": self._imap(name, imap)})}
            for name, imap in accounts.items()
        }
        self._file.write_text(f"{self._rest}\nchannels: {json.dumps({'mail': said})}\n", encoding="utf-8")

    def _imap(self, name: str, more: dict[str, Any]) -> dict[str, Any]:
        return {
            "host": "127.0.0.1", "port": self._server.imap, "tls": "none", "user": name,
            "password": f"file:{self._server.secret}", "poll": "30s", "retry": "0s", "existing": "all", **more,
        }  # fmt: skip


class Delivery(threading.Thread):
    """Another program that delivers mail by LMTP, one after the other, until it is told to end."""

    def __init__(self, server: Dovecot) -> None:
        super().__init__()
        self._server = server
        self.delivered = 0
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            self._server.deliver(letter(self.delivered))
            self.delivered += 1
            self.enough.wait(0.02)  # a slow machine has only so many to file in the end


def ledger(desk: Desk) -> dict[str, int]:
    return {str(state): int(count) for state, count in desk.query("SELECT state, count(*) FROM imap_seen GROUP BY 1")}


def test_a_mailbox_changes_under_load_and_no_mail_is_lost_or_doubled(tmp_path: Path) -> None:
    with dovecot() as server:
        config = Config(tmp_path / "config", server)
        config.write(support={})
        delivery = Delivery(server)
        with serving(tmp_path / "var", *BRAKES, config=config.folder) as desk:
            delivery.start()
            try:
                for change in ({"after": "move Processed"}, {"idle": False, "poll": "1s"}, {}) * 2:
                    seen = sum(ledger(desk).values())
                    wait_for("some mail", lambda seen=seen: sum(ledger(desk).values()) > seen or None)  # type: ignore[misc]
                    config.write(support=change)
                    gateway("reload", var=desk.var)
            finally:
                delivery.enough.set()
                delivery.join(2 * PATIENCE)
            count = delivery.delivered
            desk.filed(count)
            wait_for("the second step", lambda: ledger(desk) == {"settled": count} or None, lambda: ledger(desk))
            assert desk.query("SELECT count(*), count(DISTINCT requester) FROM ticket") == [(count, count)]
            assert len(server.messages("Processed")) + len(server.messages()) == count
            log = desk.var.with_suffix(".log").read_text()
            assert log.count("listeners replaced") == 6


def test_accounts_come_go_and_stay_and_a_fault_changes_nothing(tmp_path: Path) -> None:
    with dovecot() as server:
        config = Config(tmp_path / "config", server)
        config.write(support={}, sales=None)
        with serving(tmp_path / "var", *BRAKES, config=config.folder) as desk:
            server.append(letter(1))
            desk.filed(1)
            server.append(letter(2), user="sales")
            config.write(support={}, sales={})
            told("reload", var=desk.var)
            desk.filed(2)

            # A secret that is not there: the mailboxes are read on as they were, and sales stays.
            config.write(support={"password": f"file:{tmp_path}/none"}, sales=None)
            refused = gateway("reload", var=desk.var, code=2).stderr
            assert f"{tmp_path}/none" in refused
            server.append(letter(3), user="sales")
            server.append(letter(4))
            desk.filed(4)

            # The mailbox that stays is not even connected to again.
            config.write(support={}, sales=None)
            gateway("reload", var=desk.var)
            server.append(letter(5), user="sales")
            server.append(letter(6))
            desk.filed(5)
            config.write(support=None, sales={"after": "move Processed"})
            gateway("reload", var=desk.var)
            desk.filed(6)
            wait_for("the move", lambda: len(server.messages("Processed", "sales")) == 1 or None)
            log = desk.var.with_suffix(".log").read_text().splitlines()
            lines = [json.loads(line) for line in log if "listeners replaced" in line]
            replaced = [(line["ended"], line["begun"]) for line in lines]
            assert replaced == [(0, 1), (1, 0), (1, 1)], "who stays is not touched"
