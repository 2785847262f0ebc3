"""`gateway prompts` makes and lists what a telephone plays, and `gateway check` says what is missing for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.gateway.cli.running import ROOT, gateway

OURS = "channels.voice.main"


def sets(**more: object) -> str:
    return f"--set={OURS}={json.dumps({'provider': 'sip', 'numbers': ['101'], **more})}"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """One language and one call's texts of few words."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "ivr.yaml").write_text("languages: [en]\n", encoding="utf-8")
    path = tmp_path / "config" / "texts" / "en" / "calls.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(_short(line) for line in lines) + "\n", encoding="utf-8")
    return tmp_path / "config"


def _short(line: str) -> str:
    name, colon, words = line.partition(": ")
    return f'{name}: "Yes."' if colon and "{" not in words and not line.startswith("#") else line


@pytest.mark.services("espeak-ng")
def test_every_sound_is_made_once_and_those_that_somebody_recorded_are_counted(tmp_path: Path, config: Path) -> None:
    own = tmp_path / "own" / "en"
    own.mkdir(parents=True)
    shutil.copy(_any_sound(tmp_path), own / "greeting.wav")
    said = sets(recorded=str(tmp_path / "own"), speed=300)
    listed = gateway("prompts", "list", said, var=tmp_path, config=config).stdout
    assert "* en/greeting.wav  Yes." in listed
    assert "  en/number_told.1.wav  Thank you. Your ticket number is" in listed
    assert "  en/digit_7.wav  7" in listed
    done = gateway("prompts", "make", said, var=tmp_path, config=config).stdout
    assert done.endswith(", 1 of them recorded ones\n")
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "voice" / "prompts").rglob("*.wav")}
    assert len(made) == len(listed.splitlines()) - 1
    gateway("prompts", "make", said, var=tmp_path, config=config)
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "voice" / "prompts").rglob("*.wav")}


def _any_sound(folder: Path) -> Path:
    from channels.voice.sip import sound

    path = folder / "any.wav"
    path.write_bytes(sound.header(1600) + bytes(1600))
    return path


def test_without_the_program_the_sounds_that_cannot_be_made_are_named(tmp_path: Path, config: Path) -> None:
    done = gateway("prompts", "make", sets(), var=tmp_path, config=config, code=1, PATH=str(tmp_path))
    assert "main: en/digit_0: espeak-ng is not installed" in done.stderr
    assert (
        "missing: channels.voice.main: espeak-ng" in gateway("check", sets(), var=tmp_path, PATH=str(tmp_path)).stderr
    )


def test_a_desk_without_a_telephone_of_its_own_is_told_so(tmp_path: Path) -> None:
    for words in (["make"], ["list", sets(), "--account", "other"]):
        done = gateway("prompts", *words, var=tmp_path, code=2)
        assert "provider: sip" in done.stderr


def test_without_the_stack_the_account_does_not_start_and_says_why(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\n_find = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'baresip' else _find(name, package)\n",
        encoding="utf-8",
    )
    ports = ("--set=http.port=0", "--set=smtp.port=0")
    done = gateway("serve", sets(), *ports, var=tmp_path / "var", code=None, PYTHONPATH=str(hidden))
    assert done.returncode in (1, 2)
    assert "channels.voice.main: the SIP stack is not installed: pip install 'intake-gateway[sip]'" in done.stderr
