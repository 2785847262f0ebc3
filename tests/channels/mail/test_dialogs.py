"""Every file of dialogs/ played on a real socket.

`c-> line` is sent with CRLF; `c=> text` as it stands, with \\r \\n \\x.. escapes; `s<- line` is the next line of the
server, `...` standing for anything; `s<-|` says that the server closes. `# set key: value` changes an option, and
`# intake unavailable|broken|full` how the intake fails. What comes after `# filed N` must have been taken in.
"""

from __future__ import annotations

import asyncio
import errno
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from channels.contract import Unavailable
from tests.channels.mail.support import PATIENCE, Client, Port, running, until

DIALOGS = sorted((Path(__file__).parent / "dialogs").glob("*.dialog"))
FAILURES = {
    "unavailable": Unavailable("the database said: password=hunter2"),
    "broken": RuntimeError("secret dsn postgresql://user:hunter2@db"),
    "full": OSError(errno.ENOSPC, "No space left on device", "/var/secret/path"),
}


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
async def test_dialog(path: Path, tmp_path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    options = dict(found.groups() for line in lines if (found := re.match(r"# set (\w+): (.+)", line)))
    parsed = {key: YAML(typ="safe").load(value) for key, value in options.items()}
    async with running(tmp_path, **parsed) as port:
        client = await port.connect()
        for number, line in enumerate(lines, 1):
            await step(line, client, port, f"{path.name}:{number}")
        await client.close()
        await until(lambda: not port.leftovers())


async def step(line: str, client: Client, port: Port, where: str) -> None:
    match line[:4], line[4:].removeprefix(" "):
        case "c-> ", said:
            await client.send(said.encode() + b"\r\n")
        case "c=> ", said:
            await client.send(said.encode().decode("unicode_escape").encode("latin-1"))
        case "s<-|", _:
            rest = await asyncio.wait_for(client.reader.read(), PATIENCE)
            assert rest == b"", where
        case "s<- ", wanted:
            got = (await asyncio.wait_for(client.reader.readline(), PATIENCE)).decode().rstrip("\r\n")
            pattern = ".*".join(map(re.escape, wanted.split("...")))
            assert re.fullmatch(pattern, got), f"{where}: wanted {wanted!r}, got {got!r}"
        case _:
            if found := re.match(r"# filed (\d+)", line):
                assert len(port.journal.raws) == int(found[1]), where
            if found := re.match(r"# intake (\w+)", line):
                port.journal.failure = FAILURES.get(found[1])
