"""`gateway route`: texts in, decisions out, nothing kept."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.route import answered
from gateway.policy_files import load_policy

CONFIG = Path(__file__).parent.parent.parent.parent / "config"
ROWS = [
    {
        "id": "a",
        "channel": "email",
        "subject": "Сайт лежит",
        "text": "Сайт не открывается ни у кого, 502 на всех страницах",
    },
    {"id": 2, "channel": "telegram", "subject": "", "text": "🙂"},
    {"id": "c", "text": "Принтер не печатает, пришлите мастера", "language": "ru", "contract": "example"},
    {"id": "d", "subject": None, "text": None},
]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["route", "--config", str(CONFIG), *argv])
        raise SystemExit(0)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def written(tmp_path: Path, *lines: Any) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines), encoding="utf-8"
    )
    return str(path)


def test_one_line_for_each_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--json", "--batch", written(tmp_path, *ROWS, ""))
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [answer["id"] for answer in answers] == ["a", 2, "c", "d"]
    for answer in answers:
        assert set(answer) == {"id", "class", "line", "onsite", "confidence", "reasons", "abstained"}
        assert answer["class"] in range(1, 7) and 0 <= answer["confidence"] <= 1 and answer["reasons"]
        assert not answer["abstained"] or answer["line"] == "L1"
    down, emoji, printer, nothing = answers
    assert (down["class"], down["abstained"]) == (3, False) and down["line"] != "L1"
    assert (emoji["class"], emoji["abstained"]) == (6, True)
    assert (printer["class"], printer["onsite"]) == (1, True)
    assert nothing["abstained"]


def test_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--batch", written(tmp_path, ROWS[1], ROWS[2]))
    assert code == 0
    assert out.splitlines()[0] == "2: class 6 (not sure), L1, 95% sure"
    assert "c: class 1" in out and ", on site, " in out and "    onsite yes by rule:visit-wanted" in out


def test_lines_that_are_no_rows_are_named_and_the_others_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "--json", "--batch", written(tmp_path, "{", ROWS[0], "[1]", {"text": "no id"}))
    assert code == 1 and len(out.splitlines()) == 1
    assert [line.split(":")[0] for line in err.splitlines()] == ["line 1", "line 3", "line 4"]


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "--batch", str(tmp_path / "gone.jsonl"))
    assert code == 2 and "cannot be read" in err
    (tmp_path / "bad.jsonl").write_bytes(b"\xff\xfe\xff")
    assert run(capsys, "--batch", str(tmp_path / "bad.jsonl"))[0] == 2
    (tmp_path / "routing.yaml").write_text("rulez: []")
    code, _, err = run(capsys, "--config", str(tmp_path), "--batch", written(tmp_path, ROWS[0]))
    assert code == 2 and "routing.yaml:1:1: rulez: is not a known key; did you mean rules?" in err


def test_as_a_module_and_from_stdin() -> None:
    rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    command = [sys.executable, "-m", "gateway.cli.route", "--json", "--batch", "-"]
    done = subprocess.run(
        command, input=rows.encode(), capture_output=True, check=True, cwd=CONFIG.parent, env={"PYTHONUTF8": "1"}
    )
    assert [json.loads(line)["id"] for line in done.stdout.decode().splitlines()] == ["a", 2, "c", "d"]


def test_what_is_not_known_at_all_is_class_6(tmp_path: Path) -> None:
    for name in ("calendars", "contracts", "routing"):
        (tmp_path / f"{name}.yaml").write_text("")
    policy, _ = load_policy(tmp_path)
    assert policy is not None
    answer = answered({"id": 1, "text": "anything"}, policy, datetime.now(UTC))
    assert (answer["class"], answer["line"], answer["confidence"], answer["abstained"]) == (6, "L1", 0.0, True)
