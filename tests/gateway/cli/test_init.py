"""An installation from a few answers: what is written is accepted by the programs it is for."""

from __future__ import annotations

import ast
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.channels.mail.certificates import make
from tests.gateway.cli.running import ROOT, gateway, serving, wait_for

FLAGS = (
    *("--address", "help@firm.example", "--name", "Служба «Поддержки»: 24/7", "--language", "uk"),
    *("--timezone", "Europe/Kyiv", "--public-url", "https://help.firm.example", "--relay", "mx.firm.example:587"),
    *("--relay-user", "desk", "--operator", "op@firm.example", "--lmtp"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that flags made."""
    folder = tmp_path_factory.mktemp("etc") / "gateway"
    gateway("init", str(folder), *FLAGS, var=folder)
    return folder


def test_what_is_written_is_good(made: Path) -> None:
    said = gateway("check", var=made, config=made / "config", RELAY_PASSWORD="x")
    assert "good" in said.stdout
    text = (made / "config" / "gateway.yaml").read_text(encoding="utf-8")
    assert 'outbound: "off"' in text and "lmtp" in text and "env:RELAY_PASSWORD" in text
    assert (made / "gateway.env").stat().st_mode & 0o077 == 0
    assert not (made / "gateway.service").read_text().count("RELAY")


def test_nothing_is_overwritten_and_faults_leave_nothing(made: Path, tmp_path: Path) -> None:
    assert "not empty" in gateway("init", str(made), "--yes", var=tmp_path, code=1).stderr
    refused = gateway("init", str(tmp_path / "new"), "--yes", "--language", "xx", var=tmp_path, code=2)
    assert "language" in refused.stderr and not (tmp_path / "new").exists()


@pytest.mark.services("systemd-analyze")
def test_systemd_takes_the_unit_and_calls_it_hardened(made: Path) -> None:
    unit = (made / "gateway.service").read_text()
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in unit and "\nUser=gateway\n" in unit
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(made / "gateway.service")], capture_output=True, text=True, check=False
    )
    faults = [line for line in verified.stderr.splitlines() if "gateway.service" in line]
    assert not faults
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(made / "gateway.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert found and float(found[1]) < 2.5, judged.stdout[-300:] + judged.stderr


@pytest.mark.services("nginx", "openssl")
def test_nginx_takes_the_site(made: Path, tmp_path: Path) -> None:
    pair = make(tmp_path, host="help.firm.example")
    site = (made / "nginx.conf").read_text()
    assert "proxy_pass http://127.0.0.1:8080;" in site
    site = re.sub(r"/etc/letsencrypt/\S+fullchain.pem", str(pair.certificate), site)
    site = re.sub(r"/etc/letsencrypt/\S+privkey.pem", str(pair.key), site)
    whole = f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{site}\n}}\n"
    (tmp_path / "nginx.conf").write_text(whole)
    tested = subprocess.run(
        ["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "log")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stderr


@pytest.mark.services("caddy")
def test_caddy_takes_the_site(made: Path, tmp_path: Path) -> None:
    tested = subprocess.run(
        ["caddy", "validate", "--adapter", "caddyfile", "--config", str(made / "Caddyfile")],
        capture_output=True, text=True, check=False, env=os.environ | {"HOME": str(tmp_path)},
    )  # fmt: skip
    assert tested.returncode == 0, tested.stderr


def test_it_starts_as_it_was_written(made: Path, tmp_path: Path) -> None:
    words = ("--set=smtp.lmtp.port=0", "--set=channels.mail.support.relay=")
    with serving(tmp_path / "var", *words, config=made / "config") as desk:
        assert set(desk.listening()) == {"http", "smtp", "lmtp"}
        desk.mail("one", to="help@firm.example")
        desk.filed(1)
        wait_for("silence", lambda: desk.query("SELECT 1 FROM outbox WHERE state = 'suppressed'") or None)


def test_what_is_not_given_is_asked(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "init", str(tmp_path / "asked"), "--address", "a@firm.example"],
        cwd=ROOT, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        os.write(ours, b"The Desk\nru\n\n\n\n\n")
        said, _ = process.communicate(timeout=180)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 0, said
    text = (tmp_path / "asked" / "config" / "gateway.yaml").read_text(encoding="utf-8")
    assert '"The Desk"' in text and "language: ru" in text and "a@firm.example" in text and "relay:" in text


def test_an_old_python_gets_one_clear_line() -> None:
    source = (ROOT / "gateway" / "__main__.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))
    ast.parse((ROOT / "gateway" / "__init__.py").read_text(encoding="utf-8"), feature_version=(3, 7))
    old = "import sys, runpy; sys.version_info = (3, 9, 2, 'final', 0); runpy.run_module('gateway.__main__')"
    done = subprocess.run([sys.executable, "-c", old], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("gateway: Python 3.11 or newer is needed; this is 3.9 (")
    assert done.stderr.count("\n") == 1
