"""The documents tell the truth: settings, links, commands, make targets and the tests that prove promises."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from gateway.cli import COMMANDS
from gateway.settings_text import text

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "channels").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
COMMAND = re.compile(r"(?:^|[`\s/])gateway ([a-z]+(?:-[a-z]+)*)\b", re.MULTILINE)
TARGET = re.compile(r"`make ([a-z]+)`|^make ([a-z]+)", re.MULTILINE)
NOT_COMMANDS = {"is", "as", "by", "to", "and", "that", "has", "cannot", "on", "with", "itself", "mounts", "in", "of"}


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_settings_page_is_made_from_the_models() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == text(), "run `make docs`"


def test_every_setting_says_what_it_means() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (?!block).*\| ([^|]*) \|$", text(), re.MULTILINE)
    assert len(rows) > 80
    assert [key for key, meaning in rows if not meaning.strip()] == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_commands_and_targets_exist(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```sh\n(.*?)```", content, re.DOTALL) + re.findall(r"`([^`\n]+)`", content))
    commands = {name for name in COMMAND.findall(code) if name not in NOT_COMMANDS}
    assert commands <= set(COMMANDS)
    targets = {one or other for one, other in TARGET.findall(code)}
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert targets <= made


def test_each_promise_names_a_test_that_is_there() -> None:
    pages = (ROOT / "docs" / "promises.md", ROOT / "channels" / "voice" / "TRAPS.md")
    told = "\n".join(page.read_text("utf-8") for page in pages)
    rows = re.findall(r"`(tests/[\w/.-]+\.py)(?:::(\w+))?`", told)
    assert len(rows) > 20
    missing = [
        (path, name)
        for path, name in rows
        if not (ROOT / path).exists() or (name and f"def {name}(" not in (ROOT / path).read_text("utf-8"))
    ]
    assert not missing


def test_tables_are_whole() -> None:
    """A row after an empty line is no row of the table above it: it is shown as text with bars in it."""
    torn = []
    for page in PAGES:
        told = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        lines = ["", *told.split("\n"), ""]
        heads = [at for at, line in enumerate(lines) if line.startswith("|") and not lines[at - 1].startswith("|")]
        torn += [(shown(page), lines[at][:60]) for at in heads if not re.match(r"\|[\s:|-]+\|$", lines[at + 1])]
    assert not torn


def test_make_help_lists_the_targets() -> None:
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("venv", "run", "demo", "test", "check", "services", "bench", "chaos"):
        assert f"make {target} " in listed


def test_nothing_is_left_of_a_merge() -> None:
    folders = ("normalizer", "router", "channels", "gateway", "config", "tests", "benchmarks", "docs")
    found = [*ROOT.glob("*.*"), *(file for folder in folders for file in (ROOT / folder).rglob("*.*"))]
    mark = re.compile(rb"^(<{7} |>{7} |={7}$)", re.MULTILINE)
    kinds = {".md", ".py", ".yaml", ".toml", ".txt"}
    files = [file for file in found if file.suffix in kinds and "cases" not in file.parts]
    assert len(files) > 300
    assert [shown(file) for file in files if mark.search(file.read_bytes())] == []
