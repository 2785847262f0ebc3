"""A real Postfix on loopback, in a folder of its own, that hands mail on as docs/operations.md says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.demo.desk import wait_for
from tests.gateway.cli.running import ROOT

OWN = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/lib
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example
mydestination =
local_recipient_maps =
alias_maps =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
default_transport = error:nothing else leaves this test
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 4s
notify_classes =
"""


@dataclass
class Postfix:
    """A running Postfix."""

    folder: Path
    port: int

    def send(self, sender: str, recipients: list[str], content: bytes) -> None:
        """Hand it a mail, as the world does."""
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example", timeout=30) as client:
            client.sendmail(sender, recipients, content)

    def log(self) -> str:
        """Its log so far."""
        return (self.folder / "maillog").read_text(errors="replace")

    def flush(self) -> None:
        """Try everything in the queue now."""
        subprocess.run(["postqueue", "-c", str(self.folder / "etc"), "-f"], check=True)

    def queued(self) -> int:
        """Mails in the queue."""
        arguments = ["postqueue", "-c", str(self.folder / "etc"), "-j"]
        return len(subprocess.run(arguments, check=True, capture_output=True).stdout.splitlines())

    def drained(self) -> None:
        """Wait until nothing is in the queue."""

        def look() -> bool | None:
            self.flush()
            return self.queued() == 0 or None

        wait_for("an empty queue of Postfix", look)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def documented(kind: str) -> str:
    """A block of the operations page."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/operations.md has no block {kind}"
    return found[1]


@contextmanager
def relaying(next_port: int) -> Iterator[Postfix]:
    """Postfix with the documented lines, the gateway's port replaced. Needs root."""
    # Its processes run as their own user, who must be able to walk there.
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    folder.chmod(0o755)
    port = free_port()
    try:
        _configure(folder, port, next_port)
        subprocess.run(["postfix", "-c", str(folder / "etc"), "start"], check=True, capture_output=True, timeout=60)
        try:
            wait_for("the port of Postfix", lambda: _open(port) or None)
            yield Postfix(folder=folder, port=port)
        finally:
            _stop(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path, port: int, next_port: int) -> None:
    etc = folder / "etc"
    for each in (etc, folder / "spool", folder / "lib"):
        each.mkdir()
    shutil.chown(folder / "lib", "postfix")
    lines = documented("postfix").replace("/etc/postfix", str(etc))
    (etc / "main.cf").write_text(OWN.format(folder=folder) + lines)
    assert ":2424" in documented("transport")
    (etc / "transport").write_text(documented("transport").replace(":2424", f":{next_port}"))
    (etc / "dynamicmaps.cf").touch()
    (folder / "maillog").touch()
    master = Path("/usr/share/postfix/master.cf.dist").read_text()
    master = re.sub(r"^smtp      inet", f"127.0.0.1:{port} inet", master, flags=re.MULTILINE)
    master = master.replace("#postlog", "postlog")
    # Not in a change root: nothing of the system is copied into the folder.
    (etc / "master.cf").write_text(re.sub(r"^(\S+\s+\S+\s+\S+\s+\S+\s+)[y-]", r"\1n", master, flags=re.MULTILINE))
    subprocess.run(["postmap", "-c", str(etc), str(etc / "transport")], check=True, capture_output=True)


def _stop(folder: Path) -> None:
    pid = int((folder / "spool/pid/master.pid").read_text())
    stopped = subprocess.run(["postfix", "-c", str(folder / "etc"), "stop"], check=False, capture_output=True)
    if stopped.returncode:
        os.kill(pid, signal.SIGKILL)


def _open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
