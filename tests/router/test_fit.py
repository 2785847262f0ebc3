"""The weights come from data alone: the same rows give the same file, and what was learned is used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.fit_router import CONFIG, main
from gateway.policy_files import load_policy
from router.words import reduce

TEXTS = {
    1: ("L2", "принтер сломался", "the printer is broken", "монітор розбито"),
    2: ("L2", "сервер завис", "the server hangs, please reboot", "на сервері закінчилось місце"),
    3: ("L3", "сайт лежит у всех", "the whole site is down", "портал не працює ні в кого"),
    4: ("L3", "заказы не создаются", "payments fail, customers wait", "не формуються рахунки"),
    5: ("L3", "кнопка не та", "the filter is wrong", "звіт показує не те"),
    6: ("L1", "как сменить пароль", "how do I add a user", "підкажіть, де акт"),
}


def test_the_same_rows_give_the_same_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"id": f"{class_}{n}", "subject": "", "text": text, "class": class_, "also_ok": [], "line": line, "line_ok": []}
        | {"onsite": class_ == 1, "abstain_ok": False}
        for class_, (line, *texts) in TEXTS.items()
        for n, text in enumerate(texts)
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(CONFIG, tmp_path / "config")
    weights, again = tmp_path / "config" / "classifier.json", tmp_path / "again.json"
    main(data, weights, tmp_path / "held.jsonl")
    main(data, again)
    assert weights.read_bytes() == again.read_bytes()
    assert "10-fold: class" in capsys.readouterr().out
    held = [json.loads(line) for line in (tmp_path / "held.jsonl").read_text().splitlines()]
    assert [row["id"] for row in held] == [row["id"] for row in rows]
    policy, problems = load_policy(tmp_path / "config")
    assert policy is not None and policy.classifier is not None, problems
    guessed = [policy.classifier.guess(reduce("", str(row["text"]))) for row in rows]
    assert [guess and guess.class_ for guess in guessed] == [row["class"] for row in rows]
