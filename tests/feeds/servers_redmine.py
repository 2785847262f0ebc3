"""A real Redmine 5 on loopback, unprivileged, in a temporary folder, with SQLite and puma.

Debian: `apt-get install redmine redmine-sqlite puma`. Its code is copied, since it writes beside itself; database,
default data and what the tests need are made by one run of rake.
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
CODE = Path("/usr/share/redmine")
RIGHTS = ("view_issues", "add_issues", "edit_issues", "add_issue_notes", "view_private_notes", "set_notes_private")
"""What docs/feeds/redmine.md says our role needs."""
LACKING = {
    "no-add": "add_issues",
    "no-private": "set_notes_private",
    "no-edit": "edit_issues",
    "no-view": "view_issues",
}
"""Users whose role has all of these but one."""
_FAST = """
require 'active_record/connection_adapters/sqlite3_adapter'
ActiveRecord::ConnectionAdapters::SQLite3Adapter.prepend(Module.new do
  def configure_connection
    super
    execute('PRAGMA synchronous = OFF')
  end
end)
"""
_SEED = """
namespace :gateway do
  task :fresh => :environment do
    ActiveRecord::Base.connection.schema_cache.clear!
    ActiveRecord::Base.descendants.each(&:reset_column_information)
  end
  task :seed => :environment do
    Setting.rest_api_enabled = '1'
    trackers = Tracker.pluck(:id)
    keys = {}
    projects = %w(support engineers bare).map do |name|
      made = Project.create!(:name => name.capitalize, :identifier => name, :tracker_ids => trackers)
      made.enabled_module_names = ['issue_tracking']
      made
    end
    fields = %w(GatewayKey GatewayMessage Class Contract OnSite).map do |name|
      made = IssueCustomField.new(:name => name, :field_format => name == 'OnSite' ? 'bool' : 'string',
        :is_filter => true, :tracker_ids => trackers, :is_for_all => false)
      made.projects = projects[0, 2]
      made.save!
      made.id
    end
    rights = %w(%(rights)s).map(&:to_sym)
    lacking = {%(lacking)s}
    ({'gateway' => nil}.merge(lacking)).each do |login, right|
      role = Role.create!(:name => login.capitalize, :permissions => rights - [right && right.to_sym],
        :issues_visibility => 'all', :assignable => false)
      statuses = IssueStatus.pluck(:id)
      from = login == 'gateway' ? [0] + statuses : [0]
      trackers.product(from, statuses).each do |tracker, old, new|
        WorkflowTransition.create!(:tracker_id => tracker, :role_id => role.id,
          :old_status_id => old, :new_status_id => new)
      end
      user = User.new(:firstname => login, :lastname => 'Desk', :mail => "#{login}@desk.example")
      user.login = login
      user.password = 'standin-of-no-worth'
      user.save!
      projects.each { |project| Member.create!(:project => project, :principal => user, :roles => [role]) }
      keys[login] = user.api_key
    end
    manager = Role.find_by_name('Manager')
    olena = User.new(:firstname => 'Olena', :lastname => 'Koval', :mail => 'olena@desk.example')
    olena.login = 'olena'
    olena.password = 'standin-of-no-worth'
    olena.save!
    projects.each { |project| Member.create!(:project => project, :principal => olena, :roles => [manager]) }
    keys['olena'] = olena.api_key
    admin = User.find_by_login('admin')
    admin.must_change_passwd = false
    admin.save!
    keys['admin'] = admin.api_key
    File.write('%(root)s/seed.json', {:keys => keys, :fields => fields}.to_json)
  end
end
"""


@dataclass
class Redmine:
    """A server that can be stopped and started again on the same port and database."""

    root: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    seed: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def field(self, name: str) -> int:
        """Number of a custom field."""
        return int(self.seed["fields"][("GatewayKey", "GatewayMessage", "Class", "Contract", "OnSite").index(name)])

    def key(self, user: str = "gateway") -> str:
        """API key of a user."""
        return str(self.seed["keys"][user])

    def make(self) -> None:
        """Copy the code and make the database. Raises RuntimeError with what rake said."""
        app = self.root / "app"
        shutil.copytree(CODE, app, ignore=shutil.ignore_patterns("instances", "Gemfile.lock"))
        here = app / "instances" / "default"
        for path in (here / "config", here / "files", here / "log", here / "tmp" / "cache", here / "tmp" / "pids",
                     app / "tmp", app / "log", app / "files", app / "public" / "plugin_assets"):  # fmt: skip
            path.mkdir(parents=True, exist_ok=True)
        gems = app / "Gemfile"
        gems.write_text(gems.read_text().replace(str(CODE), str(app)))
        (app / "Gemfile.local").write_text("gem 'puma'\n")
        database = f"production:\n  adapter: sqlite3\n  database: {self.root}/redmine.db\n  timeout: 20000\n"
        for config in (here / "config", app / "config"):
            (config / "database.yml").write_text(database)
        (here / "config" / "secret_key.txt").write_text(os.urandom(32).hex())
        (app / "config" / "initializers" / "zz_fast.rb").write_text(_FAST)
        lacking = ", ".join(f"'{user}' => '{right}'" for user, right in LACKING.items())
        seed = _SEED.replace("%(rights)s", " ".join(RIGHTS)).replace("%(lacking)s", lacking)
        (app / "lib" / "tasks" / "gateway.rake").write_text(seed.replace("%(root)s", str(self.root)))
        if os.getuid() == 0:
            for path in (self.root, *self.root.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
        with suppress(RuntimeError):
            self._run(["bundle", "install", "--local", "--quiet"])  # writes the lock even where it complains
        tasks = ["db:migrate", "gateway:fresh", "redmine:load_default_data", "gateway:seed"]
        self._run(["bundle", "exec", "rake", *tasks])
        self.seed = json.loads((self.root / "seed.json").read_text())

    def _run(self, command: list[str]) -> None:
        said = subprocess.run(
            self._as_nobody(command), env=self._env(), cwd=self.root / "app", capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        if said.returncode:
            raise RuntimeError(f"{command}: {said.stdout[-2000:]}{said.stderr[-3000:]}")

    def _env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.root), "LANG": "C.UTF-8", "RUBYOPT": "-W0",
            "REDMINE_LANG": "en", "RAILS_ENV": "production",
            "BUNDLE_GEMFILE": str(self.root / "app" / "Gemfile"), "BUNDLE_FROZEN": "false",
            "SCHEMA": "/dev/null",
        }  # fmt: skip

    def _as_nobody(self, command: list[str]) -> list[str]:
        wanted = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        return [*wanted, *command]

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its log when it does not."""
        command = [
            "bundle",
            "exec",
            "puma",
            "-e",
            "production",
            "-b",
            f"tcp://127.0.0.1:{self.port}",
            "-t",
            "1:4",
            "-w",
            "0",
        ]
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._as_nobody(command), env=self._env(), cwd=self.root / "app", stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise RuntimeError((self.root / "server.log").read_text()[-2000:])

    def stop(self) -> None:
        """End it."""
        if self.process is None:
            return
        process, self.process = self.process, None
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)

    def ask(self, method: str, path: str, content: Mapping[str, Any] | bytes | None = None, user: str = "olena") -> Any:
        """What somebody of staff does. Raises RuntimeError when Redmine refuses."""
        bare = isinstance(content, bytes)
        kind = "application/octet-stream" if bare else "application/json"
        body = content if isinstance(content, bytes) or content is None else json.dumps(content).encode()
        headers = {"X-Redmine-API-Key": self.key(user), "Content-Type": kind}
        request = urllib.request.Request(f"{self.url}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                said = answer.read()
                return json.loads(said) if said.strip() else None
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{path}: {error.code} {error.read()[:500]!r}") from None


@contextmanager
def redmine_server() -> Iterator[Redmine]:
    """A running one, ended and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="rdm-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = Redmine(Path(folder))
        made.make()
        try:
            made.start()
            yield made
        finally:
            made.stop()
