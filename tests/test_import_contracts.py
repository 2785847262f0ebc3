"""Each import contract goes red for an import that it forbids: planted in a copy of the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLANTED = {
    "one way: a channel imports the gateway": ("channels/planted.py", "import gateway.settings", "one way"),
    "one way: the router imports a channel": ("router/planted.py", "import channels.contract", "one way"),
    "one way: the normalizer imports the router": ("normalizer/planted.py", "import router.assignment", "one way"),
    "channels know no parser": ("channels/planted.py", "import normalizer.mail", "vocabulary only"),
    "mail imports the bot": ("channels/mail/planted.py", "import channels.telegram.api", "No channel knows another"),
    "the bot imports mail": ("channels/telegram/planted.py", "import channels.mail.oauth", "No channel knows another"),
    "text messages import the bot": ("channels/sms/planted.py", "import channels.telegram", "No channel knows another"),
    "the normalizer does no I/O": ("normalizer/planted.py", "import socket", "do no I/O"),
    "the router knows no SDK": ("router/planted.py", "import sqlalchemy", "do no I/O"),
    "dialogs know no store": ("gateway/dialogs/planted.py", "import gateway.store.people", "Dialogs are pure"),
    "only the root names a channel": ("gateway/planted.py", "import channels.mail", "composition root"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    lint_imports = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [str(lint_imports), "--no-cache"], cwd=folder, env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name in ("gateway", "channels", "normalizer", "router"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_tree_keeps_its_contracts(tree: Path) -> None:
    result = lint(tree)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("planted", PLANTED)
def test_a_bad_import_is_seen(tree: Path, planted: str) -> None:
    path, statement, contract = PLANTED[planted]
    (tree / path).write_text(f"{statement}\n", encoding="utf-8")
    try:
        result = lint(tree)
    finally:
        (tree / path).unlink()
    assert result.returncode != 0
    broken = [line for line in result.stdout.splitlines() if " BROKEN" in line]
    assert any(contract in line for line in broken), result.stdout
