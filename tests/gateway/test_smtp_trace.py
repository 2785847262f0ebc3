"""The whole gateway under strace: between the last byte of a mail and its 250, a sync of the journal has ended."""

from __future__ import annotations

import json
import os
import re
import signal
import smtplib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gateway.patience import PATIENCE

pytestmark = [pytest.mark.services("strace"), pytest.mark.timeout(400)]

CALLS = "read,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync"
SYNC = re.compile(r" f(?:data)?sync\(\d+<([^>]*)>")
BIG = ("b" * 70 + "\r\n") * 5000


def mail(number: int) -> str:
    body = BIG if number == 5 else "short\r\n"
    head = f"From: anna@client.example\r\nMessage-ID: <{number}@x.example>\r\nSubject: trace {number}\r\n\r\n"
    return f"{head}{body}last-byte-{number}\r\n"


def events(trace: str) -> list[str]:
    """ "last-byte-N", "250", and the paths whose sync has returned, in the order of the trace."""
    found: list[str] = []
    under_way: dict[str, str] = {}
    for line in trace.splitlines():
        thread = line.split(maxsplit=1)[0]
        # The bytes of a read stand where it returns.
        if re.search(r"\b(read|recvfrom|recvmsg)\b", line) and (last := re.search(r"last-byte-\d+", line)):
            found.append(last[0])
        if re.search(r"\b(write|writev|sendto|sendmsg)\(", line) and "250 2.0.0 OK, taken in" in line:
            found.append("250")
        if began := SYNC.search(line):
            under_way[thread] = began[1]
        if thread in under_way and line.rstrip().endswith("= 0"):
            found.append(under_way.pop(thread))
    return found


def test_a_sync_ends_between_the_last_byte_and_the_250(tmp_path: Path) -> None:
    var, trace = tmp_path / "var", tmp_path / "trace"
    serve = [
        sys.executable,
        "-m",
        "gateway",
        "serve",
        "--var",
        str(var),
        "--set",
        "smtp.port=0",
        "--set",
        "http.port=0",
    ]
    strace = ["strace", "-f", "-y", "-s", "400000", "-e", f"trace={CALLS}", "-o", str(trace)]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [*strace, *serve], cwd=Path(__file__).parents[2], stdout=log, stderr=log, start_new_session=True
        )
    try:
        listening = var / "listening.json"
        deadline = time.monotonic() + PATIENCE
        while not listening.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert listening.exists(), (tmp_path / "log").read_text()[-3000:]
        host, _, port = json.loads(listening.read_text())["smtp"].rpartition(":")
        with smtplib.SMTP(host, int(port), timeout=PATIENCE) as client:
            for number in range(6):
                client.sendmail("anna@client.example", ["support@desk.example"], mail(number))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE)
    seen = events(trace.read_text(errors="replace"))
    for number in range(6):
        after = seen[seen.index(f"last-byte-{number}") :]
        between = after[: after.index("250")]
        assert any(path.endswith("gateway.db-wal") for path in between), number
        if number == 5:
            # The body itself and the folder that names it.
            assert sum("/blobs/" in path or "/spool/" in path for path in between) >= 2
