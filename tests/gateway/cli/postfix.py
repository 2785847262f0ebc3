"""A real Postfix on loopback, in a folder of its own, that hands mail on as docs/operations.md says."""

from __future__ import annotations

import re
import smtplib
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.gateway.cli.running import ROOT, wait_for
from tests.services.ports import free_port
from tests.services.root import as_root

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
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example", timeout=90) as client:
            client.sendmail(sender, recipients, content)

    def log(self) -> str:
        """Its log so far."""
        return (self.folder / "maillog").read_text(errors="replace")

    def flush(self) -> None:
        """Try everything in the queue now."""
        _run("postqueue", "-c", str(self.folder / "etc"), "-f")

    def queued(self) -> int:
        """Mails in the queue."""
        return len(_run("postqueue", "-c", str(self.folder / "etc"), "-j").splitlines())

    def drained(self) -> None:
        """Wait until nothing is in the queue."""

        def look() -> bool | None:
            self.flush()
            return self.queued() == 0 or None

        wait_for("an empty queue of Postfix", look)


def documented(kind: str) -> str:
    """A block of the operations page."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/operations.md has no block {kind}"
    return found[1]


@contextmanager
def relaying(
    next_port: int, *, main: str = "postfix", transport: str = "transport", own: str = ""
) -> Iterator[Postfix]:
    """Postfix with the documented lines, the gateway's port replaced: `main` and `transport` name the blocks.

    `own` is what else its main.cf says. Needs root, or sudo: see the mark `as_root`.
    """
    # Its processes run as their own user, who must be able to walk there.
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    folder.chmod(0o755)
    port = free_port()
    try:
        _configure(folder, port, next_port, lines=(documented(main), documented(transport), own))
        _run("postfix", "-c", str(folder / "etc"), "start")
        try:
            wait_for("the port of Postfix", lambda: _open(port) or None)
            yield Postfix(folder=folder, port=port)
        finally:
            _stop(folder)
    finally:
        _run("rm", "-rf", "--", str(folder))


def _configure(folder: Path, port: int, next_port: int, *, lines: tuple[str, str, str]) -> None:
    etc = folder / "etc"
    for each in (etc, folder / "spool", folder / "lib"):
        each.mkdir()
    main, transport, own = lines
    (etc / "main.cf").write_text(OWN.format(folder=folder) + main.replace("/etc/postfix", str(etc)) + own)
    replaced, count = re.subn(r":(2424|2525)$", f":{next_port}", transport, flags=re.MULTILINE)
    assert count == 1
    (etc / "transport").write_text(replaced)
    (etc / "dynamicmaps.cf").touch()
    (folder / "maillog").touch()
    master = Path("/usr/share/postfix/master.cf.dist").read_text()
    master = re.sub(r"^smtp      inet", f"127.0.0.1:{port} inet", master, flags=re.MULTILINE)
    master = master.replace("#postlog", "postlog")
    # Not in a change root: nothing of the system is copied into the folder.
    (etc / "master.cf").write_text(re.sub(r"^(\S+\s+\S+\s+\S+\s+\S+\s+)[y-]", r"\1n", master, flags=re.MULTILINE))
    _run("chown", "-R", "root:root", str(etc), str(folder / "spool"))
    _run("chown", "postfix", str(folder / "lib"))
    _run("postmap", "-c", str(etc), str(etc / "transport"))


def _stop(folder: Path) -> None:
    try:
        _run("postfix", "-c", str(folder / "etc"), "stop")
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        _run("postfix", "-c", str(folder / "etc"), "abort")


def _run(*command: str) -> bytes:
    """Run it as root; its output. Raises CalledProcessError."""
    return subprocess.run([*(as_root() or ()), *command], check=True, capture_output=True, timeout=180).stdout


def _open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
