"""A bot whose webhook secret is configured wrongly: nothing that people wrote meanwhile is lost."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

from tests.gateway.cli.running import Desk, gateway, serving, wait_for
from tests.telegram.standin import SECRET, TOKEN, said


def webhook(folder: Path, secret: str) -> list[str]:
    """Options of an account whose Bot API is not there: the webhook needs none."""
    (folder / "token").write_text(TOKEN)
    (folder / "secret").write_text(secret)
    account = {
        "token": f"file:{folder / 'token'}", "secret": f"file:{folder / 'secret'}", "mode": "webhook",
        "api_url": "http://127.0.0.1:9", "outbound": "capture",
    }  # fmt: skip
    return [f"--set=channels.telegram.bot={json.dumps(account)}"]


def deliver(desk: Desk, text: str, number: int) -> int:
    """What Telegram does; the status of the answer."""
    host, port = desk.address("http")
    request = urllib.request.Request(
        f"http://{host}:{port}/channels/telegram/bot",
        data=json.dumps({"update_id": number, **said(text, message_id=number)}).encode(),
        headers={"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_what_came_under_a_wrong_secret_is_filed_after_the_fix(tmp_path: Path) -> None:
    var = tmp_path / "var"
    var.mkdir()
    with serving(var, *webhook(tmp_path, "mistyped-secret")) as desk:
        assert [deliver(desk, f"The printer burns, {number}.", number) for number in (1, 2)] == [403, 403]
        assert desk.query("SELECT count(*) FROM entry WHERE channel = 'telegram'") == [(0,)]
        said_so = gateway("replay", "--unverified", "--account", "bot", var=var).stdout
        assert said_so.count("telegram/bot: wrong secret") == 2 and "0 believed" in said_so
    with serving(var, *webhook(tmp_path, SECRET)) as desk:
        assert deliver(desk, "The printer burns, 2.", 2) == 200, "Telegram repeats what was refused"
        done = json.loads(gateway("replay", "--unverified", "--json", var=var).stdout)
        assert (done["believed"], done["messages"], done["still"]) == (2, 1, []), "one of them came again meanwhile"
        assert desk.query("SELECT count(*) FROM entry WHERE channel = 'telegram'") == [(2,)]
        assert desk.query("SELECT count(*) FROM unverified") == [(0,)]
        assert deliver(desk, "The printer burns, 3.", 3) == 200
        wait_until_filed(desk, 3)
        assert desk.query("SELECT count(*) FROM ticket WHERE channel = 'telegram'") == [(1,)]


def wait_until_filed(desk: Desk, count: int) -> None:
    """Wait until so many messages of the bot are filed."""
    filed = "SELECT count(*) FROM entry WHERE state = 'done' AND channel = 'telegram'"
    wait_for(f"the filing of {count} updates", lambda: desk.query(filed) == [(count,)] or None)
