"""A mail client that is not ours: swaks, as an administrator tries a new desk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.gateway.cli.running import Desk, serving

pytestmark = [pytest.mark.services("swaks"), pytest.mark.timeout(400)]


def _swaks(desk: Desk, *words: str) -> subprocess.CompletedProcess[str]:
    host, port = desk.address()
    given = ["swaks", "--server", host, "--port", str(port), "--from", "ann@client.example", *words]
    return subprocess.run(given, capture_output=True, text=True, timeout=180)


def test_swaks_delivers_a_mail_with_a_file_and_is_refused_a_stranger(tmp_path: Path) -> None:
    file = tmp_path / "screen.png"
    file.write_bytes(bytes(range(256)) * 40)
    with serving(tmp_path / "var") as desk:
        ours = _swaks(
            desk, "--to", "support@desk.example", "--header", "Subject: No toner", "--body", "It prints nothing.",
            "--attach-type", "image/png", "--attach", f"@{file}",
        )  # fmt: skip
        assert ours.returncode == 0, ours.stdout
        assert "<-  250 2.0.0 OK, taken in" in ours.stdout
        desk.filed(1)
        assert desk.query("SELECT subject FROM ticket") == [("No toner",)]
        assert desk.query("SELECT filename, size FROM attachment") == [("screen.png", 10240)]
        other = _swaks(desk, "--to", "nobody@elsewhere.example")
        assert other.returncode == 24, "swaks: the recipient was refused"
        assert "<** 550" in other.stdout
        assert desk.query("SELECT count(*) FROM entry") == [(1,)]
