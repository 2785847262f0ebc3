"""A real Dovecot on loopback, unprivileged, in a temporary folder: IMAP and LMTP.

Debian: `apt-get install dovecot-imapd dovecot-lmtpd`. It keeps mail as Maildir and any user logs in with `pw`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from imapclient import IMAPClient

from tests.services.ports import free_port, released

PASSWORD = "pw"
PATIENCE = 60.0
_INDEX_NAME = slice(4, 8)
"""Where the log of an index holds its name (`indexid` in its header): the second it was made in."""
_CONF = """
base_dir = {root}/run
state_dir = {root}/run
log_path = {root}/log
protocols = imap lmtp
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
{tls}
auth_username_format = %Ln
disable_plaintext_auth = no
mail_location = maildir:{root}/mail/%u
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = 50
mailbox_list_index = yes
namespace inbox {{
  inbox = yes
  mailbox Processed {{
    auto = create
  }}
}}
passdb {{
  driver = passwd-file
  args = {root}/passwd
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={root}/mail/%u
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  process_min_avail = 1
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {imaps}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service stats {{
  unix_listener stats-reader {{
    mode = 0600
  }}
}}
"""


@dataclass
class Dovecot:
    """A server that can be stopped, killed and started again on the same ports and mail."""

    root: Path
    imap: int = field(default_factory=free_port)
    lmtp: int = field(default_factory=free_port)
    imaps: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def secret(self) -> Path:
        """A file with the password."""
        return self.root / "secret"

    def write(self, tls: str = "ssl = no", users: Sequence[str] = ("support", "sales")) -> None:
        """Write its configuration; as root everything belongs to `nobody`, whom it runs as."""
        for name in ("run", "mail"):
            (self.root / name).mkdir(exist_ok=True)
        self.secret.write_text(PASSWORD)
        (self.root / "passwd").write_text("".join(f"{user}:{{PLAIN}}{PASSWORD}\n" for user in users))
        user, group = (
            ("nobody", "nogroup") if os.getuid() == 0 else (pwd.getpwuid(os.getuid()).pw_name, str(os.getgid()))
        )
        conf = _CONF.format(
            root=self.root, user=user, group=group, imap=self.imap, imaps=self.imaps, lmtp=self.lmtp, tls=tls
        )
        (self.root / "dovecot.conf").write_text(conf)
        if os.getuid() == 0:
            for path in (self.root, *self.root.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its log when it does not."""
        for port in filter(None, (self.imap, self.lmtp, self.imaps)):
            released(port)
        command = ["dovecot", "-F", "-c", str(self.root / "dovecot.conf")]
        if os.getuid() == 0:
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "HOME=/tmp", *command]
        with (self.root / "out").open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.imap), PATIENCE) as greeting:
                    if greeting.recv(100).startswith(b"* OK"):
                        return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(self.said())

    def said(self) -> str:
        """The end of its log."""
        log = self.root / "log"
        return (self.root / "out").read_text() + (log.read_text()[-2000:] if log.exists() else "")

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL for the server and every process it has made."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        try:
            # Its children belong to its session; they end with a SIGTERM of their own when the master is killed.
            if how is signal.SIGKILL:
                os.killpg(process.pid, how)
            else:
                process.send_signal(how)
            process.wait(PATIENCE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            process.kill()
            process.wait(PATIENCE)

    def another_second(self, user: str = "support") -> None:
        """Wait until the clock shows another second than when the server last wrote into a user's indexes.

        It names an index, and a new numbering, by the second it was made in: of two that were made in one second it
        takes the second for the first, and a connection that is open goes on with what it knew.
        """
        indexes = (self.root / "mail" / user).rglob("dovecot*")
        later = int(max(path.stat().st_mtime for path in indexes)) + 1
        while (left := later - time.time()) > 0:
            time.sleep(left)

    def forget_numbers(self, user: str = "support") -> None:
        """Make the server number INBOX anew: another UIDVALIDITY. Whoever is connected may not hear of it."""
        self.another_second(user)
        for path in (self.root / "mail" / user).glob("dovecot*"):
            if path.is_file():
                path.unlink()

    @contextmanager
    def unheard(self, user: str = "support") -> Iterator[None]:
        """Whoever is connected hears nothing of what is done to INBOX inside, then or later.

        The indexes get the names of those that were there before, as if all were made within one second.
        """
        folder = self.root / "mail" / user
        before = {path: path.read_bytes()[_INDEX_NAME] for path in folder.glob("dovecot*.log")}
        yield
        for path, name in before.items():
            with path.open("r+b") as file:
                file.seek(_INDEX_NAME.start)
                file.write(name)

    @contextmanager
    def client(self, user: str = "support", folder: str = "INBOX") -> Iterator[IMAPClient]:
        """A person's mail program, on the folder."""
        client = IMAPClient("127.0.0.1", self.imap, ssl=False, timeout=PATIENCE)
        try:
            client.login(user, PASSWORD)
            client.select_folder(folder)
            yield client
        finally:
            client.shutdown()

    def append(self, *messages: bytes, user: str = "support", at: datetime | None = None) -> None:
        """Put messages into INBOX, as arrived at `at`."""
        with self.client(user) as client:
            for message in messages:
                client.append("INBOX", message, (), at)

    def fill(self, messages: Iterable[bytes], user: str = "support") -> None:
        """Put many messages into INBOX at once, as files of the Maildir."""
        folder = self.root / "mail" / user / "cur"
        self.append(b"Subject: first\r\n\r\n", user=user)  # makes the folders
        with self.client(user) as client:
            client.delete_messages(client.search("ALL"))
            client.expunge()
        owner = folder.stat()
        for number, message in enumerate(messages):
            path = folder / f"1700000000.M{number}P1.desk,S={len(message)}:2,"
            path.write_bytes(message)
            os.chown(path, owner.st_uid, owner.st_gid)

    def deliver(self, message: bytes, user: str = "support") -> None:
        """Deliver a message by LMTP, as a mail server does."""
        with smtplib.LMTP("127.0.0.1", self.lmtp, timeout=PATIENCE) as lmtp:
            lmtp.sendmail("sender@client.example", [f"{user}@desk.example"], message)

    def messages(self, folder: str = "INBOX", user: str = "support") -> list[bytes]:
        """The bytes of every message in a folder, in order; nothing is marked as read."""
        with self.client(user, folder) as client:
            uids = sorted(client.search("ALL"))
            rows = client.fetch(uids, ["BODY.PEEK[]"]) if uids else {}
            return [rows[uid][b"BODY[]"] for uid in uids]

    def flags(self, folder: str = "INBOX", user: str = "support") -> list[tuple[bytes, ...]]:
        """The flags of every message in a folder, in order; without \\Recent."""
        with self.client(user, folder) as client:
            uids = sorted(client.search("ALL"))
            rows = client.get_flags(uids) if uids else {}
            return [tuple(flag for flag in rows[uid] if flag != b"\\Recent") for uid in uids]


@contextmanager
def dovecot(*, tls: tuple[Path, Path] | None = None, introspection: str = "", more: str = "") -> Iterator[Dovecot]:
    """A running server, stopped and removed at the end.

    `tls`: certificate and key (TLS and STARTTLS are offered then). `introspection`: a URL that tells whose an access
    token is (RFC 7662, the token is appended); logging in by XOAUTH2 is offered then. `more`: lines for its
    configuration.
    """
    # Not below a test's own folder: sockets have short names, and `nobody` must be able to enter.
    with tempfile.TemporaryDirectory(prefix="dov-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Dovecot(Path(folder), imaps=free_port() if tls else 0)
        conf = f"{more}\nssl = no"
        if tls:
            for path, name in zip(tls, ("cert.pem", "key.pem"), strict=True):
                shutil.copy(path, server.root / name)
            conf = f"{more}\nssl = yes\nssl_cert = <{server.root}/cert.pem\nssl_key = <{server.root}/key.pem"
        if introspection:
            (server.root / "oauth.conf").write_text(f"tokeninfo_url = {introspection}\nusername_attribute = email\n")
            conf += "\nauth_mechanisms = plain login xoauth2\npassdb {\n  driver = oauth2\n  mechanisms = xoauth2\n"
            conf += f"  args = {server.root}/oauth.conf\n}}"
        server.write(conf)
        try:
            server.start()
            yield server
        except BaseException:
            print(f"Dovecot said:\n{server.said()}")
            raise
        finally:
            server.stop()
