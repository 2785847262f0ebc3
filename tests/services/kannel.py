"""A real Kannel on loopback, unprivileged, in a temporary folder: bearerbox and smsbox, and a network behind them.

Debian: `apt-get install kannel kannel-extras`. The network is Kannel's own fakesmsc, or the one in `smsc.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.ports import free_port

PATIENCE = 90.0
USER, PASSWORD = "gw", "standin-password-of-no-worth"
ADMIN = "standin-admin-of-no-worth"
FAKESMSC = "/usr/lib/kannel/test/fakesmsc"
_CONF = """
group = core
admin-port = {admin}
admin-interface = "127.0.0.1"
admin-password = {password_of_admin}
smsbox-port = {boxes}
smsbox-interface = "127.0.0.1"
box-allow-ip = "127.0.0.1"
log-file = "{root}/bearerbox.log"
log-level = 1
store-type = file
store-location = "{root}/store"
dlr-storage = internal

{network}

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {boxes}
sendsms-port = {sendsms}
sendsms-interface = "127.0.0.1"
log-file = "{root}/smsbox.log"
log-level = 1
http-request-retry = 1000
http-queue-delay = 1

group = sendsms-user
username = {user}
password = {password}
max-messages = 10
concatenation = true

group = sms-service
keyword = default
catch-all = true
max-messages = 0
{service} = "{url}"
"""
_FAKE = """group = smsc
smsc = fake
smsc-id = FAKE
port = {port}
connect-allow-ip = 127.0.0.1"""
_SMPP = """group = smsc
smsc = smpp
smsc-id = SMPP
host = 127.0.0.1
port = {port}
transceiver-mode = true
smsc-username = "desk"
smsc-password = "secret"
system-type = "VMA"
address-range = ""
reconnect-delay = 1
enquire-link-interval = 10"""
QUERY = "id=%I&from=%p&to=%P&text=%b&coding=%c&charset=%C&time=%T&udh=%u&smsc=%i"
"""What stands behind the secret in the address for messages."""


@dataclass
class Kannel:
    """Two programs that can be stopped, killed and started again on the same ports and store."""

    root: Path
    url: str
    """Where messages go, with the secret."""
    smpp: int = 0
    """Port of an SMPP network; 0: the fake one."""
    service: str = "get-url"
    admin: int = field(default_factory=free_port)
    boxes: int = field(default_factory=free_port)
    sendsms: int = field(default_factory=free_port)
    fake: int = field(default_factory=free_port)
    bearerbox: subprocess.Popen[bytes] | None = None
    smsbox: subprocess.Popen[bytes] | None = None
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def api_url(self) -> str:
        """Where messages are sent by."""
        return f"http://127.0.0.1:{self.sendsms}/cgi-bin/sendsms"

    def write(self) -> None:
        """Write the configuration."""
        network = _SMPP.format(port=self.smpp) if self.smpp else _FAKE.format(port=self.fake)
        (self.root / "kannel.conf").write_text(
            _CONF.format(
                root=self.root, admin=self.admin, boxes=self.boxes, sendsms=self.sendsms, network=network, user=USER,
                password=PASSWORD, password_of_admin=ADMIN, service=self.service, url=self.url,
            )
        )  # fmt: skip
        if os.getuid() == 0:
            for path in (self.root, *self.root.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")

    def start_bearerbox(self) -> None:
        """Start it and wait until it listens. Raises RuntimeError with its log when it does not."""
        self.bearerbox = self._start("bearerbox", self.boxes)

    def start_smsbox(self) -> None:
        """The same for smsbox."""
        self.smsbox = self._start("smsbox", self.sendsms)

    def stop_smsbox(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait."""
        self.smsbox = _ended(self.smsbox, how)

    def stop_bearerbox(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait."""
        self.bearerbox = _ended(self.bearerbox, how)

    def stop(self) -> None:
        """End everything."""
        for other in self.others:
            _ended(other, signal.SIGTERM)
        self.stop_smsbox()
        self.stop_bearerbox()

    def status(self) -> str:
        """What bearerbox says of itself."""
        url = f"http://127.0.0.1:{self.admin}/status.txt?password={ADMIN}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def people(self, *messages: str) -> None:
        """Kannel's fakesmsc: somebody sends each of these ("+38050… +38044… text words"), one after the other."""
        for message in messages:
            # It sends what it is given in an order of its own: each goes by a network of its own.
            with (self.root / f"fakesmsc-{len(self.others)}.log").open("wb") as log:
                command = [FAKESMSC, "-H", "127.0.0.1", "-r", str(self.fake), "-i", "0.01", "-m", "1", message]
                self.others.append(subprocess.Popen(command, stdout=log, stderr=log))

    def _start(self, program: str, port: int) -> subprocess.Popen[bytes]:
        command = [shutil.which(program) or program, "-v", "4", str(self.root / "kannel.conf")]
        if os.getuid() == 0:
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "HOME=/tmp", *command]
        with (self.root / f"{program}.out").open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.root, start_new_session=True)
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            except OSError:
                time.sleep(0.02)
            else:
                return process
        _ended(process, signal.SIGKILL)
        log = self.root / f"{program}.log"
        raise RuntimeError(
            (self.root / f"{program}.out").read_text() + (log.read_text()[-2000:] if log.exists() else "")
        )


def _ended(process: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    if process is None:
        return
    try:
        process.send_signal(how)
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(PATIENCE)


@contextmanager
def kannel(
    url: str, *, smpp: int = 0, service: str = "get-url", boxes: Sequence[str] = ("bearerbox", "smsbox")
) -> Iterator[Kannel]:
    """A running one, ended and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="kan-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = Kannel(Path(folder), url, smpp=smpp, service=service)
        made.write()
        try:
            for box in boxes:
                getattr(made, f"start_{box}")()
            yield made
        finally:
            made.stop()
