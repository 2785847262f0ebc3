"""A real Request Tracker 5 on loopback, unprivileged, in a temporary folder, with SQLite.

Debian: `apt-get install request-tracker5 rt5-db-sqlite rt5-standalone`. Its database is made with its own tool, so that
it has RT's own scrips (they mail requesters), and a few users, queues and fields of ours.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.services.ports import free_port

PATIENCE = 180.0
SERVER = "/usr/share/request-tracker5/libexec/rt-server"
QUEUES = ("General", "Engineers")
RIGHTS = (
    "SeeQueue", "CreateTicket", "ShowTicket", "ShowTicketComments", "ReplyToTicket", "CommentOnTicket", "ModifyTicket",
    "SeeCustomField", "ModifyCustomField", "ReassignTicket", "ShowOutgoingEmail",
)  # fmt: skip
"""What docs/feeds/rt.md says our user needs."""
LACKING = {
    "no-create": "CreateTicket", "no-reply": "ReplyToTicket", "no-comment": "CommentOnTicket",
    "no-modify": "ModifyTicket", "no-field": "ModifyCustomField", "blind": "SeeCustomField", "no-queue": "SeeQueue",
    "no-show": "ShowTicket",
}  # fmt: skip
"""Users who have all of these but one."""
_CONF = """
Set($rtname, 'rt.desk.example'); Set($Organization, 'rt.desk.example');
Set($WebDomain, '127.0.0.1'); Set($WebPort, {port}); Set($WebPath, ''); Set($WebBaseURL, 'http://127.0.0.1:{port}');
Set($DatabaseType, 'SQLite'); Set($DatabaseName, '{root}/rt.db'); Set($DatabaseUser, ''); Set($DatabasePassword, '');
Set($MasonDataDir, '{root}/mason'); Set($MasonSessionDir, '{root}/sess');
Set($WebSessionClass, 'Apache::Session::File');
Set($LogToSyslog, undef); Set($LogToSTDERR, 'warning'); Set($LogDir, '{root}/log'); Set($LogToFile, undef);
Set($CorrespondAddress, 'support@rt.desk.example'); Set($CommentAddress, 'comment@rt.desk.example');
Set($MailCommand, 'sendmailpipe'); Set($SendmailPath, '{root}/sendmail');
Set($BcryptCost, 4); Set($RestrictReferrer, 0); Set($DevelMode, 0);
Set(%GnuPG, Enable => 0); Set(%SMIME, Enable => 0);
1;
"""
_DATA = """
@Queues = ({{ Name => 'Engineers' }}, {{ Name => 'Bare' }});
@CustomFields = (map {{ {{ Name => $_, Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket',
  Queue => [qw({queues})] }} }} qw(GatewayKey SupportClass SupportLine Contract OnSite));
@Final = (sub {{
  my $system = RT->SystemUser;
  my %lacks = ({lacks});
  my @rights = qw({rights});
  for my $name ('gateway', 'olena', 'root', sort keys %lacks) {{
    my $user = RT::User->new($system);
    $user->Create(Name => $name, EmailAddress => "$name\\@desk.example", Privileged => 1) if $name ne 'root';
    $user->Load($name);
    for my $queue (qw({queues}), 'Bare') {{
      my $on = RT::Queue->new($system); $on->Load($queue);
      for my $right (@rights, $name eq 'olena' ? ('OwnTicket') : ()) {{
        next if $name eq 'root' or ($lacks{{$name}} // '') eq $right;
        $user->PrincipalObj->GrantRight(Right => $right, Object => $on);
      }}
    }}
    my $token = RT::AuthToken->new(RT::CurrentUser->new($system));
    my (undef, undef, $text) = $token->Create(Owner => $user->id, Description => 'test');
    open my $file, '>', "{root}/token-$name" or die; print $file $text; close $file;
  }}
}});
1;
"""


@dataclass
class Rt:
    """A server that can be stopped and started again on the same port and database."""

    root: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def token(self, user: str = "gateway") -> str:
        """Of a user, as a reference for settings."""
        return f"file:{self.root / f'token-{user}'}"

    def make(self) -> None:
        """Make its database. Raises RuntimeError with what the tool said."""
        for name in ("conf.d", "mason", "sess", "log", "outbox"):
            (self.root / name).mkdir()
        (self.root / "RT_SiteConfig.pm").write_text(
            _CONF.replace("{root}", str(self.root)).replace("{port}", str(self.port))
        )
        (self.root / "sendmail").write_text(f"#!/bin/sh\ncat > $(mktemp {self.root}/outbox/XXXXXXXX)\n")
        (self.root / "sendmail").chmod(0o755)
        lacks = ", ".join(f"'{user}' => '{right}'" for user, right in LACKING.items())
        data = _DATA.format(queues=" ".join(QUEUES), lacks=lacks, rights=" ".join(RIGHTS), root=self.root)
        (self.root / "data.pl").write_text(data)
        if os.getuid() == 0:
            for path in (self.root, *self.root.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
        tool = ["rt-setup-database-5", "--dba", "", "--dba-password", "", "--skip-create"]
        self._run([*tool, "--action", "init"])
        self._run([*tool, "--action", "insert", "--datafile", str(self.root / "data.pl")])

    def _run(self, command: list[str]) -> None:
        said = subprocess.run(
            self._as_nobody(command), env=self._env(), capture_output=True, text=True, timeout=PATIENCE
        )
        if said.returncode:
            raise RuntimeError(f"{command}: {said.stdout[-2000:]}{said.stderr[-2000:]}")

    def _env(self) -> dict[str, str]:
        here = {"RT_SITE_CONFIG": str(self.root / "RT_SiteConfig.pm"), "RT_SITE_CONFIG_DIR": str(self.root / "conf.d")}
        return {**os.environ, **here, "HOME": str(self.root)}

    def _as_nobody(self, command: list[str]) -> list[str]:
        wanted = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        return [*wanted, *command]

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its log when it does not."""
        command = [SERVER, "--server", "Starlet", "--host", "127.0.0.1", "--port", str(self.port), "--max-workers", "3"]
        with (self.root / "log" / "server").open("ab") as log:
            self.process = subprocess.Popen(
                self._as_nobody(command), env=self._env(), cwd=self.root, stdout=log, stderr=log, start_new_session=True
            )
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.stop()
        raise RuntimeError((self.root / "log" / "server").read_text()[-2000:])

    def stop(self) -> None:
        """End it with its workers."""
        if self.process is None:
            return
        process, self.process = self.process, None
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)

    def ask(self, method: str, path: str, content: Mapping[str, Any] | None = None, user: str = "root") -> Any:
        """What somebody of staff does, by REST2. Raises RuntimeError when RT refuses."""
        headers = {
            "Authorization": f"token {(self.root / f'token-{user}').read_text()}", "Content-Type": "application/json"
        }  # fmt: skip
        body = json.dumps(content).encode() if content is not None else None
        request = urllib.request.Request(f"{self.url}/REST/2.0{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{path}: {error.code} {error.read()[:500]!r}") from None

    def mailed(self) -> list[str]:
        """Every mail that RT sent."""
        return [path.read_text(errors="replace") for path in (self.root / "outbox").iterdir()]


@contextmanager
def request_tracker() -> Iterator[Rt]:
    """A running one, ended and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="rt-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = Rt(Path(folder))
        made.make()
        try:
            made.start()
            yield made
        finally:
            made.stop()
