"""Tells Telegram how updates shall come, and the commands of the bot's menu."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

from channels.credentials import reveal
from channels.telegram.api import Api, NoAnswer, Refused
from channels.telegram.inbound import ALLOWED_UPDATES
from channels.telegram.polling import explain
from channels.telegram.settings import OFFICIAL, TelegramAccount
from channels.telegram.watch import path_of

PORTS = frozenset({None, 443, 80, 88, 8443})
"""Those that Telegram delivers to (core.telegram.org/bots/api#setwebhook)."""
OTHERWISE = "en"
"""Language of the menu for people whose own is not ours."""

Menu: TypeAlias = Mapping[str, Sequence[tuple[str, str]]]
"""Language -> (command, description) in order."""


async def setup(name: str, account: TelegramAccount, public_url: str, menu: Menu, say: Callable[[str], None]) -> None:
    """Register or remove the webhook and set the menu. What waits at Telegram stays there.

    Raises RuntimeError with words for an engineer; KeyError or OSError when a secret is not there.
    """
    api = Api(account, reveal(account.token))
    try:
        me = await api.result("getMe")
        say(f"the token is good: @{me.get('username')}" if isinstance(me, Mapping) else "the token is good")
        if account.mode == "webhook":
            await _register(api, name, account, public_url, say)
        else:
            await api.result("deleteWebhook")
            say("no webhook is set: updates come by polling")
        await _set_menu(api, menu, say)
    except Refused as error:
        raise RuntimeError(await explain(error, name, api)) from None
    except NoAnswer as error:
        raise RuntimeError(str(error)) from None
    finally:
        await api.close()


async def _register(api: Api, name: str, account: TelegramAccount, public_url: str, say: Callable[[str], None]) -> None:
    if wrong := unreachable(public_url, account):
        raise RuntimeError(wrong)
    assert account.secret is not None
    url = public_url + path_of(name)
    await api.result(
        "setWebhook",
        {
            "url": url,
            "secret_token": reveal(account.secret),
            "allowed_updates": json.dumps(ALLOWED_UPDATES),
            "max_connections": account.max_connections,
        },
    )
    say(f"the webhook is set: {url}")


def unreachable(public_url: str, account: TelegramAccount) -> str:
    """Why Telegram would not take this address; "" when it would. A server of one's own takes any."""
    if not public_url:
        return "http.public_url is empty; Telegram must know where to deliver"
    parts = urlsplit(public_url)
    if account.api_url != OFFICIAL:
        return ""
    if parts.scheme != "https":
        return f"http.public_url is {public_url}; Telegram delivers to https only"
    if parts.port not in PORTS:
        return f"http.public_url has the port {parts.port}; Telegram delivers to 443, 80, 88 and 8443 only"
    return ""


async def _set_menu(api: Api, menu: Menu, say: Callable[[str], None]) -> None:
    for language, commands in menu.items():
        told = json.dumps([{"command": command, "description": said} for command, said in commands])
        codes = [language, ""] if language == OTHERWISE else [language]
        for code in codes if commands else []:
            await api.result("setMyCommands", {"commands": told, **({"language_code": code} if code else {})})
    if languages := [language for language, commands in menu.items() if commands]:
        say(f"the menu of commands is set: {', '.join(languages)}")
