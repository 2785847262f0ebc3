"""The demo and `serve`, as a newcomer runs them: the real commands, the real sockets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.demo.mails import MAILS, build
from tests.gateway.cli.running import PATIENCE, wait_for

ROOT = Path(__file__).parents[3]


def gateway(*words: str, var: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200"} | more
    return subprocess.run(
        [sys.executable, "-m", "gateway", *words, "--var", str(var)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@contextmanager
def serving(var: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--var", str(var), "--set=smtp.port=0", "--set=http.port=0", *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        wait_for("the start", lambda: (var / "listening.json").exists() or process.poll() is not None or None)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        if process.stdout:
            process.stdout.close()


OURS = """
http: {public_url: "https://help.example.com"}
database: {url: "env:NO_SUCH_VARIABLE"}
operators: [operator@desk.example]
channels:
  mail:
    main:
      addresses: [help@desk.example]
      imap: {host: 127.0.0.1, port: 1, tls: none, user: main, password: "env:NO_SUCH_VARIABLE"}
      relay: {host: 127.0.0.1, port: 1, tls: none}
  telegram:
    main: {token: "env:NO_SUCH_VARIABLE", api_url: "http://127.0.0.1:1"}
  sms:
    main:
      account_sid: AC00000000000000000000000000000000
      auth_token: "env:NO_SUCH_VARIABLE"
      numbers: ["+380441234567"]
      api_url: "http://127.0.0.1:1"
"""
"""A desk that works: a demo that used it would end in an error, or write to people."""


@pytest.mark.timeout(400)
def test_the_demo_comes_to_its_end_whatever_is_configured(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "gateway.yaml").write_text(OURS)
    (tmp_path / "config" / "ivr.yaml").write_text("languages: [en]\nmenu: [status]\nclosed_menu: [person]\n")
    (tmp_path / "var").mkdir()
    (tmp_path / "tmp").mkdir()
    result = gateway("demo", "--config", str(tmp_path / "config"), var=tmp_path / "var", TMPDIR=str(tmp_path / "tmp"))
    assert result.returncode == 0, result.stderr
    shown = " ".join(result.stdout.split())
    for words in (
        "class 3, L3, ru",
        "on site, uk",
        "auto_reply",
        "bounce",
        "a repeat of entry 1",
        "5 of 5",
        "in channel telegram: class",
        "[Українська]",
        "was fetched",
        "[Проблема залишилася]",
        "2 of 5, with its comment",
        "two messages, one acknowledgement",
        "5 спасибо",
        "5 of 5; the ticket stays resolved",
        "Українська мова — натисніть 1.",
        "[speaks, 18 seconds]",
        "recording.mp3 was fetched",
        "Ганна [presses 5]",
        "Ваша оцінка — 5.",
        "5 of 5, by a key; two calls, one ticket",
        "nobody was written to",
    ):
        assert words in shown, words
    for folder in ("var", "tmp"):
        assert not list((tmp_path / folder).iterdir()), "the demo left something behind"


@pytest.mark.timeout(400)
def test_serve_prints_what_listens_and_stops_cleanly(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        listening = json.loads((tmp_path / "listening.json").read_text())
        host, _, port = listening["smtp"].rpartition(":")
        with smtplib.SMTP(host, int(port)) as client:
            client.sendmail(
                "a@client.example", ["support@desk.example"], build(MAILS[0], message_id="one@client.example")
            )
        shown = wait_for("the ticket", lambda: _tickets(tmp_path))
        assert shown[0]["subject"] == MAILS[0].subject
        assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
        second = gateway("serve", var=tmp_path)
        assert second.returncode == 1
        assert f"process {process.pid} already serves" in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert process.stdout is not None
        said = process.stdout.read()
    assert f"smtp  listens on {listening['smtp']}" in said
    assert "try it" in said
    assert not (tmp_path / "listening.json").exists()


def _tickets(var: Path) -> list[dict[str, str]] | None:
    result = gateway("tickets", "list", "--json", var=var)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    items: list[dict[str, str]] = found["items"] if isinstance(found, dict) else found
    return items or None


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with serving(tmp_path / "one"):
        port = json.loads((tmp_path / "one" / "listening.json").read_text())["http"].rpartition(":")[2]
        result = gateway("serve", "--set", f"http.port={port}", "--set", "smtp.port=0", var=tmp_path / "two")
    assert result.returncode == 1
    assert f"http: cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr
