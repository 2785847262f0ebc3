"""Pilot, cut-over and roll-back, with the commands of docs/operations.md in their order."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.gateway.cli.running import ROOT, Desk, gateway, mail_bytes, serving, wait_for


def documented(section: str) -> list[list[str]]:
    """The commands of a section, in order."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    text = page.partition(f"### {section}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    blocks = re.findall(r"^ *```sh\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line.strip()]


class Steps:
    """Runs the commands of a section one after another."""

    def __init__(self, section: str, var: Path, config: Path, **words: str) -> None:
        self._commands, self._var, self._config, self._words = documented(section), var, config, words
        assert self._commands, f"docs/operations.md has no commands below {section}"

    def next(self, *begin: str) -> str:
        """Run the next command, which must begin with these words; what it printed."""
        command = [self._words.get(word, word) for word in self._commands.pop(0)]
        assert tuple(command[: len(begin)]) == begin
        return gateway(*command, var=self._var, config=self._config).stdout

    def done(self) -> None:
        """Every documented command was run."""
        assert not self._commands


def outbound(config: Path, value: str) -> None:
    """Edit the setting, as a person does."""
    path = config / "gateway.yaml"
    text = re.sub(r"\n      outbound: .*", "", path.read_text(encoding="utf-8"))
    path.write_text(
        text.replace("      language: en\n", f'      language: en\n      outbound: "{value}"\n', 1), "utf-8"
    )


def outgoing(var: Path) -> Sequence[str]:
    """Who was written to."""
    return sorted(
        re.findall(r"^To: .*?(\w+)@client", path.read_text(), re.MULTILINE)[0] for path in var.glob("outgoing/*.eml")
    )


def suppressed(desk: Desk, count: int) -> None:
    query = "SELECT count(*) FROM outbox WHERE state = 'suppressed'"
    wait_for("silence", lambda: desk.query(query) == [(count,)] or None)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("silent", ["off", "capture"])
def test_pilot_cut_over_and_roll_back(tmp_path: Path, silent: str) -> None:
    var, config = tmp_path / "var", Path(shutil.copytree(ROOT / "config", tmp_path / "config"))
    outbound(config, silent)
    with serving(var, config=config) as desk:
        desk.mail("pilot")
        desk.filed(1)
        state = {"off": "suppressed", "capture": "captured"}[silent]
        wait_for("silence", lambda: desk.query(f"SELECT 1 FROM outbox WHERE state = '{state}'") or None)
        report = Steps("Pilot", var, config, **{"2026-03-02T00:00:00Z": "2020-01-01T00:00:00Z"})
        said = report.next("report", "--shadow")
        number = desk.query("SELECT number FROM ticket")[0][0]
        for part in (f"#{number}", "Printer pilot", "because", "acknowledgement to pilot@client.example", "    | "):
            assert part in said, said
        report.done()
        assert not outgoing(var)

        cut = Steps("Cut-over", var, config, BACKUP=str(tmp_path / "backup"))
        cut.next("backup")
        since = datetime.now(UTC).isoformat()
        outbound(config, "on")
        cut.next("reload")
        sent = {desk.mail("cut"), desk.mail("later", mail_bytes("later", "From here on it burns.\nFrom there, too.\n"))}
        wait_for("the acknowledgements", lambda: len(outgoing(var)) == 2 or None)
        assert "ready" in cut.next("status")
        cut.done()
        assert outgoing(var) == ["cut", "later"], "what the pilot composed never goes out"

        back = Steps("Roll-back", var, config, CUTOVER=since, EXPORT=str(tmp_path / "export"))
        outbound(config, "off")
        back.next("reload")
        sent.add(desk.mail("straggler"))
        desk.filed(4)
        suppressed(desk, 2 if silent == "off" else 1)
        back.next("journal", "export")
        back.done()
        assert {path.read_bytes() for path in (tmp_path / "export" / "new").iterdir()} == sent
        assert outgoing(var) == ["cut", "later"]
